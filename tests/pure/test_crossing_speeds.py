"""agent.detection.crossing_speeds and traffic_counter: speeds in the counts of a line on calibrated ground."""

from collections import Counter
from collections.abc import Callable
from statistics import NormalDist

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import Label, LineCounts, SpeedCounts, TrafficCounts
from agent.base.speed_bands import (
    TOP_BAND_KM_H,
    V85_MIN_COUNT,
    add_speeds,
    describe_band,
    speed_band,
    v85_km_h,
)
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene, SceneLine
from drivers.media import NS_PER_S
from tests.pure.rules.scripted_tracks import id_maker
from tests.pure.rules.street_ground import (
    STREET_MARKS,
    Place,
    Trajectory,
    along,
    point_at,
    street_results,
)

LABELS: tuple[Label, ...] = ("car", "motorcycle", "person")


def street(line_y_m: float, *, calibrated: bool = True) -> Scene:
    line = SceneLine(
        name="street", start=point_at(-5.6, line_y_m), to=point_at(5.6, line_y_m), labels=LABELS
    )
    return Scene(line=(line,), ground=STREET_MARKS if calibrated else None)


def run(
    scene: Scene,
    trajectories: list[tuple[Trajectory, Label]],
    *,
    seconds: float,
    is_stale: Callable[[], bool] = lambda: False,
) -> list[TrafficCounts]:
    """The minutes of road users that are seen where their trajectory has a place."""
    engine = RuleEngine("north", scene, id_maker(), is_stale)
    minutes: list[TrafficCounts] = []
    for result in street_results(trajectories, seconds):
        minutes += engine.completed_counts(result.t_ns)
        engine.evaluate(result)
    return [*minutes, *engine.flush_counts(round(seconds * NS_PER_S))]


def line_of(minutes: list[TrafficCounts]) -> LineCounts:
    (minute,) = minutes
    (line,) = minute.lines
    return line


def bands_of(
    minutes: list[TrafficCounts], direction: str = "forward"
) -> dict[Label, dict[int, int]]:
    speeds = line_of(minutes).speeds
    assert isinstance(speeds, dict)
    assert set(speeds) == {"forward", "backward"}
    return speeds[direction].bands


def only_direction(minutes: list[TrafficCounts]) -> str:
    """The direction of the only crossing."""
    (found,) = (
        (direction, counts) for direction, counts in line_of(minutes).counts.items() if counts
    )
    assert sum(found[1].values()) == 1
    return found[0]


@pytest.mark.parametrize(
    ("speed_m_s", "band"), [(1.5, 0), (5.0, 10), (8.0, 20), (8.5, 30), (13.0, 40)]
)
def test_a_road_user_that_crosses_a_line_is_counted_in_the_band_of_its_speed(
    speed_m_s: float, band: int
) -> None:
    minutes = run(street(18.0), [(along(14.0, speed_m_s), "car")], seconds=5)
    assert bands_of(minutes, only_direction(minutes)) == {"car": {band: 1}}


def test_speeds_are_counted_by_direction_and_label() -> None:
    minutes = run(
        street(20.0),
        [
            (along(14.0, 5.0), "car"),
            (along(26.0, -5.0), "motorcycle"),
            (along(15.0, 5.0), "motorcycle"),
        ],
        seconds=4,
    )
    counted = [bands_of(minutes, one) for one in line_of(minutes).counts]
    assert sorted(counted, key=len) == [
        {"motorcycle": {10: 1}},
        {"car": {10: 1}, "motorcycle": {10: 1}},
    ]


def test_a_road_user_that_enters_the_picture_at_the_line_is_measured_behind_it() -> None:
    """Seen for three frames before the line: its event would have no speed."""
    minutes = run(street(18.0), [(along(12.0, 10.0, begin_s=0.1), "car")], seconds=3)
    assert bands_of(minutes, only_direction(minutes)) == {"car": {30: 1}}


def test_a_road_user_that_leaves_the_picture_behind_the_line_has_the_speed_before_it() -> None:
    trajectory = along(12.0, 7.0, end_s=1.1)
    minutes = run(street(18.0), [(trajectory, "car")], seconds=6)
    assert bands_of(minutes, only_direction(minutes)) == {"car": {20: 1}}


def test_a_road_user_whose_foot_leaves_the_picture_at_the_line_has_the_speed_before_it() -> None:
    """Towards the camera: the lower edge of the box is at the picture's when the middle crosses."""
    minutes = run(street(11.5), [(along(40.0, -9.0), "car")], seconds=3.6)
    assert bands_of(minutes, only_direction(minutes)) == {"car": {30: 1}}


