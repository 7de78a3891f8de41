"""Crop planner: which parts of a picture the detector sees, within a budget. Pure.

Each candidate has a box and an urgency. The value of a window is the sum of the urgencies of the
candidates that it shows whole and at a size that the detector recognises. The best windows win.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox
from agent.detection.image import Region

_MIN_WINDOW_RATIO = 0.5
"""Of the detector's input: a window half as wide is enlarged twofold; more adds no detail."""

_WINDOW_SCALE_STEP = 1.414
"""From one size of window to the next."""

_MIN_SIZE_RATIO, _GOOD_SIZE_RATIO = 0.05, 0.25
"""Longer side of an object by the window's: below the first it is not recognised, and above the
second recognition does not improve."""

_LARGE_SIZE_RATIO, _MAX_SIZE_RATIO = 0.55, 0.9
"""The same for objects that fill a window: they are cut at its edges, or nearly."""

_MARGIN_RATIO = 0.12
"""Margin around an object in a window, by the object's size."""

_MAX_CANDIDATES = 48


class CropCandidate(msgspec.Struct, frozen=True):
    """A box that the detector should see, and its urgency (0: not at all; 1: now)."""

    box: BoundingBox
    urgency: float


def plan_crops(
    candidates: Sequence[CropCandidate],
    width_px: int,
    height_px: int,
    input_width_px: int,
    max_crops: int,
    min_value: float,
) -> tuple[Region, ...]:
    """Return at most `max_crops` regions, each worth at least `min_value`, the best one first.

    `input_width_px` is the width of the detector's input. The whole picture is always considered.
    """
    if max_crops < 1 or not candidates:
        return ()
    ranked = sorted(candidates, key=lambda i: -i.urgency)[:_MAX_CANDIDATES]
    boxes = np.array([[i.box.x, i.box.y, i.box.w, i.box.h] for i in ranked])
    boxes *= (width_px, height_px, width_px, height_px)
    urgency = np.array([i.urgency for i in ranked])
    windows = _candidate_windows(boxes, width_px, height_px, input_width_px)
    scores = _visibility_matrix(boxes, windows, width_px, height_px)
    chosen: list[Region] = []
    for _ in range(max_crops):
        values = scores @ urgency
        best = int(np.argmax(values))
        if values[best] < min_value:
            break
        x, y, w, h = windows[best].tolist()
        chosen.append(Region(int(x), int(y), int(w), int(h)))
        # Half of the best visibility is enough: the rest does not ask for the same window again.
        urgency = urgency * (1.0 - np.minimum(1.0, 2.0 * scores[best]))
    return tuple(chosen)


def visibility(
    boxes: Sequence[BoundingBox], regions: Sequence[Region], width_px: int, height_px: int
) -> npt.NDArray[np.float64]:
    """Return for each box how well the best region shows it: 0 not at all or cut, 1 best."""
    if not boxes or not regions:
        return np.zeros(len(boxes))
    pixels = np.array([[b.x, b.y, b.w, b.h] for b in boxes])
    pixels *= (width_px, height_px, width_px, height_px)
    windows = np.array([[r.x, r.y, r.w, r.h] for r in regions], float)
    return np.asarray(_visibility_matrix(pixels, windows, width_px, height_px).max(axis=0))


def _candidate_windows(
    boxes: npt.NDArray[np.float64], width_px: int, height_px: int, input_width_px: int
) -> npt.NDArray[np.float64]:
    """Return the whole picture and squares of several sizes around each object, M x (x, y, w, h)."""
    full_picture = np.array([[0, 0, width_px // 2 * 2, height_px // 2 * 2]], float)
    largest = min(width_px, height_px)
    sides: list[float] = []
    side = _MIN_WINDOW_RATIO * input_width_px
    while side < largest / 1.15:
        sides.append(side)
        side *= _WINDOW_SCALE_STEP
    sides.append(largest)
    size = np.array(sides)[:, np.newaxis, np.newaxis]
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    corners = np.minimum(np.maximum(centres - size / 2, 0), (width_px, height_px) - size)
    # Sizes x boxes x (x, y, w, h).
    windows = np.empty((len(sides), len(boxes), 4))
    windows[:, :, :2] = corners // 2 * 2
    windows[:, :, 2:] = size // 2 * 2
    is_fitting = boxes[:, 2:].max(axis=1) < size[:, :, 0] * _MAX_SIZE_RATIO
    return np.vstack([full_picture, windows[is_fitting]])


def _visibility_matrix(
    boxes: npt.NDArray[np.float64],
    windows: npt.NDArray[np.float64],
    width_px: int,
    height_px: int,
) -> npt.NDArray[np.float64]:
    """M windows x N boxes: how well each window shows each box."""
    # Columns of windows and rows of boxes: numpy reduces an axis of two elements at ten times the cost.
    window_x, window_y, window_w, window_h = windows.T[:, :, np.newaxis]
    x, y, w, h = boxes.T
    even_width, even_height = width_px // 2 * 2, height_px // 2 * 2
    # There is nothing to show beyond the picture's border, so no margin is needed there.
    is_inside = (
        (np.maximum(x - w * _MARGIN_RATIO, 0) >= window_x)
        & (np.maximum(y - h * _MARGIN_RATIO, 0) >= window_y)
        & (np.minimum(x + w + w * _MARGIN_RATIO, even_width) <= window_x + window_w)
        & (np.minimum(y + h + h * _MARGIN_RATIO, even_height) <= window_y + window_h)
    )
    size_ratio = np.maximum(w / window_w, h / window_h)
    recognition = np.minimum(
        np.maximum((size_ratio - _MIN_SIZE_RATIO) / (_GOOD_SIZE_RATIO - _MIN_SIZE_RATIO), 0), 1
    )
    fit = (_MAX_SIZE_RATIO - size_ratio) / (_MAX_SIZE_RATIO - _LARGE_SIZE_RATIO)
    scores = recognition * np.minimum(np.maximum(fit, 0.3), 1) * is_inside
    # The whole picture cuts no object, however large.
    if len(windows) and windows[0, 2] >= even_width and windows[0, 3] >= even_height:
        scores[0] = recognition[0]
    return np.asarray(scores)
