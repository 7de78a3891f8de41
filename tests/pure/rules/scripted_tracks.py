"""A scripted street: road users on given trajectories, as tracks of a detector."""

import functools
import inspect
import itertools
import random
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from agent.base.model import BoundingBox, Event, FrameResult, Label, Track
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene, SceneLine, Zone
from drivers.media import Plane, Point

NS_PER_S = 1_000_000_000
STEP_NS = NS_PER_S // 10

_BUSY_PICTURE = np.random.default_rng(3).integers(60, 200, (90, 160), dtype=np.uint8)
BUSY_PICTURES = tuple(
    _BUSY_PICTURE + np.random.default_rng(seed).integers(0, 4, _BUSY_PICTURE.shape, dtype=np.uint8)
    for seed in range(3)
)
"""One view, with noise: nothing is ever wrong with it."""

PICTURE_SIZE_PX = (1280, 720)

PicturePoint = tuple[float, float]
"""The centre of a road user."""

Trajectory = Callable[[float], PicturePoint | None]
"""From a time in s to a position, or None if the road user is absent."""


def id_maker() -> Callable[[int], str]:
    numbers = itertools.count(1)
    return lambda _t_ns: f"event-{next(numbers)}"


class ScriptedRoadUser:
    """One track: its centre at a time in s, or None if it is absent.

    `hidden_spans_s` are spans in s in which the tracker continues with a prediction; before
    `confirmed_from_s` it has seen the road user and not confirmed it yet. The picture shows it at `drawn_at`,
    without it at `position_at` without jitter, and two tracks of one road user have the same `look`.
    """

    def __init__(
        self,
        position_at: Trajectory,
        *,
        track: int = 1,
        label: Label = "car",
        box: PicturePoint = (0.1, 0.1),
        hidden_spans_s: Iterable[tuple[float, float]] = (),
        confirmed_from_s: float = 0.0,
        drawn_at: Trajectory | None = None,
        look: int | None = None,
    ) -> None:
        self.position_at = position_at
        self.drawn_at: Trajectory = drawn_at or inspect.unwrap(position_at)
        self.track = track
        self.label: Label = label
        self.box = box
        self.hidden_spans_s = tuple(hidden_spans_s)
        self.confirmed_from_s = confirmed_from_s
        blocks = np.random.default_rng(look or track).integers(20, 240, (23, 40), dtype=np.uint8)
        self._texture = blocks.repeat(4, axis=0).repeat(4, axis=1)
        self._seen_ns: int | None = None
        self._begin_ns: int | None = None

    def track_at(self, t_ns: int) -> Track | None:
        t_s = t_ns / NS_PER_S
        position = self.position_at(t_s)
        if position is None:
            return None
        if self._begin_ns is None:
            self._begin_ns = t_ns
        if self._seen_ns is None or not any(a <= t_s <= b for a, b in self.hidden_spans_s):
            self._seen_ns = t_ns
        if t_s < self.confirmed_from_s:
            return None
        previous = self.position_at(t_s - 0.1) or position
        width, height = self.box
        return Track(
            id=self.track,
            label=self.label,
            score=0.8,
            box=BoundingBox(position[0] - width / 2, position[1] - height / 2, width, height),
            vx=(position[0] - previous[0]) * 10,
            vy=(position[1] - previous[1]) * 10,
            begin_ns=self._begin_ns,
            seen_ns=self._seen_ns,
        )

    def draw(self, picture: Plane, t_s: float) -> None:
        """Draw it into the gate's picture, in front of what is there."""
        position = self.drawn_at(t_s)
        if position is None:
            return
        height, width = picture.shape
        w, h = round(self.box[0] * width), round(self.box[1] * height)
        left, top = round(position[0] * width - w / 2), round(position[1] * height - h / 2)
        rows = slice(max(0, top), max(0, min(height, top + h)))
        columns = slice(max(0, left), max(0, min(width, left + w)))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        picture[rows, columns] = self._texture[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]


def straight_path(*points: tuple[float, float, float]) -> Trajectory:
    """Straight paths between (t_s, x, y); the road user is absent before the first and after the last."""

    def position_at(t_s: float) -> PicturePoint | None:
        for (t0, x0, y0), (t1, x1, y1) in itertools.pairwise(points):
            if t0 <= t_s <= t1:
                fraction = (t_s - t0) / (t1 - t0)
                return x0 + (x1 - x0) * fraction, y0 + (y1 - y0) * fraction
        return None

    return position_at


def with_jitter(position_at: Trajectory, spread: float, seed: int = 1) -> Trajectory:
    """The same way with a detector's jitter."""

    @functools.wraps(position_at)
    def jittered(t_s: float) -> PicturePoint | None:
        position = position_at(t_s)
        rng = random.Random(f"{seed} {round(t_s * 1000)}")
        if position is None:
            return None
        return position[0] + rng.gauss(0, spread), position[1] + rng.gauss(0, spread)

    return jittered


def frame_results(
    road_users: Iterable[ScriptedRoadUser], end_s: float, step_ns: int = STEP_NS
) -> Iterator[FrameResult]:
    road_users = list(road_users)
    for seq, t_ns in enumerate(range(0, round(end_s * NS_PER_S) + 1, step_ns)):
        tracks = [track for walker in road_users if (track := walker.track_at(t_ns)) is not None]
        picture = BUSY_PICTURES[seq % 3].copy()
        for walker in road_users:
            walker.draw(picture, t_ns / NS_PER_S)
        yield FrameResult(
            seq=seq,
            t_ns=t_ns,
            width_px=PICTURE_SIZE_PX[0],
            height_px=PICTURE_SIZE_PX[1],
            gate_luma=picture,
            moving_ratio=0.0,
            tracks=tuple(tracks),
            inference_count=1,
        )


def run_rules(
    scene: Scene, road_users: Iterable[ScriptedRoadUser], end_s: float, step_ns: int = STEP_NS
) -> list[Event]:
    """The events of a scene while the walkers walk, those of the end left out."""
    rule_engine = RuleEngine("north", scene, id_maker())
    events: list[Event] = []
    for frame_result in frame_results(road_users, end_s, step_ns):
        events.extend(rule_engine.evaluate(frame_result))
    return events


def event_names(events: Iterable[Event]) -> list[str]:
    """Events in short: `kind phase`."""
    return [f"{event.kind} {event.phase}" for event in events]


def line_scene(**overrides: object) -> Scene:
    """A scene with one upright line in the middle, walked upwards: forward is to the right."""
    defaults = {"name": "gate", "start": Point(0.5, 0.9), "to": Point(0.5, 0.1), "events": True}
    return Scene(line=(SceneLine(**(defaults | overrides)),))


def zone_scene(**overrides: object) -> Scene:
    """Return a scene with one zone: the right half of the picture, from x = 0.5 on.

    Entering and leaving are events in a zone of kind `any` alone, unless overridden.
    """
    defaults = {"name": "yard", "events": overrides.get("kind", "any") == "any"}
    corners = (Point(0.5, 0.0), Point(1.0, 0.0), Point(1.0, 1.0), Point(0.5, 1.0))
    return Scene(zone=(Zone(**(defaults | {"polygon": corners} | overrides)),))
