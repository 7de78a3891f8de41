"""Quality of a camera's pictures by the pictures themselves, and the limits that it sets to counts. Pure.

Once a second two pictures of the motion gate in a row are compared. Each measure is the median of the last samples, so
that a lorry before the camera, a keyframe of the encoder or a flash of the sun does not decide. The thresholds are those
at which counts on labelled films fall under an F1 of 0.8 (docs/view.md).
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.view_condition import VIEW_LIMITS, ViewLimit
from agent.detection.contrast_stretch import NONE_FROM_SPAN, LumaRange
from agent.detection.image import median
from drivers.media import NS_PER_S, Plane

WINDOW_SAMPLES = 9
"""Samples of which each measure is the median."""
MIN_SAMPLES = 5
MAX_STEP_NS, MIN_MOVING_NS = 3 * NS_PER_S, 2 * NS_PER_S
"""A longer time between two pictures is a gap, and less time in motion says nothing of pictures a second."""
MIN_CONTRAST_TO_NOISE = 16.0
"""Luma span by noise. The films have 147 and more."""
DARK_HIGH_LUMA = 90.0
"""A picture whose brightest parts are below is dark; a brighter one with little contrast is in fog."""
MIN_STREAK_DENSITY = 0.09
"""The films have up to 0.016, a light rain 0.04 to 0.07, and a heavy one 0.11 and more."""
MAX_SHAKE_PX = 2.8
"""By the gate's picture, from one picture to the next: more than the tracker bridges."""
MIN_PICTURES_PER_S = 2.5
MIN_WIDTH_PX = 100
"""A narrower picture shows a car in ten pixels or less."""

_NOISE_STRIDE = 3
"""Noise is measured on every third pixel in both directions."""
_MAD_TO_STD = 1.4826
"""Standard deviation of normal noise by its median absolute deviation."""
_STREAK_NOISE_FACTOR, _MIN_STREAK_LUMA = 5.0, 6.0
"""A change between two pictures is no noise above both: the first is times the standard deviation of the difference."""
_MAX_STREAK_WIDTH_PX = 3
_WIDE_KERNEL = np.ones((1, _MAX_STREAK_WIDTH_PX + 1), np.uint8)
_CELL_GRID = (8, 6)
_CELL_PERCENTILE = 25
"""Rain falls in all cells of a grid; traffic covers less than three quarters of them."""
_MAX_SHIFT_PX = 12
_MIN_LIKENESS = 0.6
"""Correlation of two profiles, below which noise or rain hides their shift."""


class PictureQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Measures of the pictures of the last seconds.

    `noise` is the standard deviation of a pixel from one picture to the next, in steps of luma. `streak_density` is the
    part of a quarter of the picture with the fewest that changes in thin streaks, as by rain and snow. `shift_px` is the
    shift of the whole picture from one to the next, in pixels of the gate's. `pictures_per_s` counts those while something
    moves, and is None if nothing did. Sharpness is measured by `agent.base.picture_sharpness`.
    """

    luma: LumaRange
    noise: float
    streak_density: float
    shift_px: float
    pictures_per_s: float | None
    width_px: int


def view_limits(quality: PictureQuality) -> tuple[ViewLimit, ...]:
    """Return why road users are missed in pictures of this quality, in the order of VIEW_LIMITS."""
    limits = set(_iter_limits(quality))
    return tuple(limit for limit in VIEW_LIMITS if limit in limits)


def _iter_limits(quality: PictureQuality) -> Iterator[ViewLimit]:
    if quality.pictures_per_s is not None and quality.pictures_per_s < MIN_PICTURES_PER_S:
        yield "frame_rate"
    if quality.width_px < MIN_WIDTH_PX:
        yield "small"
    if quality.shift_px > MAX_SHAKE_PX:
        # Each pixel of a picture that shakes differs from the one before, as by noise and streaks.
        yield "shaken"
        return
    span = quality.luma.span
    if quality.streak_density > MIN_STREAK_DENSITY:
        yield "rain"
    elif span < MIN_CONTRAST_TO_NOISE * quality.noise:
        # A picture of full contrast is as noisy if a camera amplifies too little light.
        is_veiled = quality.luma.high >= DARK_HIGH_LUMA and span < NONE_FROM_SPAN
        yield "low_contrast" if is_veiled else "dark"


class _Sample(NamedTuple):
    """Measures of two pictures in a row, of which the second has the luma range."""

    low: float
    high: float
    noise: float
    streak_density: float
    shift_px: float


class PictureQualityMeter:
    """Measures the quality of one camera's pictures, which come in the order of time."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=WINDOW_SAMPLES)
        self._moving_steps_ns: deque[list[int]] = deque([[]], maxlen=WINDOW_SAMPLES)
        """The times between pictures in which something moves, since each sample."""
        self._previous: Plane | None = None
        self._current: Plane | None = None
        self._last_ns: int | None = None
        self._was_moving = False

    def forget(self) -> None:
        """Forget the samples: the pictures since them show nothing of the street, or another view."""
        self._samples.clear()
        self._moving_steps_ns = deque([[]], maxlen=WINDOW_SAMPLES)

    def observe(self, gate_luma: Plane, t_ns: int, *, is_moving: bool) -> None:
        """Take each picture of the motion gate, and whether something moves in it."""
        if self._last_ns is not None and self._was_moving and is_moving:
            self._moving_steps_ns[-1].append(min(t_ns - self._last_ns, MAX_STEP_NS))
        self._last_ns, self._was_moving = t_ns, is_moving
        self._previous, self._current = self._current, gate_luma

    def measure(self, luma: LumaRange) -> PictureQuality | None:
        """Compare the last two pictures, and return the quality; None for the first few samples.

        `luma` is the range of the last one.
        """
        previous, current = self._previous, self._current
        if previous is None or current is None:
            return None
        if previous.shape != current.shape:
            self._samples.clear()
            return None
        self._samples.append(_measure_pair(previous, current, luma))
        steps_ns = [step_ns for steps_ns in self._moving_steps_ns for step_ns in steps_ns]
        self._moving_steps_ns.append([])
        if len(self._samples) < MIN_SAMPLES:
            return None
        low, high, noise, streak_density, shift_px = median(np.array(self._samples)).tolist()
        moving_ns = sum(steps_ns)
        return PictureQuality(
            luma=LumaRange(low, high),
            noise=noise,
            streak_density=streak_density,
            shift_px=shift_px,
            pictures_per_s=len(steps_ns) * NS_PER_S / moving_ns
            if moving_ns >= MIN_MOVING_NS
            else None,
            width_px=current.shape[1],
        )


