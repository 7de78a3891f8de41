"""agent.detection.rules.stopped."""

import pytest

from tests.pure.rules.scripted_tracks import (
    ScriptedRoadUser,
    Trajectory,
    event_names,
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
        with_jitter(straight_path((36, 0.7, 0.5), (60, 0.7, 0.5)), 0.003), track=9
    )
    events = run_rules(zone_scene(**ROAD, stopped_after_s=20), [before, after], 60)
    assert event_names(events) == ["stopped begin"]


def test_a_vanished_vehicle_begins_no_event() -> None:
    gone = ScriptedRoadUser(straight_path((0, 0.7, 0.5), (15, 0.7, 0.5)))
    assert run_rules(zone_scene(**ROAD, stopped_after_s=20), [gone], 40) == []


def test_one_bad_bounding_box_does_not_end_a_stopped_event() -> None:
    def way(t_s: float) -> tuple[float, float]:
        return (0.8, 0.6) if round(t_s, 1) in (8.0, 15.0, 24.0) else (0.7, 0.5)

    events = run_rules(zone_scene(**ROAD, stopped_after_s=20), [ScriptedRoadUser(way)], 30)
    assert event_names(events) == ["stopped begin"]
    assert events[0].t_ns == pytest.approx(20e9, abs=1e8)
