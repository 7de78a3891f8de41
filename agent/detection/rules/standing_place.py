"""The place at which a road user stands, and its look in the gate's picture. Pure.

Traffic that passes in front of a standing vehicle takes its track along or ends it. The picture still shows where the
vehicle stands: before, between and after the others its place looks as it did. A place has one of three states, measured
against the look that was learned while the road user was detected there:

- shown: the place has the look of the road user;
- empty: it has had another look for a moment and nothing moved there, so the road user has left;
- covered: anything else, such as traffic that passes in front.

A place that had the same look for most of the time before the road user came is a part of the street: a road marking or a
manhole that the detector took for a vehicle.
"""

import math
from collections import deque
from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox
from agent.detection.geometry import covered_ratio
from agent.detection.image import median
from drivers.media import NS_PER_S, Plane

PlaceState = Literal["shown", "covered", "empty"]

_CORE_RATIO = 0.9
"""Part of a box, in each direction, that is the look: the rest is mostly background."""
_MIN_CORE_PX = 5
_MIN_CONTRAST = 6.0
"""Standard deviation of a look, in luma steps: a flat one is found everywhere."""
_SHOWN_MIN_CORRELATION, _EMPTY_MAX_CORRELATION = 0.75, 0.5
_LEARNING_RATE = 0.05
_STILL_AFTER_NS, _MAX_STILL_AGE_NS = 250_000_000, 800_000_000
"""A picture is compared with one that is older than the first and younger than the second."""
_STILL_MAX_CHANGE = 6.0
"""Mean change in luma steps of a patch in which nothing moves, next to that of the whole picture."""
_COVERING_MIN_RATIO = 0.3
"""Part of a place that the box of another road user covers, from which that one is in front of it."""
_EMPTY_AFTER_NS = NS_PER_S
_MAX_NOISE = 6.0
"""Of a picture in which one can tell whether a patch moves."""
_MAX_OTHER_LOOKS = 8
_MAX_STEP_NS = NS_PER_S // 2
_SAMPLE_STRIDE = 7
_EARLIER_INTERVAL_NS, _EARLIER_PICTURES = 10 * NS_PER_S, 8
"""The earlier pictures are of 10 s ago, 20 s, 40 s and so on, 8 in all: the oldest is of 10 to 20 minutes ago."""
_ARRIVAL_NS = NS_PER_S
"""Before a vehicle is at rest, in which a picture may show it nearly there."""
_MIN_EARLIER_NS = 10 * NS_PER_S
"""Least time that is known before a vehicle that has not been seen to move: most that stand in the first picture are tracked
within ten seconds. One that drove here was not in any earlier picture.
"""
_SAME_MIN_CORRELATION = 0.9
"""Of a look and an earlier picture of the same thing: two cars at one place reach 0.85."""
_SAME_MIN_RATIO = 0.75
"""Of the time before. Traffic covers a marking for the rest; a vehicle that was not detected at once has stood for less."""


class GatePictures:
    """The gate's pictures of one camera: that of this frame, one from a moment before, and a few of the last 20 minutes."""

    def __init__(self) -> None:
        self.luma: Plane = np.zeros((0, 0), np.uint8)
        self._recent: deque[tuple[int, Plane]] = deque()
        self.noise = 0.0
        """Median change of a pixel in that time, in luma steps, without that of the picture's brightness."""
        self._t_ns = 0
        self._earlier_by_level: dict[int, tuple[int, Plane]] = {}
        self._earlier_count = 0
        self._kept_ns = 0

    def add(self, luma: Plane, t_ns: int) -> None:
        """Take the picture of a new frame."""
        recent = self._recent
        if recent and recent[-1][1].shape != luma.shape:
            recent.clear()
        while len(recent) > 1 and t_ns - recent[1][0] >= _STILL_AFTER_NS:
            recent.popleft()
        self.luma = luma
        earlier = self._earlier(t_ns)
        if earlier is not None:
            grid = (slice(None, None, _SAMPLE_STRIDE), slice(None, None, _SAMPLE_STRIDE))
            sample = _difference(luma[grid], earlier[grid]).ravel()
            self.noise = float(median(np.abs(sample - median(sample))))
        if not recent or t_ns - recent[-1][0] >= _STILL_AFTER_NS // 2:
            recent.append((t_ns, luma))
        self._t_ns = t_ns
        if not self._earlier_count or t_ns - self._kept_ns >= _EARLIER_INTERVAL_NS:
            self._keep(luma, t_ns)

    def _keep(self, luma: Plane, t_ns: int) -> None:
        """Keep a picture: of every second one the level is 0, of every fourth one 1. The first one has the highest."""
        count, highest = self._earlier_count, _EARLIER_PICTURES - 1
        level = min((count & -count).bit_length() - 1, highest) if count else highest
        self._earlier_by_level[level] = (t_ns, luma)
        self._earlier_count, self._kept_ns = count + 1, t_ns

    def showed(self, look: Plane, box: BoundingBox, before_ns: int, min_known_ns: int) -> bool:
        """Whether a box had a look for most of the known time before `before_ns`. False if too little is known."""
        earlier = sorted(
            (one for one in self._earlier_by_level.values() if one[0] < before_ns),
            key=lambda one: one[0],
        )
        ends_ns = [*(t_ns for t_ns, _ in earlier[1:]), before_ns]
        if not earlier or before_ns - earlier[0][0] < min_known_ns:
            return False
        shown_ns = sum(
            end_ns - t_ns
            for (t_ns, luma), end_ns in zip(earlier, ends_ns, strict=True)
            if _correlation(look, _patch(luma, box)) >= _SAME_MIN_CORRELATION
        )
        return shown_ns >= _SAME_MIN_RATIO * (before_ns - earlier[0][0])

    def is_still(self, box: BoundingBox) -> bool:
        """Whether nothing moves in a box. False if no picture is old enough to say it."""
        earlier = self._earlier(self._t_ns)
        if earlier is None:
            return False
        change = _mean_change(_patch(self.luma, box), _patch(earlier, box))
        return change <= _max_change(self.noise)

    def _earlier(self, t_ns: int) -> Plane | None:
        if not self._recent:
            return None
        earlier_ns, luma = self._recent[0]
        return luma if _STILL_AFTER_NS <= t_ns - earlier_ns <= _MAX_STILL_AGE_NS else None