def _measure_pair(previous: Plane, current: Plane, luma: LumaRange) -> _Sample:
    difference = np.asarray(cv2.absdiff(previous, current), np.uint8)
    noise = _measure_noise(difference)
    return _Sample(
        luma.low,
        luma.high,
        noise,
        _measure_streaks(difference, noise),
        _measure_shift(previous, current),
    )


def _measure_noise(difference: Plane) -> float:
    """Return the standard deviation of a pixel's noise by the median of its changes, which traffic does not reach.

    Changes are whole steps of luma: within the step of the median its place is interpolated.
    """
    values = difference[::_NOISE_STRIDE, ::_NOISE_STRIDE].ravel()
    below = np.cumsum(np.bincount(values, minlength=256))
    step = int(np.searchsorted(below, values.size / 2))
    before = int(below[step - 1]) if step else 0
    change = step - 0.5 + (values.size / 2 - before) / (int(below[step]) - before)
    # The difference of two pictures has the noise of both.
    return _MAD_TO_STD * max(0.0, change) / 2**0.5


def _measure_streaks(difference: Plane, noise: float) -> float:
    """Return the part of a cell that changes in streaks narrower than _MAX_STREAK_WIDTH_PX and is no noise."""
    threshold = max(_MIN_STREAK_LUMA, _STREAK_NOISE_FACTOR * 2**0.5 * noise)
    _, changed = cv2.threshold(difference, threshold, 1, cv2.THRESH_BINARY)
    wide = cv2.morphologyEx(changed, cv2.MORPH_OPEN, _WIDE_KERNEL)
    thin = cv2.subtract(changed, wide).astype(np.float32)
    cells = np.sort(cv2.resize(thin, _CELL_GRID, interpolation=cv2.INTER_AREA), axis=None)
    return float(cells[cells.size * _CELL_PERCENTILE // 100])


def _measure_shift(previous: Plane, current: Plane) -> float:
    """Return the larger shift along the width and the height: where the slopes of the profiles match best."""
    return max(
        _shift_of_profile(*(_profile_slope(luma, axis) for luma in (previous, current)))
        for axis in (0, 1)
    )


def _profile_slope(luma: Plane, axis: int) -> npt.NDArray[np.float32]:
    """Return the slope of the mean luma of each column (axis 0) or row."""
    profile = cv2.reduce(luma, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
    return np.asarray(np.diff(profile), np.float32)


def _shift_of_profile(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> float:
    reach = min(_MAX_SHIFT_PX, len(before) // 4)
    if not reach:
        return 0.0
    inner = after[reach:-reach]
    match = np.correlate(before, inner, "valid")
    best = int(np.argmax(match))
    likeness = float(match[best]) / max(
        1e-6, float(np.linalg.norm(before[best : best + len(inner)]) * np.linalg.norm(inner))
    )
    if likeness < _MIN_LIKENESS:
        return 0.0
    if best in (0, 2 * reach):
        return float(reach)
    left, middle, right = match[best - 1 : best + 2].tolist()
    bend = left - 2 * middle + right
    between = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return abs(best - reach + float(between))
