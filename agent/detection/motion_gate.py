"""Motion gate: background subtraction on a small luma picture.

A running mean of the picture is the background. Pixels that differ from it by more than the picture's
own noise are foreground; their connected parts are the blobs. On a still picture the work ends after
the difference has been counted, which costs about a tenth of OpenCV's MOG2.
"""

import math
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox
from drivers.media import Plane

_BACKGROUND_TIME_CONSTANT_S = 4.0
"""Time constant of the background."""

_FOREGROUND_TIME_CONSTANT_S = 20.0
"""The same for the foreground, so that a passing object leaves no ghost in the background."""

_MIN_DIFFERENCE = 10.0
_NOISE_FACTOR = 4.5
"""A pixel is foreground above both, in luma steps: the second is times the picture's noise."""

_SAMPLE_STRIDE = 7
"""Noise and changes of light are measured on every seventh pixel in both directions."""

_MIN_BLOB_PX = 24
"""Pixels of the small picture: smaller ones are compression noise."""

_GLOBAL_CHANGE_RATIO = 0.6
"""From this ratio the light or the camera has changed: the background is reset."""

_MAX_BLOBS = 64


class Blob(msgspec.Struct, frozen=True):
    """A connected part of the foreground: its box, and its area by the picture's, holes included."""

    box: BoundingBox
    area_ratio: float


class MotionResult(msgspec.Struct, frozen=True):
    """The motion in one frame, largest blobs first.

    `is_global_change`: the whole picture changed at once, so that no motion can be located.
    """

    moving_ratio: float
    blobs: tuple[Blob, ...]
    is_global_change: bool


class MotionGate:
    """Compares each small luma picture with those before it."""

    def __init__(self, ignored_mask: npt.NDArray[np.bool_] | None = None) -> None:
        """`ignored_mask` is H x W, True at pixels whose motion does not count."""
        self._active_mask = (
            None if ignored_mask is None else np.where(ignored_mask, 0, 255).astype(np.uint8)
        )
        self._mean: npt.NDArray[np.float32] | None = None
        self._last_frame_ns = 0
        self._background_age_s = 0.0
        self._noise = 2.0
        self._kernel = np.ones((3, 3), np.uint8)

    def detect(self, luma: Plane, t_ns: int) -> MotionResult:
        """Return the motion in a picture: none in the first one, nor in one of a new size."""
        if self._mean is None or self._mean.shape != luma.shape:
            self._mean = luma.astype(np.float32)
            self._last_frame_ns, self._background_age_s = t_ns, 0.0
            return MotionResult(0.0, (), is_global_change=True)
        elapsed_s = max(0.0, (t_ns - self._last_frame_ns) / 1e9)
        self._background_age_s += elapsed_s
        self._last_frame_ns = t_ns
        self._compensate_brightness(luma)
        background = cv2.convertScaleAbs(self._mean)
        difference = cv2.absdiff(luma, background)
        threshold = max(_MIN_DIFFERENCE, _NOISE_FACTOR * self._noise)
        _, mask = cv2.threshold(difference, threshold, 255, cv2.THRESH_BINARY)
        if self._active_mask is not None:
            cv2.bitwise_and(mask, self._active_mask, dst=mask)
        count = cv2.countNonZero(mask)
        if count < _MIN_BLOB_PX:
            cv2.accumulateWeighted(
                luma, self._mean, self._learning_rate(elapsed_s, _BACKGROUND_TIME_CONSTANT_S)
            )
            return MotionResult(count / mask.size, (), is_global_change=False)
        if count > _GLOBAL_CHANGE_RATIO * mask.size:
            self._mean = luma.astype(np.float32)
            self._background_age_s = 0.0
            return MotionResult(count / mask.size, (), is_global_change=True)
        background_mask = cv2.bitwise_not(mask)
        cv2.accumulateWeighted(
            luma, self._mean, self._learning_rate(elapsed_s, _FOREGROUND_TIME_CONSTANT_S)
        )
        cv2.accumulateWeighted(
            luma,
            self._mean,
            self._learning_rate(elapsed_s, _BACKGROUND_TIME_CONSTANT_S),
            mask=background_mask,
        )
        return MotionResult(
            count / mask.size, self._find_blobs(np.asarray(mask, np.uint8)), is_global_change=False
        )

    def _learning_rate(self, elapsed_s: float, time_constant_s: float) -> float:
        """Return the weight of a new picture in the background.

        A background younger than the time constant is a plain mean, so that the first picture does not
        outweigh the later ones.
        """
        return 1.0 - math.exp(-elapsed_s / max(1e-3, min(time_constant_s, self._background_age_s)))

    def _compensate_brightness(self, luma: Plane) -> None:
        """Shift the background by the median change, and update the noise."""
        assert self._mean is not None  # noqa: S101 - look() made it
        sample = (
            luma[::_SAMPLE_STRIDE, ::_SAMPLE_STRIDE]
            - self._mean[::_SAMPLE_STRIDE, ::_SAMPLE_STRIDE]
        )
        shift = _median(sample)
        if abs(shift) >= 1.0:
            self._mean += np.float32(shift)
            sample -= np.float32(shift)
        # 1.48 times the median absolute deviation is the standard deviation of normal noise.
        noise = 1.48 * _median(np.abs(sample))
        self._noise += 0.05 * (min(noise, 20.0) - self._noise)

    def _find_blobs(self, mask: Plane) -> tuple[Blob, ...]:
        """Return the parts of the mask, without thin lines (a shaking camera's edges) and small gaps."""
        # Opening, which is to erode and to dilate, and one more dilation.
        mask = np.asarray(cv2.erode(mask, self._kernel), np.uint8)
        mask = np.asarray(cv2.dilate(mask, self._kernel, iterations=2), np.uint8)
        # An outline's box and area cost a tenth of labelling every pixel.
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        height, width = mask.shape
        rows = [(_filled_area_px(contour), cv2.boundingRect(contour)) for contour in contours]
        rows = [row for row in rows if row[0] >= _MIN_BLOB_PX]
        rows.sort(key=lambda row: (-row[0], row[1]))
        return tuple(
            Blob(BoundingBox(x / width, y / height, w / width, h / height), area / mask.size)
            for area, (x, y, w, h) in rows[:_MAX_BLOBS]
        )


def _median(values: npt.NDArray[np.float32]) -> float:
    """Return the median, or the lower of the two middle values: numpy's own takes four times as long."""
    index = (values.size - 1) // 2
    return float(np.partition(values, index, axis=None)[index])


def _filled_area_px(contour: npt.NDArray[Any]) -> float:
    """Return the pixels within an outline, its own and those of holes included: Pick's theorem."""
    return cv2.contourArea(contour) + len(contour) / 2 + 1
