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

_SMALLEST = 0.5
"""Of the detector's input: a window half as wide is enlarged twofold, more shows nothing new."""

_STEP = 1.414
"""From one size of window to the next."""

_TOO_SMALL, _BIG_ENOUGH = 0.05, 0.25
"""Longer side of an object, of the window's: under the first it is not recognised, over the second
it is as well as ever."""

_GETTING_BIG, _TOO_BIG = 0.55, 0.9
"""Likewise for objects that fill a window: they are cut at its edges, or as good as."""

_MARGIN = 0.12
"""Of its size, that an object should have around it in a window."""

_MOST_INTERESTS = 48


class CropCandidate(msgspec.Struct, frozen=True):
    """Something to look at: where, and how urgently (0: not at all; 1: now)."""

    box: BoundingBox
    urgency: float


def plan(
    interests: Sequence[CropCandidate],
    width_px: int,
    height_px: int,
    input_px: int,
    most: int,
    least_worth: float,
) -> tuple[Region, ...]:
    """At most `most` regions that are worth `least_worth` each, the best one first.

    `input_px` is the width of the detector's input. The whole picture is always a candidate.
    """
    if most < 1 or not interests:
        return ()
    urgent = sorted(interests, key=lambda i: -i.urgency)[:_MOST_INTERESTS]
    boxes = np.array([[i.box.x, i.box.y, i.box.w, i.box.h] for i in urgent])
    boxes *= (width_px, height_px, width_px, height_px)
    urgency = np.array([i.urgency for i in urgent])
    windows = _windows(boxes, width_px, height_px, input_px)
    shown = _clarity(boxes, windows, width_px, height_px)
    chosen: list[Region] = []
    for _ in range(most):
        worth = shown @ urgency
        best = int(np.argmax(worth))
        if worth[best] < least_worth:
            break
        x, y, w, h = windows[best].tolist()
        chosen.append(Region(int(x), int(y), int(w), int(h)))
        # Seen half as well as can be is seen: what is left does not call for the same look again.
        urgency = urgency * (1.0 - np.minimum(1.0, 2.0 * shown[best]))
    return tuple(chosen)


def clarity(
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
    return np.asarray(_clarity(pixels, windows, width_px, height_px).max(axis=0))


def _windows(
    boxes: npt.NDArray[np.float64], width_px: int, height_px: int, input_px: int
) -> npt.NDArray[np.float64]:
    """The whole picture, and around each object squares of several sizes: M x (x, y, w, h)."""
    whole = np.array([[0, 0, width_px // 2 * 2, height_px // 2 * 2]], float)
    largest = min(width_px, height_px)
    sides: list[float] = []
    side = _SMALLEST * input_px
    while side < largest / 1.15:
        sides.append(side)
        side *= _STEP
    sides.append(largest)
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    longer = boxes[:, 2:].max(axis=1)
    made = [whole]
    for size in sides:
        fits = longer < size * _TOO_BIG
        if not fits.any():
            continue
        corner = np.clip(centre[fits] - size / 2, 0, (width_px - size, height_px - size))
        extent = np.full((len(corner), 2), size)
        made.append(np.hstack([corner // 2 * 2, extent // 2 * 2]))
    return np.vstack(made)


def _clarity(
    boxes: npt.NDArray[np.float64],
    windows: npt.NDArray[np.float64],
    width_px: int,
    height_px: int,
) -> npt.NDArray[np.float64]:
    """M windows x N boxes: how well each window shows each box."""
    low, high = windows[:, np.newaxis, :2], windows[:, np.newaxis, :2] + windows[:, np.newaxis, 2:]
    margin = boxes[:, 2:] * _MARGIN
    size = (width_px, height_px)
    # At the picture's own border nothing more can be shown, so no margin is asked for there.
    begin = np.maximum(boxes[:, :2] - margin, 0)
    end = np.minimum(boxes[:, :2] + boxes[:, 2:] + margin, (size[0] // 2 * 2, size[1] // 2 * 2))
    inside = ((begin >= low) & (end <= high)).all(axis=2)
    share = (boxes[np.newaxis, :, 2:] / windows[:, np.newaxis, 2:]).max(axis=2)
    seen = np.clip((share - _TOO_SMALL) / (_BIG_ENOUGH - _TOO_SMALL), 0, 1)
    seen = seen * np.clip((_TOO_BIG - share) / (_TOO_BIG - _GETTING_BIG), 0.3, 1)
    seen = np.asarray(seen * inside)
    # The whole picture shows everything, however large.
    if len(windows) and (windows[0, 2:] >= (size[0] // 2 * 2, size[1] // 2 * 2)).all():
        seen[0] = np.clip((share[0] - _TOO_SMALL) / (_BIG_ENOUGH - _TOO_SMALL), 0, 1)
    return seen
