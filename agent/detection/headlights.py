"""Headlights at night: two small bright spots side by side are the front of a vehicle.

A detector trained on daylight does not know a car of which the lamps are all that shows, and the
motion of several joins in the light of their beams. A lamp is a sharp peak of the gate's luma; the
road that it lights up is as bright, but soft. Pure: a picture in, boxes out.
"""

import cv2
import numpy as np

from agent.base.model import BoundingBox
from drivers.media import Plane

_BLACK, _DIM = 50, 125
"""It is night where a tenth of the picture lies under the first luma, three quarters under the
second.
"""

_SPOT_PX, _PEAK_PX = 7, 5
"""A lamp is narrower than the first, and nothing within the second is brighter."""

_BRIGHT, _CONTRAST = 200, 55
"""Luma of a lamp, and by how much it is over all that is wider than a lamp. Measured on headlights
that come closer: lamps some 60 to 130, their reflections on the road mostly under 45.
"""

_ALIKE, _VALLEY = 60, 12
"""Luma steps between the two lamps at the most, and that it is darker between them at the least."""

_NEAREST_PX, _FURTHEST_PX = 5, 24
"""The way between the lamps of a vehicle."""

_LEVEL = 0.2
"""How far one may lie over the other, of the way between them."""

_WIDE, _HIGH, _RISE = 1.35, 1.3, 0.4
"""A vehicle's width and height, and how far its middle is over its lamps, by the way between them:
a car is 1.8 m wide, its lamps are 1.3 m apart and .65 m up.
"""


def is_night(small: Plane) -> bool:
    """Whether a picture is so dark that lamps stand out."""
    sample = np.sort(small[::8, ::8], axis=None)
    return bool(sample[sample.size // 10] < _BLACK and sample[sample.size * 3 // 4] < _DIM)


def headlight_pairs(small: Plane) -> list[BoundingBox]:
    """The vehicles that show two lamps, in 0..1 of a picture at night; the nearest pairs first."""
    smooth = np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.uint8)
    lamps = _lamps(smooth)
    pairs = []
    for i, (x, y) in enumerate(lamps):
        for j, (x2, y2) in enumerate(lamps[i + 1 :], i + 1):
            if x2 - x > _FURTHEST_PX:
                break
            if _belong(smooth, x, y, x2, y2):
                pairs.append((x2 - x, i, j))
    height, width = small.shape
    taken: set[int] = set()
    found = []
    for apart, i, j in sorted(pairs):
        if i in taken or j in taken:
            continue
        taken |= {i, j}
        (x, y), (x2, y2) = lamps[i], lamps[j]
        w, h = _WIDE * apart, _HIGH * apart
        left, top = (x + x2 + 1 - w) / 2, (y + y2 + 1 - h) / 2 - _RISE * apart
        found.append(BoundingBox(left / width, top / height, w / width, h / height))
    return found


def _lamps(smooth: Plane) -> list[tuple[float, float]]:
    """The middles of the peaks, from left to right, in pixels."""
    wide, peak = (np.ones((px, px), np.uint8) for px in (_SPOT_PX, _PEAK_PX))
    over = cv2.morphologyEx(smooth, cv2.MORPH_TOPHAT, wide)
    peaks = (smooth == cv2.dilate(smooth, peak)) & (over >= _CONTRAST) & (smooth >= _BRIGHT)
    _, _, _, middles = cv2.connectedComponentsWithStats(peaks.astype(np.uint8))
    return sorted((x, y) for x, y in middles[1:].tolist())


def _belong(smooth: Plane, x: float, y: float, x2: float, y2: float) -> bool:
    """Whether two lamps, the left one first, look like those of one vehicle."""
    apart = x2 - x
    if apart < _NEAREST_PX or abs(y2 - y) > max(1.0, _LEVEL * apart):
        return False
    here, there = int(smooth[int(y), int(x)]), int(smooth[int(y2), int(x2)])
    if abs(here - there) > _ALIKE:
        return False
    rows = slice(int(min(y, y2)), int(max(y, y2)) + 1)
    darkest = int(np.min(np.max(smooth[rows, int(x) : int(x2) + 1], axis=0)))
    return min(here, there) - darkest >= _VALLEY