class StandingPlace:
    """The place of one road user that has stood there since `since_ns`: its box, and the look of the box's core.

    `has_moved`: it was seen elsewhere before.
    """

    def __init__(
        self, box: BoundingBox, since_ns: int, pictures: GatePictures, t_ns: int, *, has_moved: bool
    ) -> None:
        self.box = box
        self.since_ns = since_ns
        self.state: PlaceState = "shown"
        self.shown_ns = t_ns
        """The last time at which the road user was visibly there."""
        patch = _patch(pictures.luma, box)
        self.is_background = pictures.showed(
            patch, box, since_ns - _ARRIVAL_NS, 0 if has_moved else _MIN_EARLIER_NS
        )
        """Whether the place looked the same before the road user came."""
        self._look = patch.astype(np.float32)
        self._shown_since_ns = t_ns
        self._observed_ns = t_ns
        self._other_ns = 0
        self._other_looks: deque[tuple[int, Plane]] = deque(maxlen=_MAX_OTHER_LOOKS)

    def observe(self, pictures: GatePictures, t_ns: int, covering: Iterable[BoundingBox]) -> None:
        """Take the picture of a new frame. `covering` are the boxes of road users that may be in front."""
        step_ns = min(t_ns - self._observed_ns, _MAX_STEP_NS)
        self._observed_ns = t_ns
        patch = _patch(pictures.luma, self.box)
        correlation = _correlation(self._look, patch)
        if correlation >= _SHOWN_MIN_CORRELATION:
            if self.state != "shown":
                self._shown_since_ns = t_ns
                self._other_looks.clear()
            self.state, self.shown_ns, self._other_ns = "shown", t_ns, 0
            return
        if correlation < _EMPTY_MAX_CORRELATION and not any(
            covered_ratio(box, self.box) >= _COVERING_MIN_RATIO for box in covering
        ):
            self._observe_other(patch, step_ns, t_ns, pictures.noise)
        self.state = "empty" if self._other_ns >= _EMPTY_AFTER_NS else "covered"

    def _observe_other(self, patch: Plane, step_ns: int, t_ns: int, noise: float) -> None:
        """Take another look of the place: the ground's comes back between vehicles, and theirs do not."""
        others = self._other_looks
        if any(
            t_ns - seen_ns >= _STILL_AFTER_NS and _mean_change(patch, look) <= _max_change(noise)
            for seen_ns, look in others
        ):
            self._other_ns += step_ns
        if not others or t_ns - others[-1][0] >= _STILL_AFTER_NS:
            others.append((t_ns, patch))

    def is_shown_for(self, duration_ns: int, t_ns: int) -> bool:
        """Whether the road user has been visibly there for a time."""
        return self.state == "shown" and t_ns - self._shown_since_ns >= duration_ns

    def learn(self, pictures: GatePictures) -> None:
        """Follow the light on the road user, which is detected here."""
        patch = _patch(pictures.luma, self.box)
        if self.state == "shown":
            self._look += _LEARNING_RATE * (patch - self._look)
        elif self.state == "empty":
            self._look, self.state, self._other_ns = patch.astype(np.float32), "shown", 0


def has_look(box: BoundingBox, pictures: GatePictures) -> bool:
    """Whether the picture in a box is large and rich enough to be known again, and nothing moves in it."""
    patch = _patch(pictures.luma, box)
    return (
        min(patch.shape) >= _MIN_CORE_PX
        and float(patch.std()) >= _MIN_CONTRAST
        and pictures.is_still(box)
    )


def _core(box: BoundingBox, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return rows and columns of the middle part of a box."""
    height, width = shape
    margin = (1 - _CORE_RATIO) / 2
    return (
        slice(
            max(0, round((box.y + margin * box.h) * height)),
            max(0, round((box.y + (1 - margin) * box.h) * height)),
        ),
        slice(
            max(0, round((box.x + margin * box.w) * width)),
            max(0, round((box.x + (1 - margin) * box.w) * width)),
        ),
    )


def _patch(luma: Plane, box: BoundingBox) -> Plane:
    return luma[_core(box, luma.shape)]


def _difference(a: Plane, b: Plane) -> npt.NDArray[np.float32]:
    return np.subtract(a, b, dtype=np.float32)


def _mean_change(a: Plane, b: Plane) -> float:
    """Return the mean difference of two patches in luma steps, without that of their brightness."""
    if a.shape != b.shape or not a.size:
        return math.inf
    difference = _difference(a, b)
    return float(np.abs(difference - difference.mean()).mean())


def _max_change(noise: float) -> float:
    return _STILL_MAX_CHANGE + 2 * min(noise, _MAX_NOISE)


def _correlation(look: npt.NDArray[np.float32] | Plane, patch: Plane) -> float:
    """Return the correlation coefficient of two patches, which brightness and contrast do not change."""
    if look.shape != patch.shape:
        return 0.0
    a, b = look - look.mean(dtype=np.float32), patch - patch.mean(dtype=np.float32)
    norm = math.sqrt(float(np.vdot(a, a)) * float(np.vdot(b, b)))
    return float(np.vdot(a, b)) / norm if norm > 0 else 0.0
