"""agent.ptz.automation.guard_tours: the running tour, its stop after an interruption, skipped stops."""

import itertools
import random
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.base.weekly_hours import ALL_DAYS, Weekday
from agent.commands.requester import CommandRejected
from agent.config.heads import HeadConfig, TourConfig, TourStopConfig
from agent.ptz.automation import schedule
from agent.ptz.automation.guard_tours import UNREACHABLE_PAUSE_S, GuardTours
from agent.ptz.automation.schedule import Schedule
from agent.ptz.requests import GotoPreset, HeadState
from drivers.contracts import Pose, PtzPosition

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
STEP_S = 0.5


def tour(name: str, *presets: str, dwell_s: float = 10, **more: object) -> TourConfig:
    stops = tuple(TourStopConfig(preset=preset, dwell_s=dwell_s) for preset in presets)
    return TourConfig(name=name, stop=stops, **more)  # type: ignore[arg-type]


def daily(name: str, begin: str, end: str, *days: Weekday) -> TourConfig:
    return tour(name, "a", begin=begin, end=end, days=days or ALL_DAYS)


class Street:
    """A head that takes three seconds from anywhere to anywhere and settles after one more."""

    def __init__(self, *tours: TourConfig, time_zone: tzinfo = UTC, seed: int = 1) -> None:
        self.reported: list[str] = []
        self.tours = GuardTours(
            tours, time_zone, lambda _: self.utc, random.Random(seed), self.reported.append
        )
        self.presets = {"a", "b", "c", "d", "home"}
        self.forbidden: set[str] = set()
        self.stuck = False
        self.now_s = 0.0
        self.utc: datetime | None = MONDAY
        self.at = "home"
        self.goal = "home"
        self.due_s = 0.0
        self.sent: list[str] = []

    def state(self) -> HeadState:
        moving = self.now_s < self.due_s
        if not moving:
            self.at = self.goal
        position = PtzPosition(
            pose=Pose(pan_deg=0, tilt_deg=0), error_deg=0, moving=moving, t_ns=self.t_ns
        )
        return HeadState(
            head="mast",
            position=position,
            moving=moving,
            settled=self.now_s >= self.due_s + 1,
            preset=None if moving else self.at,
            lease=None,
            tour=self.tours.tour,
            error=None,
        )

    @property
    def t_ns(self) -> int:
        return int(self.now_s * 1e9)

    def turn(self, preset: str) -> None:
        self.goal, self.due_s = preset, self.now_s + 3

    def step(self) -> None:
        request = self.tours.step(self.t_ns, self.state())
        if request is None:
            return
        assert isinstance(request, GotoPreset)
        self.sent.append(request.preset)
        if request.preset not in self.presets:
            self.tours.on_rejected(
                self.t_ns, request, CommandRejected("unknown", f"no preset {request.preset!r}")
            )
        elif request.preset in self.forbidden:
            self.tours.on_rejected(
                self.t_ns, request, CommandRejected("forbidden", "windows are there")
            )
        elif not self.stuck:
            self.turn(request.preset)

    def run(self, seconds: float, *, stepped: bool = True) -> list[str]:
        """Return the targets of the head in this time. Not `stepped`: a stronger lease has the head."""
        first = len(self.sent)
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            if stepped:
                self.step()
            self.now_s += STEP_S
            self.utc = self.utc and self.utc + timedelta(seconds=STEP_S)
        return self.sent[first:]


def test_a_tour_cycles_through_its_stops_and_stays_at_each() -> None:
    street = Street(tour("round", "a", "b", "c"))
    street.tours.start("round")
    # To each stop it takes 4 s until it has settled, and it stays for 10.
    assert street.run(4 * 14) == ["a", "b", "c", "a"]


def test_each_stop_has_its_own_time_and_speed() -> None:
    stops = (
        TourStopConfig(preset="a", dwell_s=30, speed=1.0),
        TourStopConfig(preset="b", dwell_s=5),
    )
    street = Street(TourConfig(name="round", stop=stops))
    street.tours.start("round")
    first = street.tours.step(0, street.state())
    assert first == GotoPreset(preset="a", speed=1.0)
    street.turn("a")
    assert street.run(33) == []
    assert street.run(2) == ["b"]


def test_a_back_and_forth_tour_reverses_at_its_ends() -> None:
    street = Street(tour("round", "a", "b", "c", "d", order="back_and_forth"))
    street.tours.start("round")
    assert "".join(street.run(13 * 14)) == "abcdcbabcdcba"


