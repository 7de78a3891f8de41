"""agent.detection.rules.line_crossing and line_crossed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.media import Point
from tests.pure.rules.scripted_tracks import (
    PicturePoint,
    ScriptedRoadUser,
    Trajectory,
    event_names,
    line_scene,
    run_rules,
    straight_path,
    with_jitter,
)

RIGHT = straight_path((0, 0.2, 0.5), (4, 0.8, 0.5))
LEFT = straight_path((0, 0.8, 0.5), (4, 0.2, 0.5))


@pytest.mark.parametrize(
    ("start", "to", "way", "direction"),
    [
        ((0.5, 0.9), (0.5, 0.1), straight_path((0, 0.2, 0.5), (4, 0.8, 0.5)), "forward"),
        ((0.5, 0.9), (0.5, 0.1), straight_path((0, 0.8, 0.5), (4, 0.2, 0.5)), "backward"),
        ((0.5, 0.1), (0.5, 0.9), straight_path((0, 0.2, 0.5), (4, 0.8, 0.5)), "backward"),
        ((0.1, 0.5), (0.9, 0.5), straight_path((0, 0.5, 0.2), (4, 0.5, 0.8)), "forward"),
        ((0.1, 0.5), (0.9, 0.5), straight_path((0, 0.5, 0.8), (4, 0.5, 0.2)), "backward"),
        ((0.1, 0.1), (0.9, 0.9), straight_path((0, 0.8, 0.2), (4, 0.2, 0.8)), "forward"),
    ],
)
def test_forward_is_from_the_left_of_the_line_to_its_right(
    start: PicturePoint, to: PicturePoint, way: Trajectory, direction: str
) -> None:
    scene = line_scene(start=Point(*start), to=Point(*to))
    (event,) = run_rules(scene, [ScriptedRoadUser(way)], 4)
    assert (event.kind, event.phase, event.direction) == ("line", "moment", direction)


def test_a_crossing_has_the_time_and_place_of_the_centre_on_the_line() -> None:
    way = straight_path((0, 0.2, 0.3), (4, 0.8, 0.3))
    (event,) = run_rules(line_scene(), [ScriptedRoadUser(way)], 4)
    assert event.t_ns == pytest.approx(2e9, abs=1e6)
    assert event.position == pytest.approx(0.75, abs=0.001)
    assert event.begin_ns == event.t_ns
    assert (event.rev, event.label, event.track, event.camera) == (1, "car", 1, "north")


def test_the_scene_names_the_directions() -> None:
    scene = line_scene(forward_name="into town", backward_name="out of town")
    there = run_rules(scene, [ScriptedRoadUser(RIGHT), ScriptedRoadUser(LEFT, track=2)], 4)
    assert {event.direction for event in there} == {"into town", "out of town"}


def test_a_parked_car_on_a_line_gives_no_event_despite_jitter() -> None:
    way = with_jitter(straight_path((0, 0.5, 0.5), (120, 0.5, 0.5)), 0.008)
    assert run_rules(line_scene(), [ScriptedRoadUser(way)], 120) == []


def test_a_car_that_parks_on_the_line_is_one_event_at_most() -> None:
    way = with_jitter(straight_path((0, 0.2, 0.5), (4, 0.503, 0.5), (120, 0.503, 0.5)), 0.008)
    assert len(run_rules(line_scene(), [ScriptedRoadUser(way)], 120)) <= 1


def test_a_track_that_pauses_on_the_line_crosses_it_once() -> None:
    way = straight_path((0, 0.2, 0.5), (4, 0.5, 0.5), (60, 0.5, 0.5), (64, 0.8, 0.5))
    (event,) = run_rules(line_scene(), [ScriptedRoadUser(with_jitter(way, 0.004))], 64)
    assert event.direction == "forward"


def test_a_track_lost_on_the_line_and_found_under_a_new_id_crosses_it_once() -> None:
    before = ScriptedRoadUser(
        straight_path((0, 0.2, 0.5), (4, 0.499, 0.5), (20, 0.499, 0.5)),
        drawn_at=straight_path((0, 0.2, 0.5), (4, 0.499, 0.5), (25, 0.499, 0.5)),
    )
    after = ScriptedRoadUser(
        straight_path((25.1, 0.499, 0.5), (30, 0.499, 0.5), (34, 0.8, 0.5)), track=2, look=1
    )
    (event,) = run_rules(line_scene(), [before, after], 34)
    assert (event.track, event.direction) == (2, "forward")


def test_crossing_over_and_back_are_two_events() -> None:
    way = straight_path((0, 0.2, 0.5), (3, 0.8, 0.5), (6, 0.2, 0.5))
    events = run_rules(line_scene(), [ScriptedRoadUser(way)], 6)
    assert [event.direction for event in events] == ["forward", "backward"]


def test_a_track_around_the_end_of_a_line_does_not_cross_it() -> None:
    way = straight_path((0, 0.2, 0.5), (2, 0.2, 0.95), (4, 0.8, 0.95), (6, 0.8, 0.5))
    assert run_rules(line_scene(), [ScriptedRoadUser(way)], 6) == []


def test_a_track_around_the_end_and_back_through_the_line_crosses_it_once() -> None:
    way = straight_path((0, 0.2, 0.5), (2, 0.2, 0.95), (4, 0.8, 0.95), (6, 0.8, 0.5), (8, 0.2, 0.5))
    assert [event.direction for event in run_rules(line_scene(), [ScriptedRoadUser(way)], 8)] == [
        "backward"
    ]


def test_a_reverted_prediction_over_the_line_is_not_a_crossing() -> None:
    way = straight_path(
        (0, 0.2, 0.5),
        (1.9, 0.45, 0.5),
        (2.0, 0.6, 0.5),
        (3.0, 0.8, 0.5),
        (3.1, 0.45, 0.5),
        (5, 0.45, 0.5),
    )
    assert run_rules(line_scene(), [ScriptedRoadUser(way, hidden_spans_s=[(1.95, 3.05)])], 5) == []


def test_a_track_hidden_while_crossing_the_line_has_crossed_it() -> None:
    way = straight_path((0, 0.2, 0.5), (4, 0.8, 0.5))
    (event,) = run_rules(line_scene(), [ScriptedRoadUser(way, hidden_spans_s=[(1.45, 2.55)])], 4)
    assert event.direction == "forward"
    assert event.t_ns == pytest.approx(2e9, abs=1e8)


def test_a_track_that_was_over_the_line_before_it_was_confirmed_has_crossed_it() -> None:
    way = straight_path((1.5, 0.44, 0.5), (4, 0.8, 0.5))
    (event,) = run_rules(line_scene(), [ScriptedRoadUser(way, confirmed_from_s=2.1)], 4)
    assert event.direction == "forward"
    assert event.t_ns == pytest.approx(1.917e9, abs=5e7)


def test_a_track_that_begins_on_the_line_has_no_crossing() -> None:
    assert (
        run_rules(line_scene(), [ScriptedRoadUser(straight_path((0, 0.5, 0.5), (4, 0.8, 0.5)))], 4)
        == []
    )


def test_a_track_that_begins_just_before_the_line_has_crossed_it() -> None:
    assert (
        len(
            run_rules(
                line_scene(), [ScriptedRoadUser(straight_path((0, 0.48, 0.5), (4, 0.8, 0.5)))], 4
            )
        )
        == 1
    )


def test_without_each_a_line_counts_without_events() -> None:
    assert run_rules(line_scene(events=False), [ScriptedRoadUser(RIGHT)], 4) == []


def test_a_line_counts_its_own_labels_only() -> None:
    scene = line_scene(labels=("bus", "person"))
    walkers = [ScriptedRoadUser(RIGHT), ScriptedRoadUser(RIGHT, track=2, label="person")]
    assert [event.label for event in run_rules(scene, walkers, 4)] == ["person"]


def test_every_crossing_has_an_event_of_its_own() -> None:
    events = run_rules(line_scene(), [ScriptedRoadUser(RIGHT), ScriptedRoadUser(RIGHT, track=2)], 4)
    assert event_names(events) == ["line moment"] * 2
    assert len({event.event for event in events}) == 2


@given(
    st.lists(st.sampled_from([0.2, 0.35, 0.65, 0.8]), min_size=2, max_size=12),
    st.integers(0, 1000),
)
def test_the_number_of_crossings_equals_the_changes_of_side(stops: list[float], seed: int) -> None:
    points = [(2.0 * i, x, 0.5) for i, x in enumerate(stops)]
    way = with_jitter(straight_path(*points), 0.001, seed)
    events = run_rules(line_scene(), [ScriptedRoadUser(way)], points[-1][0])
    sides = [x > 0.5 for x in stops]
    expected = [
        "forward" if after else "backward"
        for before, after in itertools.pairwise(sides)
        if before != after
    ]
    assert [event.direction for event in events] == expected


@given(st.lists(st.floats(-0.04, 0.04), min_size=1, max_size=200))
def test_in_and_out_of_a_random_walk_never_differ_by_more_than_one(steps: list[float]) -> None:
    xs = [0.45]
    for step in steps:
        xs.append(min(0.95, max(0.05, xs[-1] + step)))
    points = [(0.1 * i, x, 0.5) for i, x in enumerate(xs)]
    right = xs[-1] > 0.5
    end_s = 0.1 * len(xs) + 3
    way = straight_path(*points, (end_s, 0.9 if right else 0.1, 0.5))
    directions = [
        event.direction for event in run_rules(line_scene(), [ScriptedRoadUser(way)], end_s)
    ]
    balance = 0
    for direction in directions:
        balance += 1 if direction == "forward" else -1
        assert balance in (0, 1)
    assert balance == right
