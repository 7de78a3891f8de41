"""A street made by hand: road users that go where a test sends them, seen as eyes would see them."""

import itertools
import random
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from agent.base.model import BoundingBox, Event, FrameResult, Label, Track
from agent.detection.geometry import Point
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene, SceneLine, Zone

S = 1_000_000_000
STEP_NS = S // 10

_BUSY = np.random.default_rng(3).integers(60, 200, (90, 160), dtype=np.uint8)
_PICTURES = tuple(
    _BUSY + np.random.default_rng(seed).integers(0, 4, _BUSY.shape, dtype=np.uint8)
    for seed in range(3)
)
"""One view, with noise: nothing is ever wrong with it."""

Place = tuple[float, float]
"""Where the centre of a road user is."""

Way = Callable[[float], Place | None]
"""From a time in s to a place, or None where nobody is there."""


def new_id() -> Callable[[int], str]:
    numbers = itertools.count(1)
    return lambda _t_ns: f"event-{next(numbers)}"


class Walker:
    """One track: where its centre is at a time in s, or None where it is not there.

    `hidden` are spans in s in which the tracker goes on with a prediction; before
    `shown_from_s` it has seen the road user and not confirmed it yet.
    """

    def __init__(
        self,
        where: Way,
        *,
        track: int = 1,
        label: Label = "car",
        box: Place = (0.1, 0.1),
        hidden: Iterable[tuple[float, float]] = (),
        shown_from_s: float = 0.0,
    ) -> None:
        self.where = where
        self.track = track
        self.label: Label = label
        self.box = box
        self.hidden = tuple(hidden)
        self.shown_from_s = shown_from_s
        self._seen_ns: int | None = None
        self._begin_ns: int | None = None

    def at(self, t_ns: int) -> Track | None:
        t_s = t_ns / S
        place = self.where(t_s)
        if place is None:
            return None
        if self._begin_ns is None:
            self._begin_ns = t_ns
        if self._seen_ns is None or not any(a <= t_s <= b for a, b in self.hidden):
            self._seen_ns = t_ns
        if t_s < self.shown_from_s:
            return None
        before = self.where(t_s - 0.1) or place
        width, height = self.box
        return Track(
            id=self.track,
            label=self.label,
            score=0.8,
            box=BoundingBox(place[0] - width / 2, place[1] - height / 2, width, height),
            vx=(place[0] - before[0]) * 10,
            vy=(place[1] - before[1]) * 10,
            begin_ns=self._begin_ns,
            seen_ns=self._seen_ns,
        )


def path(*points: tuple[float, float, float]) -> Way:
    """Straight ways between (t_s, x, y); nobody is there before the first and after the last."""

    def where(t_s: float) -> Place | None:
        for (t0, x0, y0), (t1, x1, y1) in itertools.pairwise(points):
            if t0 <= t_s <= t1:
                share = (t_s - t0) / (t1 - t0)
                return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share
        return None

    return where


def shaky(where: Way, spread: float, seed: int = 1) -> Way:
    """The same way with a detector's jitter."""

    def shaken(t_s: float) -> Place | None:
        place = where(t_s)
        rng = random.Random(f"{seed} {round(t_s * 1000)}")
        if place is None:
            return None
        return place[0] + rng.gauss(0, spread), place[1] + rng.gauss(0, spread)

    return shaken


def sights(
    walkers: Iterable[Walker], until_s: float, step_ns: int = STEP_NS
) -> Iterator[FrameResult]:
    walkers = list(walkers)
    for seq, t_ns in enumerate(range(0, round(until_s * S) + 1, step_ns)):
        tracks = [track for walker in walkers if (track := walker.at(t_ns)) is not None]
        yield FrameResult(
            seq=seq, t_ns=t_ns, gate=_PICTURES[seq % 3], moving=0.0, tracks=tuple(tracks), passes=1
        )


def judged(
    scene: Scene, walkers: Iterable[Walker], until_s: float, step_ns: int = STEP_NS
) -> list[Event]:
    """The events of a scene while the walkers walk, those of the end left out."""
    judge = RuleEngine("north", scene, new_id())
    events: list[Event] = []
    for sight in sights(walkers, until_s, step_ns):
        events.extend(judge.evaluate(sight))
    return events


def told(events: Iterable[Event]) -> list[str]:
    """Events in short: `kind phase`."""
    return [f"{event.kind} {event.phase}" for event in events]


def line(**keys: object) -> Scene:
    """A scene with one upright line in the middle, walked upwards: forward is to the right."""
    base = {"name": "gate", "start": Point(0.5, 0.9), "to": Point(0.5, 0.1), "each": True}
    return Scene(line=(SceneLine(**(base | keys)),))


def zone(**keys: object) -> Scene:
    """A scene with one zone: the right half of the picture, from x = 0.5 on.

    Who enters and leaves is told in a zone of kind `any` alone, unless `each` says otherwise.
    """
    plain = {"name": "yard", "each": keys.get("kind", "any") == "any"}
    corners = (Point(0.5, 0.0), Point(1.0, 0.0), Point(1.0, 1.0), Point(0.5, 1.0))
    return Scene(zone=(Zone(**(plain | {"polygon": corners} | keys)),))
