"""Headlights at night: two small bright spots side by side are the front of a vehicle. Pure.

A detector trained on daylight does not recognise a car of which only the lamps show, and the motion
of several cars merges in the light of their beams. A lamp is a sharp peak of the gate's luma; the
road in its light is as bright, but soft.
"""

import cv2
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox
from drivers.media import Plane

_NIGHT_BLACK_LUMA, _NIGHT_DIM_LUMA = 50, 125
"""Night: a tenth of the picture is below the first luma and three quarters below the second."""

_MAX_LAMP_PX, _PEAK_WINDOW_PX = 7, 5
"""A lamp is narrower than the first, and the brightest pixel within the second."""

_MIN_LAMP_LUMA, _MIN_LAMP_CONTRAST = 200, 55
"""Luma of a lamp, and its contrast to everything wider than a lamp. Measured on approaching
headlights: lamps 60 to 130, their reflections on the road mostly below 45.
"""

_MAX_LUMA_DIFFERENCE, _MIN_VALLEY_DEPTH = 60, 12
"""Largest luma difference of the two lamps, and least depth of the dark between them."""

_MIN_SPACING_PX, _MAX_SPACING_PX = 5, 24
"""Distance between the lamps of a vehicle."""

_MAX_TILT_RATIO = 0.2
"""Height of one lamp over the other, by the distance between them."""

_WIDTH_RATIO, _HEIGHT_RATIO, _CENTRE_RISE_RATIO = 1.35, 1.3, 0.4
"""A vehicle's width, height, and its centre's height over the lamps, by the distance between them:
a car is 1.8 m wide, its lamps are 1.3 m apart and 0.65 m high.
"""


def is_night(luma: Plane, ignored_mask: npt.NDArray[np.bool_] | None = None) -> bool:
    """Whether a picture is dark enough for lamps to be peaks, outside of a mask of its size."""
    sample = luma[::8, ::8]
    if ignored_mask is not None and not ignored_mask.all():
        # A painted mask is darker than any street by day.
        is_seen = ~ignored_mask[::8, ::8]
        sample = sample[is_seen] if is_seen.any() else luma[~ignored_mask]
    sample = np.sort(sample, axis=None)
    return bool(
        sample[sample.size // 10] < _NIGHT_BLACK_LUMA
        and sample[sample.size * 3 // 4] < _NIGHT_DIM_LUMA
    )


def find_headlight_pairs(luma: Plane) -> list[BoundingBox]:
    """Return the vehicles that show two lamps, in 0..1 of a picture at night, closest pairs first."""
    blurred = np.asarray(cv2.GaussianBlur(luma, (3, 3), 0), np.uint8)
    lamps = _find_lamps(blurred)
    pairs = []
    for i, (x, y) in enumerate(lamps):
        for j, (x2, y2) in enumerate(lamps[i + 1 :], i + 1):
            if x2 - x > _MAX_SPACING_PX:
                break
            if _is_pair(blurred, x, y, x2, y2):
                pairs.append((x2 - x, i, j))
    height, width = luma.shape
    used: set[int] = set()
    found = []
    for spacing_px, i, j in sorted(pairs):
        if i in used or j in used:
            continue
        used |= {i, j}
        (x, y), (x2, y2) = lamps[i], lamps[j]
        w, h = _WIDTH_RATIO * spacing_px, _HEIGHT_RATIO * spacing_px
        left, top = (x + x2 + 1 - w) / 2, (y + y2 + 1 - h) / 2 - _CENTRE_RISE_RATIO * spacing_px
        found.append(BoundingBox(left / width, top / height, w / width, h / height))
    return found


def _find_lamps(blurred: Plane) -> list[tuple[float, float]]:
    """Return the centres of the peaks from left to right, in pixels."""
    lamp_kernel, peak_kernel = (
        np.ones((px, px), np.uint8) for px in (_MAX_LAMP_PX, _PEAK_WINDOW_PX)
    )
    contrast = cv2.morphologyEx(blurred, cv2.MORPH_TOPHAT, lamp_kernel)
    peaks = (
        (blurred == cv2.dilate(blurred, peak_kernel))
        & (contrast >= _MIN_LAMP_CONTRAST)
        & (blurred >= _MIN_LAMP_LUMA)
    )
    _, _, _, centroids = cv2.connectedComponentsWithStats(peaks.astype(np.uint8))
    return sorted((x, y) for x, y in centroids[1:].tolist())


def _is_pair(blurred: Plane, x: float, y: float, x2: float, y2: float) -> bool:
    """Whether two lamps, the left one first, may be those of one vehicle."""
    spacing_px = x2 - x
    if spacing_px < _MIN_SPACING_PX or abs(y2 - y) > max(1.0, _MAX_TILT_RATIO * spacing_px):
        return False
    left_luma, right_luma = int(blurred[int(y), int(x)]), int(blurred[int(y2), int(x2)])
    if abs(left_luma - right_luma) > _MAX_LUMA_DIFFERENCE:
        return False
    rows = slice(int(min(y, y2)), int(max(y, y2)) + 1)
    valley_luma = int(np.min(np.max(blurred[rows, int(x) : int(x2) + 1], axis=0)))
    return min(left_luma, right_luma) - valley_luma >= _MIN_VALLEY_DEPTH
