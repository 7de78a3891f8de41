"""agent.detection.rules.count_rule, and its two rules: queue and crowd."""

import pytest

from agent.base.model import Label
from tests.pure.rules.scripted_tracks import (
    ScriptedRoadUser,
    event_names,
    run_rules,
    straight_path,
    with_jitter,
    zone_scene,
)

QUEUE = zone_scene(kind="queue", queue_min_count=3)


def standing(number: int, *, until_s: float = 60, label: Label = "car") -> list[ScriptedRoadUser]:
    return [
        ScriptedRoadUser(
            with_jitter(
                straight_path((0, 0.62, 0.12 + 0.15 * i), (until_s, 0.62, 0.12 + 0.15 * i)),
                0.003,
                i,
            ),
            track=i + 1,
            label=label,
        )
        for i in range(number)
    ]


@pytest.mark.parametrize(
    ("number", "label", "events"),
    [(2, "car", []), (3, "car", ["queue begin"]), (5, "bus", ["queue begin"]), (5, "person", [])],
)
def test_a_queue_needs_enough_vehicles(number: int, label: Label, events: list[str]) -> None:
    assert event_names(run_rules(QUEUE, standing(number, label=label), 30)) == events


def test_passing_vehicles_are_not_a_queue() -> None:
    walkers = [
        ScriptedRoadUser(
            straight_path((i, 0.55, 0.2 * i + 0.1), (i + 6, 0.95, 0.2 * i + 0.1)), track=i
        )
        for i in range(1, 5)
    ]
    assert run_rules(QUEUE, walkers, 12) == []


def test_a_creeping_vehicle_is_in_the_queue() -> None:
    walkers = [
        ScriptedRoadUser(straight_path((0, 0.55, 0.2 * i), (30, 0.95, 0.2 * i)), track=i)
        for i in range(1, 4)
    ]
    assert event_names(run_rules(QUEUE, walkers, 29)) == ["queue begin"]


def test_a_queue_event_has_its_count_its_place_and_its_end() -> None:
    late = ScriptedRoadUser(straight_path((20, 0.85, 0.5), (40, 0.85, 0.5)), track=9)
    events = run_rules(QUEUE, [*standing(3, until_s=40), late], 60)
    assert event_names(events) == ["queue begin", "queue update", "queue end"]
    assert [event.count for event in events[:2]] == [3, 4]
    assert events[1].box is not None
    assert events[1].box.x + events[1].box.w == pytest.approx(0.9, abs=0.02)
    assert events[2].t_ns == pytest.approx(41e9, abs=2e9)
    assert len({event.event for event in events}) == 1


def test_a_flickering_count_is_not_reported() -> None:
    flicker = ScriptedRoadUser(lambda t_s: (0.85, 0.5) if t_s % 2 < 1 else (0.3, 0.5), track=9)
    assert event_names(run_rules(QUEUE, [*standing(3), flicker], 50)) == ["queue begin"]


def test_a_crowd_counts_people_only() -> None:
    scene = zone_scene(kind="pavement", crowd_min_count=4)
    assert run_rules(scene, standing(5, label="car"), 20) == []
    (event,) = run_rules(scene, standing(5, label="person"), 20)
    assert (event.kind, event.count, event.name) == ("crowd", 5, "yard")


def test_a_vehicle_that_is_out_of_sight_is_in_the_queue_only_where_its_place_is_known() -> None:
    tiny = (0.03, 0.04)
    lost = ScriptedRoadUser(straight_path((0, 0.7, 0.6), (8, 0.7, 0.6)), track=9, box=tiny)
    third = ScriptedRoadUser(straight_path((8, 0.62, 0.9), (40, 0.62, 0.9)), track=8)
    assert run_rules(QUEUE, [*standing(1), lost, third], 30) == []


def test_a_vehicle_that_only_slowed_down_leaves_no_place_in_the_queue() -> None:
    slowed = ScriptedRoadUser(
        straight_path((2.5, 0.4, 0.6), (3.5, 0.7, 0.6), (4.2, 0.7, 0.6), (4.9, 0.99, 0.6)),
        track=9,
        drawn_at=straight_path((2.5, 0.4, 0.6), (3.5, 0.7, 0.6), (40, 0.7, 0.6)),
    )
    third = ScriptedRoadUser(straight_path((0, 0.62, 0.9), (40, 0.62, 0.9)), track=8)
    assert run_rules(QUEUE, [*standing(1), slowed, third], 30) == []


def test_a_vehicle_that_waited_for_a_moment_and_drives_on_is_in_no_queue() -> None:
    way = straight_path((3, 0.56, 0.6), (5, 0.7, 0.6), (8.6, 0.7, 0.6), (10.1, 0.98, 0.6))
    third = ScriptedRoadUser(way, track=9, box=(0.03, 0.04))
    assert run_rules(QUEUE, [*standing(2), third], 12) == []


def test_a_queue_has_lasted_for_four_seconds_and_a_crowd_for_two() -> None:
    (queue,) = run_rules(QUEUE, standing(3), 20)
    (crowd,) = run_rules(
        zone_scene(kind="pavement", crowd_min_count=3), standing(3, label="person"), 20
    )
    assert crowd.duration_s == 2.0
    assert queue.duration_s == 4.0


def test_a_vehicle_that_its_place_shows_is_in_the_queue_only_if_it_is_detected() -> None:
    """The detector sees it for four seconds, and finds it again or not."""
    place = straight_path((0, 0.7, 0.6), (60, 0.7, 0.6))
    lost = ScriptedRoadUser(straight_path((0, 0.7, 0.6), (4, 0.7, 0.6)), track=8, drawn_at=place)
    found = ScriptedRoadUser(straight_path((6, 0.7, 0.6), (60, 0.7, 0.6)), track=9, look=8)
    third = ScriptedRoadUser(straight_path((4, 0.62, 0.9), (60, 0.62, 0.9)), track=7)
    assert run_rules(QUEUE, [*standing(1), lost, third], 30) == []
    assert event_names(run_rules(QUEUE, [*standing(1), lost, found, third], 30)) == ["queue begin"]


def test_two_boxes_of_one_vehicle_are_one_in_the_queue() -> None:
    """One track has its front and ends, another one its rear: both places show it."""
    long_box = (0.2, 0.1)
    place = straight_path((0, 0.75, 0.6), (60, 0.75, 0.6))
    front = ScriptedRoadUser(
        straight_path((0, 0.71, 0.6), (6, 0.71, 0.6)),
        track=7,
        drawn_at=lambda _t_s: None,
        box=(0.12, 0.1),
    )
    rear = ScriptedRoadUser(
        straight_path((5, 0.78, 0.6), (60, 0.78, 0.6)),
        track=8,
        drawn_at=lambda _t_s: None,
        box=(0.12, 0.1),
    )
    vehicle = ScriptedRoadUser(lambda _t_s: None, track=9, drawn_at=place, box=long_box)
    events = run_rules(QUEUE, [*standing(2), vehicle, front, rear], 40)
    assert [event.count for event in events] == [3]
