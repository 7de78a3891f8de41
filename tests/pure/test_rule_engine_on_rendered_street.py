"""agent.detection.rule_engine on the ground truth of the rendered street."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.base.model import BoundingBox, Event, FrameResult, Track
from agent.detection import scene as scenes
from agent.detection.rule_engine import RuleEngine
from simulation.street.fixed_view import FixedView, TruthBox, truth_boxes
from tests.pure.rules.scripted_tracks import NS_PER_S, id_maker

SCENE = Path(__file__).parents[2] / "centre" / "demo" / "scenes" / "street.toml"
LENGTH_S = 58
PLAIN_PICTURE = np.full((90, 160), 128, np.uint8)
"""A picture that shows nothing: neither is the view evaluated, nor has a road user a place in it."""


def sights(seed: int) -> Iterator[FrameResult]:
    view = FixedView(640, 360)
    begun_ns: dict[int, int] = {}
    for seq in range(LENGTH_S * 10):
        t_ns = seq * NS_PER_S // 10
        tracks = tuple(
            track(truth, t_ns, begun_ns.setdefault(truth.id, t_ns))
            for truth in truth_boxes(seed, t_ns / NS_PER_S, view)
            if truth.hidden < 0.6
        )
        yield FrameResult(
            seq=seq,
            t_ns=t_ns,
            width_px=640,
            height_px=360,
            gate_luma=PLAIN_PICTURE,
            moving_ratio=0.0,
            tracks=tracks,
            inference_count=0,
        )


def track(truth: TruthBox, t_ns: int, begin_ns: int) -> Track:
    return Track(
        id=truth.id,
        label=truth.label,
        score=0.9,
        box=BoundingBox(truth.x, truth.y, truth.w, truth.h),
        vx=0.0,
        vy=0.0,
        begin_ns=begin_ns,
        seen_ns=t_ns,
    )


@pytest.fixture(scope="module", params=[1, 2])
def events(request: pytest.FixtureRequest) -> list[Event]:
    engine = RuleEngine("drawn", scenes.load_scene(SCENE), id_maker())
    evaluated = [event for sight in sights(request.param) for event in engine.evaluate(sight)]
    return [*evaluated, *engine.flush(LENGTH_S * NS_PER_S)]


def begun(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event.kind == kind and event.rev == 1]


def test_the_car_that_pulls_up_has_stopped_until_it_leaves(events: list[Event]) -> None:
    (stopped,) = begun(events, "stopped")
    (end,) = [e for e in events if e.event == stopped.event and e.phase == "end"]
    assert stopped.name == "right lane"
    assert end.duration_s is not None
    assert 20 < end.duration_s < 40


def test_the_car_in_the_wrong_lane_gives_a_wrong_way_event(events: list[Event]) -> None:
    (wrong,) = begun(events, "wrong_way")
    assert wrong.name == "left lane"
    assert 43e9 < wrong.t_ns < 50e9


def test_every_pedestrian_on_the_zebra_is_counted_once(events: list[Event]) -> None:
    crossed = [event for event in begun(events, "line") if event.name == "zebra"]
    assert len({event.track for event in crossed}) == len(crossed) == 3


def test_cars_are_counted_once_in_the_right_direction(events: list[Event]) -> None:
    crossed = [event for event in begun(events, "line") if event.name == "street"]
    assert len({event.track for event in crossed}) == len(crossed)
    assert {event.direction for event in crossed} == {"towards the camera", "away from the camera"}
    assert 8 <= len(crossed) <= 14
