"""Where to look: which parts of a picture the detector sees, within a budget. Pure.

Everything that asks to be looked at has a box and an urgency. A window is worth the sum of the
urgencies of what it shows whole and at a size that the detector recognises; the best ones win.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox
from agent.detection.image import Region

_MIN_WINDOW_RATIO = 0.5
"""Of the detector's input: a window half as wide is enlarged twofold, more shows nothing new."""

_WINDOW_SCALE_STEP = 1.414
"""From one size of window to the next."""

_MIN_SIZE_RATIO, _GOOD_SIZE_RATIO = 0.05, 0.25
"""Longer side of an object, of the window's: under the first it is not recognised, over the second
it is as well as ever."""

_LARGE_SIZE_RATIO, _MAX_SIZE_RATIO = 0.55, 0.9
"""Likewise for objects that fill a window: they are cut at its edges, or as good as."""

_MARGIN_RATIO = 0.12
"""Of its size, that an object should have around it in a window."""

_MAX_CANDIDATES = 48


class CropCandidate(msgspec.Struct, frozen=True):
    """Something to look at: where, and how urgently (0: not at all; 1: now)."""

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
    """At most `most` regions that are worth `least_worth` each, the best one first.

    `input_px` is the width of the detector's input. The whole picture is always a candidate.
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
        # Seen half as well as can be is seen: what is left does not call for the same look again.
        urgency = urgency * (1.0 - np.minimum(1.0, 2.0 * scores[best]))
    return tuple(chosen)


def visibility(
    boxes: Sequence[BoundingBox], regions: Sequence[Region], width_px: int, height_px: int
) -> npt.NDArray[np.float64]:
    """For each box how well the best of the regions shows it: 0 not at all or cut, 1 as well as
    can be.
    """
    if not boxes or not regions:
        return np.zeros(len(boxes))
    pixels = np.array([[b.x, b.y, b.w, b.h] for b in boxes])
    pixels *= (width_px, height_px, width_px, height_px)
    windows = np.array([[r.x, r.y, r.w, r.h] for r in regions], float)
    return np.asarray(_visibility_matrix(pixels, windows, width_px, height_px).max(axis=0))


def _candidate_windows(
    boxes: npt.NDArray[np.float64], width_px: int, height_px: int, input_width_px: int
) -> npt.NDArray[np.float64]:
    """The whole picture, and around each object squares of several sizes: M x (x, y, w, h)."""
    full_picture = np.array([[0, 0, width_px // 2 * 2, height_px // 2 * 2]], float)
    largest = min(width_px, height_px)
    sides: list[float] = []
    side = _MIN_WINDOW_RATIO * input_width_px
    while side < largest / 1.15:
        sides.append(side)
        side *= _WINDOW_SCALE_STEP
    sides.append(largest)
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    longer_sides = boxes[:, 2:].max(axis=1)
    windows = [full_picture]
    for size in sides:
        is_fitting = longer_sides < size * _MAX_SIZE_RATIO
        if not is_fitting.any():
            continue
        corner = np.clip(centres[is_fitting] - size / 2, 0, (width_px - size, height_px - size))
        extents = np.full((len(corner), 2), size)
        windows.append(np.hstack([corner // 2 * 2, extents // 2 * 2]))
    return np.vstack(windows)


def _visibility_matrix(
    boxes: npt.NDArray[np.float64],
    windows: npt.NDArray[np.float64],
    width_px: int,
    height_px: int,
) -> npt.NDArray[np.float64]:
    """M windows x N boxes: how well each window shows each box."""
    window_begin, window_end = (
        windows[:, np.newaxis, :2],
        windows[:, np.newaxis, :2] + windows[:, np.newaxis, 2:],
    )
    margin = boxes[:, 2:] * _MARGIN_RATIO
    picture_size = (width_px, height_px)
    # At the picture's own border nothing more can be shown, so no margin is asked for there.
    box_begin = np.maximum(boxes[:, :2] - margin, 0)
    box_end = np.minimum(
        boxes[:, :2] + boxes[:, 2:] + margin, (picture_size[0] // 2 * 2, picture_size[1] // 2 * 2)
    )
    is_inside = ((box_begin >= window_begin) & (box_end <= window_end)).all(axis=2)
    size_ratio = (boxes[np.newaxis, :, 2:] / windows[:, np.newaxis, 2:]).max(axis=2)
    scores = np.clip((size_ratio - _MIN_SIZE_RATIO) / (_GOOD_SIZE_RATIO - _MIN_SIZE_RATIO), 0, 1)
    scores = scores * np.clip(
        (_MAX_SIZE_RATIO - size_ratio) / (_MAX_SIZE_RATIO - _LARGE_SIZE_RATIO), 0.3, 1
    )
    scores = np.asarray(scores * is_inside)
    # The whole picture shows everything, however large.
    if (
        len(windows)
        and (windows[0, 2:] >= (picture_size[0] // 2 * 2, picture_size[1] // 2 * 2)).all()
    ):
        scores[0] = np.clip(
            (size_ratio[0] - _MIN_SIZE_RATIO) / (_GOOD_SIZE_RATIO - _MIN_SIZE_RATIO), 0, 1
        )
    return scores
