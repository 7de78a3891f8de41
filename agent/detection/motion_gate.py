"""The motion gate: where a small luma picture differs from what it used to be.

A running mean of the picture is the background. What differs from it by more than the picture's
own noise is foreground; its connected parts are the blobs. On a still picture the work ends
after the difference has been counted, which is about a tenth of what OpenCV's MOG2 costs.
"""

import math

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox
from drivers.media import Plane

_BACKGROUND_S = 4.0
"""Time constant of the background."""

_FOREGROUND_S = 20.0
"""The same for what differs from it, so that what passes leaves no ghost of itself behind."""

_LEAST_DIFFERENCE = 10.0
_NOISE_FACTOR = 4.5
"""A difference is one where it is over both, in luma steps: the second times the picture's noise."""

_SAMPLE = 7
"""Noise and a change of light are judged on every seventh pixel in both directions."""

_LEAST_BLOB = 24
"""Pixels of the small picture: smaller ones are compression noise."""

_EVERYWHERE = 0.6
"""From this share on it is the light or the camera that moved: the background starts anew."""

_MOST_BLOBS = 64


class Blob(msgspec.Struct, frozen=True):
    """One connected part that moves: its box in 0..1 of the picture, and the share that it fills,
    holes included.
    """

    box: BoundingBox
    area: float


class MotionResult(msgspec.Struct, frozen=True):
    """What moved in one frame. `share` of the picture is 0..1; blobs are largest first.

    `upset` says that the whole picture changed at once, so that nothing is known of where.
    """

    share: float
    blobs: tuple[Blob, ...]
    upset: bool


class MotionGate:
    """Compares each small luma picture with those before it. All must be of one size."""

    def __init__(self, ignored: npt.NDArray[np.bool_] | None = None) -> None:
        """`ignored`: H x W, True where motion does not count."""
        self._watched = None if ignored is None else np.where(ignored, 0, 255).astype(np.uint8)
        self._mean: npt.NDArray[np.float32] | None = None
        self._seen_ns = 0
        self._known_s = 0.0
        self._noise = 2.0
        self._kernel = np.ones((3, 3), np.uint8)

    def look(self, small: Plane, t_ns: int) -> MotionResult:
        """What moves in this picture. The first one moves nowhere; nor does one of a new size."""
        if self._mean is None or self._mean.shape != small.shape:
            self._mean = small.astype(np.float32)
            self._seen_ns, self._known_s = t_ns, 0.0
            return MotionResult(0.0, (), upset=True)
        past_s = max(0.0, (t_ns - self._seen_ns) / 1e9)
        self._known_s += past_s
        self._seen_ns = t_ns
        self._follow_light(small)
        background = cv2.convertScaleAbs(self._mean)
        difference = cv2.absdiff(small, background)
        threshold = max(_LEAST_DIFFERENCE, _NOISE_FACTOR * self._noise)
        _, mask = cv2.threshold(difference, threshold, 255, cv2.THRESH_BINARY)
        if self._watched is not None:
            cv2.bitwise_and(mask, self._watched, dst=mask)
        count = cv2.countNonZero(mask)
        if count < _LEAST_BLOB:
            cv2.accumulateWeighted(small, self._mean, self._share(past_s, _BACKGROUND_S))
            return MotionResult(count / mask.size, (), upset=False)
        if count > _EVERYWHERE * mask.size:
            self._mean = small.astype(np.float32)
            self._known_s = 0.0
            return MotionResult(count / mask.size, (), upset=True)
        still = cv2.bitwise_not(mask)
        cv2.accumulateWeighted(small, self._mean, self._share(past_s, _FOREGROUND_S))
        cv2.accumulateWeighted(small, self._mean, self._share(past_s, _BACKGROUND_S), mask=still)
        return MotionResult(count / mask.size, self._blobs(np.asarray(mask, np.uint8)), upset=False)

    def _share(self, past_s: float, constant_s: float) -> float:
        """How much of a new picture becomes background. What is known for less than the time
        constant is a plain mean, so that the first picture does not outlive its worth.
        """
        return 1.0 - math.exp(-past_s / max(1e-3, min(constant_s, self._known_s)))

    def _follow_light(self, small: Plane) -> None:
        """Shift the background by what most of the picture changed by, and learn the noise."""
        assert self._mean is not None  # noqa: S101 - look() made it
        sample = small[::_SAMPLE, ::_SAMPLE] - self._mean[::_SAMPLE, ::_SAMPLE]
        shift = _middle(sample)
        if abs(shift) >= 1.0:
            self._mean += np.float32(shift)
            sample -= np.float32(shift)
        # 1.48 times the median of the absolute deviations is the deviation of a normal noise.
        now = 1.48 * _middle(np.abs(sample))
        self._noise += 0.05 * (min(now, 20.0) - self._noise)

    def _blobs(self, mask: Plane) -> tuple[Blob, ...]:
        """The parts of the mask, small gaps closed and thin lines (a shaking camera's edges) gone."""
        # Opened, which is to erode and to dilate, and dilated again.
        mask = np.asarray(cv2.erode(mask, self._kernel), np.uint8)
        mask = np.asarray(cv2.dilate(mask, self._kernel, iterations=2), np.uint8)
        # An outline's box and area cost a tenth of what labelling every pixel does.
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        height, width = mask.shape
        rows = [(_filled_px(outline), cv2.boundingRect(outline)) for outline in outlines]
        rows = [row for row in rows if row[0] >= _LEAST_BLOB]
        rows.sort(key=lambda row: (-row[0], row[1]))
        return tuple(
            Blob(BoundingBox(x / width, y / height, w / width, h / height), area / mask.size)
            for area, (x, y, w, h) in rows[:_MOST_BLOBS]
        )


def _middle(values: npt.NDArray[np.float32]) -> float:
    """The median, or the lower of the two in the middle: numpy's own takes four times as long."""
    middle = (values.size - 1) // 2
    return float(np.partition(values, middle, axis=None)[middle])


def _filled_px(outline: cv2.typing.MatLike) -> float:
    """The pixels that an outline holds, its own and those of holes in it too: Pick's theorem."""
    return cv2.contourArea(outline) + len(outline) / 2 + 1
