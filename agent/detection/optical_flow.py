"""Sparse optical flow on the gate's luma: how far a box has moved since the last picture. Pure.

The detector sees a track only every few frames; in between, flow moves its box. Points in the middle
of each box are followed by the pyramidal Lucas-Kanade method. Points that stay are background.
"""

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox
from drivers.media import Plane

_POINTS_PER_SIDE = 5
"""Points in each direction of a box."""

_SAMPLED_RATIO = 0.7
"""Part of a box, in each direction, in which the points are placed."""

_OFFSETS = (
    np.arange(_POINTS_PER_SIDE, dtype=np.float32) / (_POINTS_PER_SIDE - 1) - 0.5
) * _SAMPLED_RATIO + 0.5
_POINTS = np.stack(np.meshgrid(_OFFSETS, _OFFSETS), axis=-1).reshape(-1, 2)
"""The points in 0..1 of a box: P x (x, y)."""

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
    points = corners[:, np.newaxis] + _POINTS * sizes[:, np.newaxis]
    predicted = np.array([[g.dx, g.dy] for g in initial_shifts], np.float32) * scale
    start_points = np.ascontiguousarray(points.reshape(-1, 1, 2))
    initial_points = np.ascontiguousarray((points + predicted[:, np.newaxis]).reshape(-1, 1, 2))
    end_points, status, error = cv2.calcOpticalFlowPyrLK(
        previous,
        current,
        start_points,
        initial_points,
        winSize=(_WINDOW_PX, _WINDOW_PX),
        maxLevel=_PYRAMID_LEVELS,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 8, 0.05),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=1e-3,
    )
    displacements = np.asarray(end_points - start_points, np.float32).reshape(len(boxes), -1, 2)
    is_valid = (status.reshape(len(boxes), -1) == 1) & (error.reshape(len(boxes), -1) < _MAX_ERROR)
    shifts, is_clear = _consensus_shifts(displacements, is_valid, sizes)
    return [
        FlowShift(dx, dy) if clear else None
        for (dx, dy), clear in zip((shifts / scale).tolist(), is_clear.tolist(), strict=True)
    ]


def _consensus_shifts(
    displacements: npt.NDArray[np.float32],
    is_valid: npt.NDArray[np.bool_],
    sizes: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return for each box the median displacement of its moving points, or of all if most stay, and if they agree.

    `displacements` are boxes x points x 2. All boxes at once: one by one they cost as much as the flow itself.
    """
    is_moving = is_valid & (np.abs(displacements).max(axis=2) > _MIN_MOTION_PX)
    valid_count, moving_count = is_valid.sum(axis=1), is_moving.sum(axis=1)
    is_mostly_moving = moving_count >= np.maximum(_MIN_POINTS, 0.3 * valid_count)
    is_used = np.where(is_mostly_moving[:, np.newaxis], is_moving, is_valid)
    shifts = _medians(displacements, is_used)
    spreads = _medians(np.abs(displacements - shifts[:, np.newaxis]), is_used)
    is_agreed = (spreads <= np.maximum(_MAX_SPREAD * sizes, 0.5)).all(axis=1)
    return shifts, is_agreed & (valid_count >= _MIN_POINTS)


def _medians(
    values: npt.NDArray[np.float32], is_used: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Return for each box the median of its used points; of a box without any, a number without meaning."""
    ordered = np.sort(np.where(is_used[:, :, np.newaxis], values, np.inf), axis=1)
    counts = is_used.sum(axis=1)
    rows = np.arange(len(values))
    middle = ordered[rows, (counts - 1) // 2] + ordered[rows, counts // 2]
    return np.asarray(middle / 2, np.float32)
