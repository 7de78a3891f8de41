"""agent.detection.rules.zone_rule, and its rules: zone_entered and dwell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import Event
from tests.pure.rules.scripted_tracks import (
    ScriptedRoadUser,
    event_names,
    run_rules,
    straight_path,
    with_jitter,
    zone_scene,
)


def test_entering_and_leaving_are_one_event_with_begin_and_end() -> None:
    way = straight_path((0, 0.2, 0.5), (4, 0.7, 0.5), (8, 0.7, 0.5), (12, 0.2, 0.5))
    begin, end = run_rules(zone_scene(), [ScriptedRoadUser(way)], 14)
    assert event_names([begin, end]) == ["zone begin", "zone end"]
    assert (begin.event, begin.rev, begin.name) == (end.event, 1, "yard")
    assert end.rev == 2
    assert begin.t_ns == pytest.approx(2.4e9, abs=3e8)
    assert end.t_ns == pytest.approx(9.6e9, abs=3e8)
    assert end.duration_s == pytest.approx((end.t_ns - begin.begin_ns) / 1e9, abs=0.001)


def test_a_track_that_leaves_the_picture_left_the_zone_when_last_seen() -> None:
    events = run_rules(
        zone_scene(), [ScriptedRoadUser(straight_path((0, 0.7, 0.5), (5, 0.95, 0.5)))], 10
    )
    assert event_names(events) == ["zone begin", "zone end"]
    assert events[1].t_ns == pytest.approx(5e9, abs=1e8)


def test_the_foot_of_the_box_counts_and_not_its_centre() -> None:
    low = straight_path((0, 0.45, 0.5), (5, 0.45, 0.5))
    tall = ScriptedRoadUser(low, box=(0.2, 0.1))
    assert run_rules(zone_scene(), [tall], 5) == []


def test_a_track_along_the_edge_is_either_inside_or_outside() -> None:
    way = with_jitter(straight_path((0, 0.3, 0.5), (3, 0.501, 0.5), (60, 0.501, 0.5)), 0.002)
    assert len(run_rules(zone_scene(), [ScriptedRoadUser(way)], 60)) <= 1


def test_a_briefly_hidden_track_does_not_leave() -> None:
    way = straight_path((0, 0.7, 0.5), (20, 0.7, 0.5))
    assert event_names(
        run_rules(zone_scene(), [ScriptedRoadUser(way, hidden_spans_s=[(5, 12)])], 20)
    ) == ["zone begin"]


def test_a_static_track_that_returns_under_a_new_id_never_left() -> None:
    before = ScriptedRoadUser(
        straight_path((0, 0.7, 0.5), (10, 0.7, 0.5)),
        drawn_at=straight_path((0, 0.7, 0.5), (15, 0.7, 0.5)),
    )
    after = ScriptedRoadUser(
        straight_path((15.1, 0.7, 0.5), (20, 0.7, 0.5), (22, 0.3, 0.5), (25, 0.3, 0.5)),
        track=7,
        look=1,
    )
    events = run_rules(zone_scene(), [before, after], 25)
    assert event_names(events) == ["zone begin", "zone end"]
    assert events[1].track == 7


def test_another_road_user_in_the_same_place_much_later_is_another_event() -> None:
    before = ScriptedRoadUser(straight_path((0, 0.7, 0.5), (10, 0.7, 0.5)))
    after = ScriptedRoadUser(straight_path((40, 0.7, 0.5), (45, 0.7, 0.5)), track=7)
    events = run_rules(zone_scene(), [before, after], 45)
    assert event_names(events) == ["zone begin", "zone end", "zone begin"]


@pytest.mark.parametrize(
    ("keys", "kinds"),
    [
        ({}, ["zone begin"]),
        ({"events": False}, []),
        ({"kind": "pavement", "events": True}, ["zone begin"]),
        ({"kind": "pavement", "events": False}, []),
        ({"labels": ("person",)}, []),
        ({"labels": ("person", "car")}, ["zone begin"]),
        ({"events": False, "dwell_after_s": 5}, ["dwell begin"]),
        ({"events": False, "dwell_after_s": 15}, []),
    ],
)
def test_a_zone_reports_only_the_events_of_its_keys(
    keys: dict[str, object], kinds: list[str]
) -> None:
    way = straight_path((0, 0.7, 0.5), (10, 0.7, 0.5))
    assert event_names(run_rules(zone_scene(**keys), [ScriptedRoadUser(way)], 10)) == kinds


def test_a_dwell_begins_after_its_time_and_reports_the_whole_duration() -> None:
    way = straight_path((0, 0.7, 0.5), (10, 0.7, 0.5), (11, 0.3, 0.5), (13, 0.3, 0.5))
    begin, end = run_rules(zone_scene(events=False, dwell_after_s=5), [ScriptedRoadUser(way)], 13)
    assert (begin.t_ns, begin.duration_s) == (5_000_000_000, 5.0)
    assert end.duration_s == pytest.approx(10.4, abs=0.3)


def test_an_open_event_is_updated_every_minute() -> None:
    way = straight_path((0, 0.7, 0.5), (200, 0.7, 0.5))
    events = run_rules(zone_scene(), [ScriptedRoadUser(way)], 190)
    assert event_names(events) == ["zone begin", *["zone update"] * 3]
    assert [event.rev for event in events] == [1, 2, 3, 4]


@given(
    st.lists(st.tuples(st.floats(0.05, 0.95), st.floats(0.1, 0.9)), min_size=2, max_size=10),
    st.integers(0, 99),
)
def test_every_event_begins_ends_and_counts_its_revisions(
    stops: list[tuple[float, float]], seed: int
) -> None:
    points = [(3.0 * i, x, y) for i, (x, y) in enumerate(stops)]
    scene = zone_scene(kind="carriageway", events=True, stopped_after_s=2, direction_deg=180)
    walkers = [
        ScriptedRoadUser(with_jitter(straight_path(*points), 0.003, seed)),
        ScriptedRoadUser(straight_path(*points), track=2, label="person"),
    ]
    by_event: dict[str, list[Event]] = {}
    for event in run_rules(scene, walkers, points[-1][0] + 12):
        by_event.setdefault(event.event, []).append(event)
    for revisions in by_event.values():
        assert [event.rev for event in revisions] == list(range(1, len(revisions) + 1))
        assert revisions[0].phase == "begin"
        assert revisions[-1].phase == "end"
        assert all(event.phase == "update" for event in revisions[1:-1])
        times = [event.t_ns for event in revisions]
        assert times == sorted(times)
        assert {event.begin_ns for event in revisions} == {times[0]}
