"""Sparse optical flow on the gate's luma: how far a box has moved since the last picture. Pure.

The detector sees a track only every few frames; in between, flow moves its box. Points in the middle
of each box are followed by the pyramidal Lucas-Kanade method. Points that stay are background.
"""

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np

from agent.base.model import BoundingBox
from agent.detection.image import median
from drivers.media import Plane

_POINTS_PER_SIDE = 5
"""Points in each direction of a box."""

_SAMPLED_RATIO = 0.7
"""Part of a box, in each direction, in which the points are placed."""

_WINDOW_PX = 9
_PYRAMID_LEVELS = 3
_MIN_MOTION_PX = 0.25
"""A point that moves less is background."""

_MIN_POINTS = 4
_MAX_SPREAD = 0.12
"""Median deviation of the displacements, in sizes of the box, above which they do not agree."""

_MAX_ERROR = 14.0
"""Mean luma difference around a point before and after, above which it is another point."""


class FlowShift(msgspec.Struct, frozen=True):
    """A displacement, in widths and heights of the picture."""

    dx: float
    dy: float


def track_boxes(
    previous: Plane,
    current: Plane,
    boxes: Sequence[BoundingBox],
    initial_shifts: Sequence[FlowShift],
) -> list[FlowShift | None]:
    """Return for each box of the previous picture how far it moved, or None if that is unclear.

    The search begins at `initial_shifts`.
    """
    if not boxes or previous.shape != current.shape:
        return [None] * len(boxes)
    height, width = current.shape
    scale = np.array([width, height], np.float32)
    corners = np.array([[b.x, b.y] for b in boxes], np.float32) * scale
    sizes = np.array([[b.w, b.h] for b in boxes], np.float32) * scale
    offsets = (
        np.arange(_POINTS_PER_SIDE, dtype=np.float32) / (_POINTS_PER_SIDE - 1) - 0.5
    ) * _SAMPLED_RATIO + 0.5
    grid = np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2)
    points = corners[:, np.newaxis] + grid * sizes[:, np.newaxis]
    predicted = np.array([[g.dx, g.dy] for g in initial_shifts], np.float32) * scale
    start_points = np.ascontiguousarray(points.reshape(-1, 1, 2))
    initial_points = np.ascontiguousarray((points + predicted[:, np.newaxis]).reshape(-1, 1, 2))
    end_points, status, error = cv2.calcOpticalFlowPyrLK(
        previous,
        current,
        start_points,
        initial_points.copy(),
        winSize=(_WINDOW_PX, _WINDOW_PX),
        maxLevel=_PYRAMID_LEVELS,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 8, 0.05),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=1e-3,
    )
    displacements = np.asarray(end_points - start_points).reshape(len(boxes), -1, 2)
    is_valid = (status.reshape(len(boxes), -1) == 1) & (error.reshape(len(boxes), -1) < _MAX_ERROR)
    return [
        _consensus_shift(w[g], s, scale)
        for w, g, s in zip(displacements, is_valid, sizes, strict=True)
    ]


def _consensus_shift(
    displacements: np.ndarray, size: np.ndarray, scale: np.ndarray
) -> FlowShift | None:
    """Return the median displacement of the moving points, or of all if most points stay."""
    if len(displacements) < _MIN_POINTS:
        return None
    moving = displacements[np.abs(displacements).max(axis=1) > _MIN_MOTION_PX]
    if len(moving) >= max(_MIN_POINTS, 0.3 * len(displacements)):
        displacements = moving
    median_shift = median(displacements)
    spread = median(np.abs(displacements - median_shift))
    if (spread > np.maximum(_MAX_SPREAD * size, 0.5)).any():
        return None
    dx, dy = (median_shift / scale).tolist()
    return FlowShift(dx, dy)
