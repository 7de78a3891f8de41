"""How far what is in a box has moved since the last picture: sparse optical flow on the gate's luma.

The detector looks at a track every few frames; in between this carries its box. Points are laid
out in the middle of each box and followed by the pyramidal Lucas-Kanade method; those that stay
where they are belong to the street. Pure: pictures in, drifts out.
"""

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np

from agent.base.model import BoundingBox
from agent.detection.middle import median
from drivers.media import Plane

_ACROSS = 5
"""Points in each direction of a box."""

_MIDDLE = 0.7
"""Share of a box, in each direction, in which the points lie."""

_WINDOW_PX = 9
_LEVELS = 3
_STAYS_PX = 0.25
"""A point that moves by less has stayed."""

_LEAST_POINTS = 4
_MOST_SPREAD = 0.12
"""Middle deviation of the points' ways, in sizes of the box: above it they do not agree."""

_MOST_ERROR = 14.0
"""Mean difference of luma around a point there and here: above it, it is another point."""


class FlowShift(msgspec.Struct, frozen=True):
    """A way, in widths and heights of the picture."""

    dx: float
    dy: float


def track_boxes(
    before: Plane, now: Plane, boxes: Sequence[BoundingBox], guesses: Sequence[FlowShift]
) -> list[FlowShift | None]:
    """For each box of the picture before, how far its content moved; None where that is unclear.

    `guesses` are where the search begins.
    """
    if not boxes or before.shape != now.shape:
        return [None] * len(boxes)
    height, width = now.shape
    scale = np.array([width, height], np.float32)
    corners = np.array([[b.x, b.y] for b in boxes], np.float32) * scale
    sizes = np.array([[b.w, b.h] for b in boxes], np.float32) * scale
    steps = (np.arange(_ACROSS, dtype=np.float32) / (_ACROSS - 1) - 0.5) * _MIDDLE + 0.5
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    points = corners[:, np.newaxis] + grid * sizes[:, np.newaxis]
    ahead = np.array([[g.dx, g.dy] for g in guesses], np.float32) * scale
    start = np.ascontiguousarray(points.reshape(-1, 1, 2))
    begin = np.ascontiguousarray((points + ahead[:, np.newaxis]).reshape(-1, 1, 2))
    found, status, error = cv2.calcOpticalFlowPyrLK(
        before,
        now,
        start,
        begin.copy(),
        winSize=(_WINDOW_PX, _WINDOW_PX),
        maxLevel=_LEVELS,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 8, 0.05),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=1e-3,
    )
    ways = np.asarray(found - start).reshape(len(boxes), -1, 2)
    good = (status.reshape(len(boxes), -1) == 1) & (error.reshape(len(boxes), -1) < _MOST_ERROR)
    return [_agreed(w[g], s, scale) for w, g, s in zip(ways, good, sizes, strict=True)]


def _agreed(ways: np.ndarray, size: np.ndarray, scale: np.ndarray) -> FlowShift | None:
    """The middle of the ways of the points that move, or of all where most of them stay."""
    if len(ways) < _LEAST_POINTS:
        return None
    moving = ways[np.abs(ways).max(axis=1) > _STAYS_PX]
    if len(moving) >= max(_LEAST_POINTS, 0.3 * len(ways)):
        ways = moving
    middle = median(ways)
    spread = median(np.abs(ways - middle))
    if (spread > np.maximum(_MOST_SPREAD * size, 0.5)).any():
        return None
    dx, dy = (middle / scale).tolist()
    return FlowShift(dx, dy)
