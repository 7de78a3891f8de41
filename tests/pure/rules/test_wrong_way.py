"""agent.detection.rules.wrong_way."""

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

ROAD = {"kind": "carriageway", "labels": ("car", "bicycle", "person")}


LEFTWARDS = straight_path((0, 0.95, 0.5), (6, 0.55, 0.5))
RIGHTWARDS = straight_path((0, 0.55, 0.5), (6, 0.95, 0.5))
UPWARDS = straight_path((0, 0.75, 0.95), (6, 0.75, 0.3))
DOWNWARDS = straight_path((0, 0.75, 0.3), (6, 0.75, 0.95))


@pytest.mark.parametrize(
    ("direction_deg", "way", "wrong"),
    [
        (0, LEFTWARDS, True),
        (0, RIGHTWARDS, False),
        (0, UPWARDS, False),
        (0, DOWNWARDS, False),
        (180, RIGHTWARDS, True),
        (180, LEFTWARDS, False),
        (90, DOWNWARDS, True),
        (90, UPWARDS, False),
        (270, UPWARDS, True),
        (270, DOWNWARDS, False),
        (45, straight_path((0, 0.95, 0.3), (6, 0.6, 0.9)), True),
        (45, straight_path((0, 0.6, 0.9), (6, 0.95, 0.3)), False),
    ],
)
def test_directions_are_degrees_counter_clockwise_from_the_right(
    direction_deg: float, way: Trajectory, *, wrong: bool
) -> None:
    scene = zone_scene(**ROAD, direction_deg=direction_deg)
    events = run_rules(scene, [ScriptedRoadUser(with_jitter(way, 0.001))], 6)
    assert event_names(events) == (["wrong_way begin"] if wrong else [])


@pytest.mark.parametrize(
    ("why", "walker"),
    [
        (
            "a person walks as he likes",
            ScriptedRoadUser(LEFTWARDS, label="person", box=(0.02, 0.02)),
        ),
        (
            "a car that stands",
            ScriptedRoadUser(with_jitter(straight_path((0, 0.7, 0.5), (9, 0.7, 0.5)), 0.008)),
        ),
        (
            "a car that backs into a parking space",
            ScriptedRoadUser(
                straight_path((0, 0.7, 0.5), (3, 0.7, 0.5), (5, 0.61, 0.5), (9, 0.61, 0.5))
            ),
        ),
        (
            "a track that hops from one car to the next",
            ScriptedRoadUser(
                straight_path(
                    (0, 0.9, 0.5),
                    (1, 0.9, 0.5),
                    (1.4, 0.75, 0.5),
                    (3, 0.75, 0.5),
                    (3.4, 0.6, 0.5),
                    (6, 0.6, 0.5),
                ),
                hidden_spans_s=[(0.95, 1.45), (2.95, 3.45)],
            ),
        ),
    ],
)
def test_permitted_directions_are_not_the_wrong_way(why: str, walker: ScriptedRoadUser) -> None:
    events = run_rules(zone_scene(**ROAD, direction_deg=0), [walker], 9)
    assert [event for event in events if event.kind == "wrong_way"] == [], why


def test_the_wrong_way_ends_with_the_vehicle() -> None:
    events = run_rules(zone_scene(**ROAD, direction_deg=0), [ScriptedRoadUser(LEFTWARDS)], 12)
    assert event_names(events) == ["wrong_way begin", "wrong_way end"]
    assert events[1].t_ns == pytest.approx(6e9, abs=2e8)
