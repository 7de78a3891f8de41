"""agent.detection.rules.stopped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.detection.rule_engine import RuleEngine
from tests.pure.rules.scripted_tracks import (
    ScriptedRoadUser,
    Trajectory,
    event_names,
    frame_results,
    id_maker,
    run_rules,
    straight_path,
    with_jitter,
    zone_scene,
)

STOPS = straight_path((0, 0.2, 0.5), (4, 0.7, 0.5), (40, 0.7, 0.5), (44, 0.95, 0.5))
ROAD = {"kind": "carriageway", "labels": ("car", "bicycle", "person")}


def test_a_vehicle_at_rest_for_long_enough_has_stopped() -> None:
    scene = zone_scene(**ROAD, stopped_after_s=20)
    begin, end = run_rules(scene, [ScriptedRoadUser(with_jitter(STOPS, 0.003))], 46)
    assert event_names([begin, end]) == ["stopped begin", "stopped end"]
    assert begin.t_ns == pytest.approx(24e9, abs=1e9)
    assert begin.duration_s == pytest.approx(20.0, abs=0.001)
    assert end.t_ns == pytest.approx(40e9, abs=1.5e9)


@pytest.mark.parametrize(
    ("why", "way", "label"),
    [
        (
            "it leaves too soon",
            straight_path((0, 0.7, 0.5), (15, 0.7, 0.5), (17, 0.95, 0.5)),
            "car",
        ),
        ("it creeps", straight_path((0, 0.55, 0.5), (60, 0.95, 0.5)), "car"),
        ("it is at rest elsewhere", straight_path((0, 0.2, 0.5), (60, 0.2, 0.5)), "car"),
        ("it is a person", straight_path((0, 0.7, 0.5), (60, 0.7, 0.5)), "person"),
    ],
)
def test_a_vehicle_in_motion_has_not_stopped(why: str, way: Trajectory, label: str) -> None:
    scene = zone_scene(**ROAD, stopped_after_s=20)
    events = run_rules(scene, [ScriptedRoadUser(way, label=label)], 60)
    assert [event for event in events if event.kind == "stopped"] == [], why


def test_a_vehicle_moving_along_the_line_of_sight_has_not_stopped() -> None:
    away = [
        ScriptedRoadUser(
            straight_path((t, 0.7, 0.5), (t + 1, 0.7, 0.5)), box=(0.2 * 0.9**t, 0.2 * 0.9**t)
        )
        for t in range(30)
    ]
    events = run_rules(zone_scene(**ROAD, stopped_after_s=10), away, 30)
    assert event_names(events) == []


def test_a_stopped_vehicle_behind_a_passing_bus_remains_stopped() -> None:
    before = ScriptedRoadUser(straight_path((0, 0.7, 0.5), (30, 0.7, 0.5)))
    after = ScriptedRoadUser(
        with_jitter(straight_path((36, 0.7, 0.5), (60, 0.7, 0.5)), 0.003), track=9, look=1
    )
    events = run_rules(zone_scene(**ROAD, stopped_after_s=20), [before, after, passing(30, 36)], 60)
    assert event_names(events) == ["stopped begin"]


def passing(begin_s: float, end_s: float, track: int = 5) -> ScriptedRoadUser:
    """A lorry that passes in front of the middle of the zone, which it covers between two times."""
    half_s = (end_s - begin_s) / 2
    way = straight_path((begin_s - half_s, 0.1, 0.5), (end_s + half_s, 1.3, 0.5))
    return ScriptedRoadUser(way, track=track, label="truck", box=(0.4, 0.2))


def carried_off(by: ScriptedRoadUser, from_s: float, until_s: float) -> Trajectory:
    """The track of a vehicle that stands at (0.7, 0.5) until another takes it along, as optical flow does."""

    def position_at(t_s: float) -> tuple[float, float] | None:
        if t_s <= from_s:
            return (0.7, 0.5)
        position, start = by.position_at(t_s), by.position_at(from_s)
        if t_s > until_s or position is None or start is None:
            return None
        return (0.7 + position[0] - start[0], 0.5)

    return position_at


STANDS = straight_path((0, 0.7, 0.5), (60, 0.7, 0.5))


@pytest.mark.parametrize("first_pass_s", [1.5, 4.0, 10.0, 17.0, 19.5])
@pytest.mark.parametrize("track_returns_after_s", [0.5, 5.0])
def test_traffic_that_takes_the_track_of_a_standing_vehicle_along_delays_no_event(
    first_pass_s: float, track_returns_after_s: float
) -> None:
    lorry = passing(first_pass_s, first_pass_s + 1)
    end_s = first_pass_s + 1.5
    vehicle = ScriptedRoadUser(carried_off(lorry, first_pass_s, end_s), drawn_at=STANDS)
    found = ScriptedRoadUser(
        straight_path((end_s + track_returns_after_s, 0.7, 0.5), (60, 0.7, 0.5)), track=9, look=1
    )
    events = run_rules(zone_scene(**ROAD, stopped_after_s=20), [vehicle, found, lorry], 60)
    assert event_names(events) == ["stopped begin"]
    assert events[0].t_ns == pytest.approx(20e9, abs=1e9)


def brakes(t_s: float) -> tuple[float, float]:
    """A vehicle that brakes evenly and stands at (0.7, 0.5) from 5 s on."""
    return (0.7 - 0.3 * max(0.0, 1 - t_s / 5) ** 2, 0.5)


def test_a_vehicle_that_braked_slowly_keeps_its_place_when_traffic_takes_its_track() -> None:
    lorry = passing(12, 13)
    carried = carried_off(lorry, 12, 13.5)
    vehicle = ScriptedRoadUser(
        lambda t_s: brakes(t_s) if t_s < 12 else carried(t_s), drawn_at=brakes
    )
    found = ScriptedRoadUser(straight_path((14, 0.7, 0.5), (60, 0.7, 0.5)), track=9, look=1)
    events = run_rules(zone_scene(**ROAD, stopped_after_s=20), [vehicle, found, lorry], 40)
    assert event_names(events) == ["stopped begin"]
    assert events[0].t_ns == pytest.approx(24e9, abs=1.5e9)


def test_a_vehicle_that_is_passed_every_five_seconds_is_one_event() -> None:
    lorries = [passing(t, t + 1, 20 + t) for t in range(5, 60, 5)]
    tracks = [
        ScriptedRoadUser(
            carried_off(lorry, t, t + 1), confirmed_from_s=t - 3.5, drawn_at=STANDS, track=t, look=1
        )
        for t, lorry in zip(range(5, 60, 5), lorries, strict=True)
    ]
    events = run_rules(zone_scene(**ROAD, stopped_after_s=20), [*tracks, *lorries], 60)
    assert event_names(events) == ["stopped begin"]
    assert events[0].t_ns == pytest.approx(21.5e9, abs=1e9)


def test_a_vehicle_that_drives_on_behind_a_lorry_has_left() -> None:
    lorry = passing(40, 43)
    vehicle = ScriptedRoadUser(straight_path((0, 0.7, 0.5), (41, 0.7, 0.5)))
    begin, end = run_rules(zone_scene(**ROAD, stopped_after_s=20), [vehicle, lorry], 60)
    assert event_names([begin, end]) == ["stopped begin", "stopped end"]
    assert end.t_ns == pytest.approx(41e9, abs=3e9)


def test_another_vehicle_at_the_place_of_one_that_left_is_another_event() -> None:
    first = ScriptedRoadUser(
        straight_path((0, 0.7, 0.5), (30, 0.7, 0.5), (32, 1.1, 0.5)), track=1, look=31
    )
    second = ScriptedRoadUser(
        straight_path((31, 0.3, 0.5), (33, 0.7, 0.5), (80, 0.7, 0.5)), track=2, look=32
    )
    events = run_rules(zone_scene(**ROAD, stopped_after_s=20), [first, second], 80)
    assert event_names(events) == ["stopped begin", "stopped end", "stopped begin"]
    assert events[2].t_ns == pytest.approx(53e9, abs=1.5e9)


@given(
    st.lists(st.tuples(st.floats(0.5, 3.0), st.floats(0.5, 4.0)), min_size=1, max_size=5),
    st.integers(0, 99),
)
def test_a_standing_vehicle_is_one_event_however_it_is_passed(
    passes: list[tuple[float, float]], seed: int
) -> None:
    lorries, t_s = [], 4.0
    for number, (cover_s, gap_s) in enumerate(passes, 20):
        lorries.append(passing(t_s, t_s + cover_s, number))
        t_s += cover_s * 2 + gap_s
    vehicle = ScriptedRoadUser(with_jitter(STANDS, 0.004, seed))
    events = run_rules(zone_scene(**ROAD, stopped_after_s=10), [vehicle, *lorries], 40)
    assert [event.kind for event in events if event.label == "car"] == ["stopped"]


def test_a_vanished_vehicle_begins_no_event() -> None:
    gone = ScriptedRoadUser(straight_path((0, 0.7, 0.5), (15, 0.7, 0.5)))
    assert run_rules(zone_scene(**ROAD, stopped_after_s=20), [gone], 40) == []


def test_one_bad_bounding_box_does_not_end_a_stopped_event() -> None:
    def way(t_s: float) -> tuple[float, float]:
        return (0.8, 0.6) if round(t_s, 1) in (8.0, 15.0, 24.0) else (0.7, 0.5)

    events = run_rules(zone_scene(**ROAD, stopped_after_s=20), [ScriptedRoadUser(way)], 30)
    assert event_names(events) == ["stopped begin"]
    assert events[0].t_ns == pytest.approx(20e9, abs=1e8)


@pytest.mark.parametrize("taken_for_a_vehicle_from_s", [12.0, 25.0, 65.0, 900.0])
def test_a_part_of_the_street_that_is_taken_for_a_vehicle_has_not_stopped(
    taken_for_a_vehicle_from_s: float,
) -> None:
    end_s = taken_for_a_vehicle_from_s + 40
    place = straight_path((0, 0.7, 0.5), (end_s, 0.7, 0.5))
    marking = ScriptedRoadUser(
        straight_path((taken_for_a_vehicle_from_s, 0.7, 0.5), (end_s, 0.7, 0.5)), drawn_at=place
    )
    lorries = [passing(t_s, t_s + 1, round(t_s)) for t_s in range(5, round(end_s) - 5, 10)]
    events = run_rules(zone_scene(**ROAD, stopped_after_s=20), [marking, *lorries], end_s)
    assert event_names(events) == []


@pytest.mark.parametrize("comes_s", [3.0, 8.0, 12.0])
def test_a_track_that_leaves_its_vehicle_for_a_part_of_the_street_has_not_stopped(
    comes_s: float,
) -> None:
    marking = ScriptedRoadUser(
        straight_path((comes_s - 3, 0.52, 0.95), (comes_s, 0.7, 0.5), (60, 0.7, 0.5)),
        drawn_at=straight_path((0, 0.7, 0.5), (60, 0.7, 0.5)),
    )
    assert run_rules(zone_scene(**ROAD, stopped_after_s=20), [marking], 50) == []


@pytest.mark.parametrize("arrives_s", [3.0, 12.0, 200.0])
@pytest.mark.parametrize("found_after_s", [0.0, 8.0, 25.0])
def test_a_vehicle_that_is_found_long_after_it_came_has_stopped(
    arrives_s: float, found_after_s: float
) -> None:
    found_s = arrives_s + found_after_s
    vehicle = ScriptedRoadUser(
        straight_path((found_s, 0.7, 0.5), (found_s + 30, 0.7, 0.5)),
        drawn_at=straight_path((arrives_s, 0.7, 0.5), (found_s + 30, 0.7, 0.5)),
    )
    events = run_rules(zone_scene(**ROAD, stopped_after_s=20), [vehicle], found_s + 30)
    assert event_names(events) == ["stopped begin"]
    assert events[0].t_ns == pytest.approx((found_s + 20) * 1e9, abs=1e9)


def test_a_vehicle_that_stood_there_at_the_start_and_is_found_later_has_stopped() -> None:
    found_s = 6.0
    vehicle = ScriptedRoadUser(
        straight_path((found_s, 0.7, 0.5), (60, 0.7, 0.5)),
        drawn_at=straight_path((0, 0.7, 0.5), (60, 0.7, 0.5)),
    )
    events = run_rules(zone_scene(**ROAD, stopped_after_s=20), [vehicle], 40)
    assert event_names(events) == ["stopped begin"]


def test_another_vehicle_at_the_same_place_after_a_gap_of_minutes_has_not_stood_through_it() -> (
    None
):
    first = ScriptedRoadUser(straight_path((0, 0.7, 0.5), (10, 0.7, 0.5)), track=1, look=31)
    second = ScriptedRoadUser(straight_path((310, 0.7, 0.5), (340, 0.7, 0.5)), track=2, look=32)
    rule_engine = RuleEngine("north", zone_scene(**ROAD, stopped_after_s=20), id_maker())
    events = [
        event
        for result in frame_results([first, second], 340)
        if not 10.0 < result.t_ns / 1e9 < 310.0
        for event in rule_engine.evaluate(result)
    ]
    assert event_names(events) == ["stopped begin"]
    assert events[0].t_ns == pytest.approx(330e9, abs=1e9)
