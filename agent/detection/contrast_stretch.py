"""Contrast stretch: detection sees the narrow luma range of a dark, foggy or rainy picture as a full one. Pure.

Counts fall in such a picture long before a person sees nothing in it: the motion gate takes what is left of a car for
noise, and the detector was trained on full contrast. The gate, the optical flow and the crops of the detector get the
stretched luma; snapshots, recordings and the diagnosis of the view get the picture as it is. Its effect, and the
rejected alternatives, are in docs/decisions/0052-contrast-stretch.md.
"""

import math
from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.detection.image import Region
from drivers.media import NS_PER_S, Frame, Plane

RANGE_WIDTH_PX = 80
"""Width of the picture whose luma range is measured: noise, rain and lamps of a pixel are averaged out."""
LOW_PERCENTILE, HIGH_PERCENTILE = 2, 98

FULL_BELOW_SPAN, NONE_FROM_SPAN = 90.0, 120.0
"""A range narrower than the first is stretched to all of luma, and one wider than the second not at all. Day and lit night
have 130 to 216 on 23 films: stretched too, they lose counts.
"""
NONE_TO_SPAN, FULL_FROM_SPAN, MIN_STRETCHED_SPAN = 4.0, 8.0, 16.0
"""A range up to the first is noise, as of a capped lens, and stays as it is; one narrower than the last is stretched as that."""
SAMPLE_INTERVAL_NS = NS_PER_S
WIDEN_TIME_CONSTANT_S, NARROW_TIME_CONSTANT_S = 1.0, 60.0
"""A bright car on empty asphalt, which alone has a narrow range by day, widens it at once and for minutes. Fog, rain and
dusk come as slowly as it narrows.
"""
RANGE_STEPS = 4
"""Steps of a luma in which the range is followed."""
NOISE_SIGMA_PX = 0.9
"""Of a Gaussian of 3 x 3, which keeps the noise from being stretched as well."""
MAX_LUMA, NEUTRAL_CHROMA = 255, 128
MAX_CHROMA_GAIN = 3.0
"""Low contrast dims colour as well; a larger gain shows the noise of the chroma."""
_VALUES = np.arange(MAX_LUMA + 1, dtype=np.float32)


class LumaRange(msgspec.Struct, frozen=True):
    """The 2nd and the 98th percentile of a picture's luma."""

    low: float
    high: float

    @property
    def span(self) -> float:
        """The width of the range, in steps of luma."""
        return self.high - self.low


class _Tables(msgspec.Struct, frozen=True):
    """The stretched value of each value of a plane."""

    luma: Plane
    chroma: Plane


