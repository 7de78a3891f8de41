"""agent.detection.rules.zone_schedule: a zone with hours."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from agent.base.model import Event
from agent.detection.rule_engine import RuleEngine
from tests.pure.rules.scripted_tracks import (
    ScriptedRoadUser,
    event_names,
    frame_results,
    id_maker,
    straight_path,
    zone_scene,
)

MONDAY = datetime(2026, 11, 30, tzinfo=UTC)
WAITS = straight_path((0, 0.7, 0.5), (20_000, 0.7, 0.5))
STEP_S = 30
WallClock = Callable[[float], datetime | None]


def clock_from(local: datetime) -> WallClock:
    return lambda t_s: local + timedelta(seconds=t_s)


def run_hours(hours: tuple[str, ...], wall_clock: WallClock, end_s: float) -> list[Event]:
    rule_engine = RuleEngine("north", zone_scene(hours=hours), id_maker())
    road_user = ScriptedRoadUser(WAITS, label="person")
    return [
        event
        for result in frame_results([road_user], end_s, step_ns=STEP_S * 10**9)
        for event in rule_engine.evaluate(
            msgspec.structs.replace(result, local_time=wall_clock(result.t_ns / 1e9))
        )
        if event.phase != "update"
    ]


def test_an_event_lasts_within_the_hours() -> None:
    begin, end = run_hours(
        ("mon 07:30-08:00",), clock_from(MONDAY.replace(hour=7, minute=15)), 3600
    )
    assert event_names([begin, end]) == ["zone begin", "zone end"]
    assert (begin.t_ns, end.t_ns) == (900 * 10**9, 2700 * 10**9)
    assert end.duration_s == 1800


def test_each_begin_of_the_hours_is_an_event_of_its_own() -> None:
    events = run_hours(
        ("22:00-22:10", "22:20-22:30"), clock_from(MONDAY.replace(hour=21, minute=55)), 3000
    )
    assert event_names(events) == ["zone begin", "zone end"] * 2
    assert len({event.event for event in events}) == 2


@pytest.mark.parametrize(
    ("day", "hour", "is_within"),
    [(30, 21, False), (30, 23, True), (1, 2, True), (1, 23, False), (2, 2, False)],
)
def test_a_span_over_midnight_belongs_to_its_first_day(
    day: int, hour: int, *, is_within: bool
) -> None:
    local = datetime(2026, 11 if day == 30 else 12, day, hour, tzinfo=UTC)
    events = run_hours(("mon 22:00-06:00",), clock_from(local), 60)
    assert bool(events) == is_within


def test_the_rules_run_while_the_time_of_day_is_not_known() -> None:
    assert event_names(run_hours(("03:00-03:01",), lambda _t_s: None, 60)) == ["zone begin"]


def test_an_event_ends_if_the_clock_becomes_trusted_outside_of_the_hours() -> None:
    noon = clock_from(MONDAY.replace(hour=12))
    events = run_hours(("22:00-06:00",), lambda t_s: None if t_s < 300 else noon(t_s), 600)
    assert event_names(events) == ["zone begin", "zone end"]
    assert events[1].t_ns == 300 * 10**9


@pytest.mark.parametrize(
    ("date", "minutes_within"), [((2026, 3, 29), 60), ((2026, 10, 25), 180), ((2026, 6, 1), 120)]
)
def test_summer_time_shortens_and_repeats_hours(
    date: tuple[int, int, int], minutes_within: int
) -> None:
    """From 01:00 to 03:00 in Paris, in which the clock is put forward, or back, between 02:00 and 03:00."""
    start = datetime(*date, tzinfo=ZoneInfo("Europe/Paris")).astimezone(UTC)
    events = run_hours(
        ("01:00-03:00",),
        lambda t_s: (start + timedelta(seconds=t_s)).astimezone(ZoneInfo("Europe/Paris")),
        6 * 3600,
    )
    assert event_names(events) == ["zone begin", "zone end"]
    assert events[1].t_ns - events[0].t_ns == minutes_within * 60 * 10**9


def test_counts_of_the_zone_continue_outside_of_the_hours() -> None:
    rule_engine = RuleEngine("north", zone_scene(hours=("03:00-03:01",)), id_maker())
    for result in frame_results([ScriptedRoadUser(WAITS, label="person")], 59, step_ns=10**9):
        rule_engine.evaluate(msgspec.structs.replace(result, local_time=MONDAY.replace(hour=12)))
    (minute,) = rule_engine.flush_counts(59 * 10**9)
    assert minute.zones[0].peak == {"person": 1}