@given(seed=st.integers(0, 50))
def test_a_shuffled_tour_visits_each_stop_once_a_round_and_none_twice_in_a_row(seed: int) -> None:
    street = Street(tour("round", "a", "b", "c", "d", order="shuffled"), seed=seed)
    street.tours.start("round")
    sent = street.run(12 * 14)
    assert [sorted(sent[at : at + 4]) for at in (0, 4, 8)] == [["a", "b", "c", "d"]] * 3
    assert all(one != other for one, other in itertools.pairwise(sent))


def test_a_tour_of_one_stop_stays_there() -> None:
    street = Street(tour("watch", "a"))
    street.tours.start("watch")
    assert street.run(200) == ["a"]


@given(
    before_s=st.floats(0.5, 100),
    for_s=st.floats(3, 300),
    to=st.sampled_from(["a", "b", "c", "home"]),
)
def test_after_an_operator_a_tour_resumes_at_the_interrupted_stop(
    before_s: float, for_s: float, to: str
) -> None:
    street = Street(tour("round", "a", "b", "c"))
    street.tours.start("round")
    was_at = street.run(before_s)[-1]
    street.turn(to)
    street.run(for_s, stepped=False)
    after = street.run(40)
    if to == was_at:
        # The operator left it at the tour's stop: that stop continues.
        assert after[0] == {"a": "b", "b": "c", "c": "a"}[to]
    else:
        assert after[0] == was_at
        assert after[1] != was_at
    assert street.reported == []


def test_an_interrupted_stop_gets_its_whole_dwell_time_again() -> None:
    street = Street(tour("round", "a", "b", dwell_s=20))
    street.tours.start("round")
    street.run(20)
    street.turn("home")
    street.run(10, stepped=False)
    assert street.run(23) == ["a"]
    assert street.run(3) == ["b"]


def test_a_missing_or_forbidden_stop_is_skipped_and_logged_once() -> None:
    street = Street(tour("round", "a", "gone", "b", "c"))
    street.forbidden.add("c")
    street.tours.start("round")
    street.run(200)
    assert set(street.sent) == {"a", "gone", "b", "c"}
    assert street.reported == [
        "tour 'round' skips 'gone': no preset 'gone'",
        "tour 'round' skips 'c': windows are there",
    ]


def test_a_repaired_stop_is_logged_again_when_it_disappears_again() -> None:
    street = Street(tour("round", "a", "b"))
    street.forbidden.add("b")
    street.tours.start("round")
    street.run(60)
    street.forbidden.clear()
    street.run(60)
    assert len(street.reported) == 1
    street.forbidden.add("b")
    street.run(60)
    assert len(street.reported) == 2


def test_a_tour_without_a_valid_stop_retries_rarely() -> None:
    street = Street(tour("round", "x", "y", "z"))
    street.tours.start("round")
    sent = street.run(600)
    assert len(street.reported) == 3
    assert len(sent) <= 3 * (600 / UNREACHABLE_PAUSE_S + 1)
    assert street.tours.tour == "round"


def test_an_unreached_stop_is_tried_three_times() -> None:
    street = Street(tour("round", "a", "b"))
    street.tours.start("round")
    street.stuck = True
    assert street.run(27) == ["a", "a", "a", "b", "b"]
    assert street.reported == ["tour 'round' skips 'a': the head does not come to rest there"]


def test_a_busy_or_silent_head_loses_no_stop() -> None:
    street = Street(tour("round", "a", "b"))
    street.tours.start("round")
    request = street.tours.step(0, street.state())
    assert request is not None
    street.tours.on_rejected(0, request, CommandRejected("busy", "another requester holds it"))
    assert street.run(4) == []
    assert street.run(14) == ["a"]
    assert street.reported == []


def test_an_unknown_tour_cannot_be_started() -> None:
    street = Street(tour("round", "a"))
    with pytest.raises(CommandRejected, match="no tour 'night'; there are: round") as refused:
        street.tours.start("night")
    assert refused.value.code == "unknown"


def test_without_window_and_command_nothing_runs() -> None:
    street = Street(tour("round", "a"))
    assert street.run(3600) == []
    assert street.tours.tour is None


def running(street: Street, hours: float) -> str | None:
    """Return the tour that runs this number of hours after Monday, 00:00."""
    street.utc = MONDAY + timedelta(hours=hours)
    street.step()
    return street.tours.tour


def test_the_schedule_selects_the_running_tour() -> None:
    street = Street(daily("night", "22:00", "06:00"), daily("school", "07:30", "08:30", "mon"))
    found = [running(street, hours) for hours in (0, 5.99, 6, 7.5, 8.5, 21.9, 22, 31.5, 46)]
    assert found == ["night", "night", None, "school", None, None, "night", None, "night"]