def test_the_speed_is_that_at_the_line_and_not_where_the_vehicle_has_stopped() -> None:
    """It stops at a light 12 m behind the line, and stands in the picture for the rest."""

    def stops(t_s: float) -> Place:
        return 1.9, 14.0 + min(8.0 * t_s, 16.0)

    minutes = run(street(18.0), [(stops, "car")], seconds=20)
    assert bands_of(minutes, only_direction(minutes)) == {"car": {20: 1}}


def test_a_speed_that_is_final_in_the_next_minute_is_counted_there() -> None:
    minutes = run(street(18.0), [(along(14.0 - 8.1 * 58.9, 8.1, begin_s=58.5), "car")], seconds=63)
    crossings = [sum(sum(c.values()) for c in one.lines[0].counts.values()) for one in minutes]
    speeds = [one.lines[0].speeds for one in minutes]
    measured = [
        sum(sum(bands.values()) for one in by.values() for bands in one.bands.values())
        for by in speeds
        if isinstance(by, dict)
    ]
    assert (crossings, measured) == ([1, 0], [0, 1])


@pytest.mark.parametrize("why", ["not calibrated", "stale"])
def test_without_a_calibration_in_force_no_speed_is_counted(why: str) -> None:
    minutes = run(
        street(18.0, calibrated=why == "stale"),
        [(along(14.0, 8.0), "car")],
        seconds=3,
        is_stale=lambda: True,
    )
    speeds = line_of(minutes).speeds
    empty = SpeedCounts(v85_km_h=None, bands={})
    assert speeds == ({"forward": empty, "backward": empty} if why == "stale" else msgspec.UNSET)


@pytest.mark.parametrize(
    ("speed_km_h", "band"),
    [(0.0, 0), (9.99, 0), (10.0, 10), (54.2, 50), (199.9, 190), (431.0, 200)],
)
def test_a_band_begins_at_its_lower_end_and_the_last_one_has_no_upper_end(
    speed_km_h: float, band: int
) -> None:
    assert speed_band(speed_km_h) == band


@given(st.lists(st.floats(0, 260), min_size=V85_MIN_COUNT, max_size=300))
def test_v85_lies_in_the_band_in_which_85_of_100_vehicles_are_reached(speeds: list[float]) -> None:
    bands: dict[int, int] = {}
    for speed in speeds:
        bands[speed_band(speed)] = bands.get(speed_band(speed), 0) + 1
    found = v85_km_h({"car": bands})
    assert found is not None
    reached = sorted(speeds)[-(-85 * len(speeds) // 100) - 1]
    assert speed_band(reached) <= found <= speed_band(reached) + 10
    assert found <= TOP_BAND_KM_H + 10


def test_v85_of_normal_speeds_is_theirs() -> None:
    """Bands of 10 km/h, a standard deviation of 8 km/h, and means anywhere in a band."""
    for mean_km_h in range(45, 56):
        speeds = NormalDist(mean_km_h, 8).samples(2000, seed=mean_km_h)
        bands = Counter(map(speed_band, speeds))
        assert v85_km_h({"car": bands}) == pytest.approx(sorted(speeds)[1699], abs=0.5)


def test_v85_is_of_motor_vehicles_and_not_of_a_few() -> None:
    even: dict[Label, dict[int, int]] = {"car": {30: 25, 40: 15}, "bus": {40: 10}}
    found = v85_km_h(even)
    assert found is not None
    assert v85_km_h({**even, "person": {0: 400}, "bicycle": {10: 400}}) == found
    assert v85_km_h({"car": {30: 30, 40: V85_MIN_COUNT - 31}}) is None
    assert v85_km_h({}) is None


@pytest.mark.parametrize(("band", "text"), [(0, "0-10"), (50, "50-60"), (TOP_BAND_KM_H, "200+")])
def test_a_band_is_named_by_its_ends(band: int, text: str) -> None:
    assert describe_band(band) == text


def test_speeds_of_minutes_add_up_and_have_the_v85_of_all() -> None:
    minute = SpeedCounts(v85_km_h=None, bands={"car": {30: 35, 40: 2}, "person": {0: 1}})
    other = SpeedCounts(v85_km_h=None, bands={"bus": {30: 5}, "car": {30: 10, 60: 1}})
    total = add_speeds([minute, other])
    assert total.bands == {"bus": {30: 5}, "car": {30: 45, 40: 2, 60: 1}, "person": {0: 1}}
    assert total.v85_km_h is not None
    assert total.v85_km_h == v85_km_h({"car": {30: 50, 40: 2, 60: 1}})
    assert add_speeds([]) == SpeedCounts(v85_km_h=None, bands={})