def measure_luma_range(luma: Plane, ignored_mask: npt.NDArray[np.bool_] | None = None) -> LumaRange:
    """Measure the luma range of a picture, which is scaled down first, outside of a mask of its size."""
    height, width = luma.shape
    size = (RANGE_WIDTH_PX, max(1, round(height * RANGE_WIDTH_PX / width)))
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    if ignored_mask is not None:
        is_seen = cv2.resize(ignored_mask.astype(np.uint8), size, interpolation=cv2.INTER_AREA) == 0
        small = small[is_seen] if is_seen.any() else small
    ordered = np.sort(small, axis=None)
    low, high = (
        float(ordered[(ordered.size - 1) * percentile // 100])
        for percentile in (LOW_PERCENTILE, HIGH_PERCENTILE)
    )
    return LumaRange(low, high)


class ContrastStretch:
    """Stretches the pictures of one camera, which come in the order of time.

    `luma` is the range of the picture that was measured last.
    """

    def __init__(self) -> None:
        self.luma = self._followed = LumaRange(0.0, MAX_LUMA)
        self._sampled_ns: int | None = None
        self._last_ns = 0
        self._tables: _Tables | None = None
        self._tables_range: LumaRange | None = None

    def stretch_gate(
        self, gate_luma: Plane, t_ns: int, ignored_mask: npt.NDArray[np.bool_] | None
    ) -> Plane:
        """Return a picture of the motion gate as it is to be searched.

        The range is measured once a second outside of the mask. At first it is taken for a full one.
        """
        if self._sampled_ns is None:
            self._last_ns = t_ns
        if self._sampled_ns is None or t_ns - self._sampled_ns >= SAMPLE_INTERVAL_NS:
            self.luma, self._sampled_ns = measure_luma_range(gate_luma, ignored_mask), t_ns
        self._follow(t_ns)
        return gate_luma if self._tables is None else _stretch(gate_luma, self._tables.luma)

    def _follow(self, t_ns: int) -> None:
        elapsed_s, self._last_ns = max(0.0, (t_ns - self._last_ns) / NS_PER_S), t_ns
        followed, luma = self._followed, self.luma
        widening, narrowing = (
            1 - math.exp(-elapsed_s / constant_s)
            for constant_s in (WIDEN_TIME_CONSTANT_S, NARROW_TIME_CONSTANT_S)
        )
        low_weight = widening if luma.low < followed.low else narrowing
        high_weight = widening if luma.high > followed.high else narrowing
        self._followed = LumaRange(
            followed.low + low_weight * (luma.low - followed.low),
            followed.high + high_weight * (luma.high - followed.high),
        )
        rounded = LumaRange(
            round(self._followed.low * RANGE_STEPS) / RANGE_STEPS,
            round(self._followed.high * RANGE_STEPS) / RANGE_STEPS,
        )
        if rounded != self._tables_range:
            self._tables, self._tables_range = _make_tables(rounded), rounded

    def stretch_regions(
        self, frame: Frame, regions: Sequence[Region], input_width_px: int
    ) -> Frame:
        """Return a frame that is stretched in `regions`, and undefined elsewhere.

        A region of twice the detector's input is averaged on the way there, which removes the noise.
        """
        tables = self._tables
        if tables is None or not regions:
            return frame
        height, width = frame.height_px, frame.width_px
        y = np.empty((height, width), np.uint8)
        u, v = (np.empty(((height + 1) // 2, (width + 1) // 2), np.uint8) for _ in range(2))
        for region in regions:
            luma, *chroma = frame.part(region.x, region.y, region.right, region.bottom)
            rows, columns = slice(region.y, region.bottom), slice(region.x, region.right)
            is_averaged = region.w >= 2 * input_width_px
            y[rows, columns] = (
                cv2.LUT(luma, tables.luma) if is_averaged else _stretch(luma, tables.luma)
            )
            rows, columns = (
                slice(region.y // 2, region.bottom // 2),
                slice(region.x // 2, region.right // 2),
            )
            for source, target in zip(chroma, (u, v), strict=True):
                target[rows, columns] = cv2.LUT(source, tables.chroma)
        return Frame(
            seq=frame.seq,
            t_ns=frame.t_ns,
            y=y,
            u=u,
            v=v,
            is_late=frame.is_late,
            inference=frame.inference,
        )


def _stretch(luma: Plane, table: Plane) -> Plane:
    smooth = cv2.GaussianBlur(luma, (3, 3), NOISE_SIGMA_PX)
    return np.asarray(cv2.LUT(smooth, table), np.uint8)


def _make_tables(luma: LumaRange) -> _Tables | None:
    """Return the tables of a luma range, or None if it is wide enough, or too narrow to be more than noise.

    Between two spans they are a blend with the picture as it is, so that none differs at once from the one before.
    """
    share = min(
        1.0,
        (NONE_FROM_SPAN - luma.span) / (NONE_FROM_SPAN - FULL_BELOW_SPAN),
        (luma.span - NONE_TO_SPAN) / (FULL_FROM_SPAN - NONE_TO_SPAN),
    )
    if share <= 0:
        return None
    span = max(MIN_STRETCHED_SPAN, luma.span)
    gain = MAX_LUMA / span
    middle = (luma.low + luma.high) / 2
    return _Tables(
        luma=_blend((_VALUES - middle) * gain + MAX_LUMA / 2, share),
        chroma=_blend(
            (_VALUES - NEUTRAL_CHROMA) * min(gain, MAX_CHROMA_GAIN) + NEUTRAL_CHROMA, share
        ),
    )


def _blend(stretched: npt.NDArray[np.float32], share: float) -> Plane:
    blended = _VALUES + share * (np.clip(stretched, 0, MAX_LUMA) - _VALUES)
    return np.asarray(np.rint(blended), np.uint8)