def test_a_window_over_midnight_belongs_to_its_first_day() -> None:
    street = Street(daily("night", "22:00", "06:00", "sun"))
    # Sunday's window continues into Monday; Monday has none of its own.
    found = [running(street, hours) for hours in (1, 7, 23, 6 * 24 + 23)]
    assert found == ["night", None, None, "night"]


@pytest.mark.parametrize(
    ("zone", "utc", "runs"),
    [
        # Paris is at UTC+1 in winter, +2 from 29 March 2026, 01:00 UTC.
        ("Europe/Paris", datetime(2026, 1, 5, 6, 30, tzinfo=UTC), True),
        ("Europe/Paris", datetime(2026, 7, 6, 6, 30, tzinfo=UTC), False),
        ("Europe/Paris", datetime(2026, 7, 6, 5, 30, tzinfo=UTC), True),
        ("UTC", datetime(2026, 7, 6, 7, 30, tzinfo=UTC), True),
        # Midnight in Paris is still the day before in UTC.
        ("Europe/Paris", datetime(2026, 3, 29, 5, 30, tzinfo=UTC), True),
    ],
)
def test_tour_windows_are_in_local_time(zone: str, utc: datetime, *, runs: bool) -> None:
    made = Schedule([daily("school", "07:00", "08:00")], ZoneInfo(zone))
    assert (made.tour_at(utc) == "school") == runs


def test_a_commanded_tour_runs_until_the_schedule_changes() -> None:
    street = Street(daily("night", "22:00", "06:00"), tour("round", "b"))
    assert running(street, 12) is None
    street.tours.start("round")
    assert running(street, 12.1) == "round"
    assert running(street, 21.9) == "round"
    assert running(street, 22.1) == "night"
    street.tours.stop()
    assert running(street, 23) is None
    assert running(street, 29) is None
    assert running(street, 31) is None
    assert running(street, 47) == "night"


def test_a_restarted_tour_begins_at_its_first_stop() -> None:
    street = Street(tour("round", "a", "b", "c"))
    street.tours.start("round")
    street.run(20)
    street.tours.start("round")
    assert street.run(1) == ["a"]


def test_without_a_trusted_clock_no_scheduled_tour_starts() -> None:
    street = Street(daily("night", "22:00", "06:00"))
    street.utc = None
    assert street.run(24 * 3600) == []
    assert running(street, 23) == "night"


def test_a_running_tour_continues_when_the_clock_is_lost() -> None:
    street = Street(daily("night", "22:00", "06:00"))
    assert running(street, 23) == "night"
    street.utc = None
    street.run(24 * 3600)
    assert street.tours.tour == "night"
    assert running(street, 55) is None


def test_a_tour_by_day_and_night_needs_no_clock() -> None:
    street = Street(daily("always", "00:00", "00:00"))
    street.utc = None
    assert street.run(1) == ["a"]
    street.tours.stop()
    street.run(10)
    assert street.tours.tour is None


def test_commanded_tours_need_no_clock() -> None:
    street = Street(daily("night", "22:00", "06:00"))
    street.utc = None
    street.tours.start("night")
    assert street.run(1) == ["a"]


@pytest.mark.parametrize(
    ("tours", "line"),
    [
        (
            (daily("night", "22:00", "06:00"), daily("dawn", "05:00", "08:00", "wed")),
            (
                "box.toml: head[0].tour[1].begin = '05:00': tours 'night' and 'dawn' would both run on "
                "wed at 05:00; allowed: one at a time"
            ),
        ),
        (
            (daily("long", "23:00", "22:00", "sun"), daily("week", "00:00", "01:00", "mon")),
            (
                "box.toml: head[0].tour[1].begin = '00:00': tours 'long' and 'week' would both run on "
                "mon at 00:00; allowed: one at a time"
            ),
        ),
        (
            (tour("night", "a"), tour("night", "b")),
            "box.toml: head[0].tour[1].name = 'night': used already; allowed: a name of its own",
        ),
        (
            (tour("night", "a", begin="22:00"),),
            "box.toml: head[0].tour[0].end: missing; the other end of the window is given",
        ),
    ],
)
def test_an_invalid_tour_is_refused_in_one_line(tours: tuple[TourConfig, ...], line: str) -> None:
    head = HeadConfig(name="mast", driver="fake", tour=tours)
    with pytest.raises(UserError) as refused:
        schedule.check_tours(head, "box.toml: head[0]")
    assert str(refused.value) == line


def test_adjacent_windows_do_not_overlap() -> None:
    tours = (daily("night", "22:00", "06:00"), daily("day", "06:00", "22:00"), tour("round", "a"))
    schedule.check_tours(HeadConfig(name="mast", driver="fake", tour=tours), "box.toml: head[0]")
