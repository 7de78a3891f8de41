"""agent.detection.rule_engine."""

import itertools

import msgspec

from agent.base.model import Event
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene
from tests.pure.rules.scripted_tracks import (
    NS_PER_S,
    ScriptedRoadUser,
    event_names,
    frame_results,
    id_maker,
    line_scene,
    run_rules,
    straight_path,
    with_jitter,
    zone_scene,
)

BUSY = Scene(
    line=line_scene().line,
    zone=(
        *zone_scene(
            kind="carriageway", stopped_after_s=5, direction_deg=0, dwell_after_s=3, events=True
        ).zone,
    ),
)


def walkers() -> list[ScriptedRoadUser]:
    return [
        ScriptedRoadUser(
            with_jitter(
                straight_path((0, 0.2, 0.5), (4, 0.7, 0.5), (20, 0.7, 0.5), (24, 0.2, 0.5)), 0.004
            )
        ),
        ScriptedRoadUser(with_jitter(straight_path((2, 0.9, 0.3), (9, 0.1, 0.3)), 0.004), track=2),
        ScriptedRoadUser(straight_path((0, 0.6, 0.8), (15, 0.9, 0.8)), track=3, label="person"),
    ]


def test_the_same_frames_give_the_same_events() -> None:
    first, second = (run_rules(BUSY, walkers(), 30) for _ in range(2))
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    assert len({event.kind for event in first}) >= 5


def test_the_end_of_the_clip_ends_open_events() -> None:
    engine = RuleEngine("north", BUSY, id_maker())
    events: list[Event] = []
    for sight in frame_results(walkers(), 12):
        events.extend(engine.evaluate(sight))
    last = engine.flush(12 * NS_PER_S)
    assert last
    assert {event.phase for event in last} == {"end"}
    for _, revisions in itertools.groupby(
        sorted([*events, *last], key=lambda e: (e.event, e.rev)), key=lambda e: e.event
    ):
        assert list(revisions)[-1].phase in ("end", "moment")
    assert engine.flush(13 * NS_PER_S) == ()


def test_an_empty_scene_evaluates_only_tampering() -> None:
    assert run_rules(Scene(), walkers(), 30) == []


def test_two_zones_of_one_area_report_separate_events() -> None:
    yard = zone_scene().zone[0]
    scene = Scene(zone=(yard, msgspec.structs.replace(yard, name="other")))
    events = run_rules(scene, [ScriptedRoadUser(straight_path((0, 0.7, 0.5), (5, 0.7, 0.5)))], 5)
    assert event_names(events) == ["zone begin"] * 2
    assert {event.name for event in events} == {"yard", "other"}
