"""Training pictures out of labelled frames, and which cell of the network answers for which box."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Rgb = npt.NDArray[np.uint8]
Window = tuple[int, int, int, int]

FRAME_STEP = 2
"""Each second of the labelled frames is trained with: the one between differs little."""

CROP_RATIOS = (0.4, 0.8)
"""The side of a crop, of the picture's shorter side."""

CROP_SPREAD = 0.2
"""How far a crop lies off a road user, of its side, by standard deviation."""

VISIBLE_MIN = 0.5
"""Of a box, the part that must lie in the crop."""

SIDE_MIN_PX = 4
STRIDES = (8, 16, 32)
CANDIDATES_OF_STRIDE = 9
ANCHOR_STRIDES = 5
"""The side of the square that stands for a cell, in strides."""


def read_views(
    path: Path, size_px: int, random: np.random.Generator
) -> Iterator[tuple[Rgb, Array]]:
    """Yield picture and boxes (x0, y0, x1, y1, class): each frame whole, and a crop at a road user."""
    with np.load(path) as stored:
        frames, labels = stored["frames"], stored["labels"]
    for number in range(0, len(frames), FRAME_STEP):
        rgb = frames[number]
        boxes = labels[labels[:, 0] == number, 1:]
        height, width = rgb.shape[:2]
        yield _cut(rgb, boxes, (0, 0, width, height), size_px, random)
        yield _cut(rgb, boxes, _place_crop(rgb, boxes, random), size_px, random)


def _place_crop(rgb: Rgb, boxes: Array, random: np.random.Generator) -> Window:
    height, width = rgb.shape[:2]
    side = int(min(height, width) * random.uniform(*CROP_RATIOS))
    if len(boxes):
        box = boxes[random.integers(len(boxes))]
        x, y = (box[:2] + box[2:4]) / 2 + random.normal(size=2) * side * CROP_SPREAD
    else:
        x, y = random.uniform(0, width), random.uniform(0, height)
    left = int(np.clip(x - side / 2, 0, width - side))
    top = int(np.clip(y - side / 2, 0, height - side))
    return left, top, left + side, top + side


def _cut(
    rgb: Rgb, boxes: Array, window: Window, size_px: int, random: np.random.Generator
) -> tuple[Rgb, Array]:
    """Return the window as the network sees it, mirrored or not, and the boxes in it."""
    x0, y0, x1, y1 = window
    picture = cv2.resize(rgb[y0:y1, x0:x1], (size_px, size_px), interpolation=cv2.INTER_LINEAR)
    inside = boxes.copy()
    inside[:, [0, 2]] = inside[:, [0, 2]].clip(x0, x1)
    inside[:, [1, 3]] = inside[:, [1, 3]].clip(y0, y1)
    visible = (inside[:, 2:4] - inside[:, :2]).prod(1) > VISIBLE_MIN * (
        boxes[:, 2:4] - boxes[:, :2]
    ).prod(1)
    inside = inside[visible]
    inside[:, [0, 2]] = (inside[:, [0, 2]] - x0) * size_px / (x1 - x0)
    inside[:, [1, 3]] = (inside[:, [1, 3]] - y0) * size_px / (y1 - y0)
    inside = inside[(inside[:, 2:4] - inside[:, :2] > SIDE_MIN_PX).all(1)]
    if random.integers(2):
        picture = np.ascontiguousarray(picture[:, ::-1])
        inside[:, [0, 2]] = size_px - inside[:, [2, 0]]
    return np.asarray(picture, np.uint8), inside


class Cells:
    """The cells of the three maps, in the order of the network's outputs."""

    def __init__(self, size_px: int) -> None:
        """Lay the cells over a picture of this side."""
        counts = [size_px // stride for stride in STRIDES]
        self.centres = np.concatenate(
            [
                (np.stack(np.meshgrid(range(count), range(count)), 2).reshape(-1, 2) + 0.5) * stride
                for count, stride in zip(counts, STRIDES, strict=True)
            ]
        )
        self.strides = np.repeat(STRIDES, [count**2 for count in counts])
        self._first = np.cumsum([0] + [count**2 for count in counts])

    def assign(self, boxes: Array) -> npt.NDArray[np.int64]:
        """Return for each cell the number of its box, or -1 (adaptive training sample selection)."""
        owner = np.full(len(self.centres), -1)
        owner_iou = np.zeros(len(self.centres))
        reach = ANCHOR_STRIDES / 2 * self.strides[:, np.newaxis]
        for number, box in enumerate(boxes):
            sides = np.minimum(self.centres + reach, box[2:4]) - np.maximum(
                self.centres - reach, box[:2]
            )
            shared = sides.clip(0).prod(1)
            iou = shared / ((2 * reach[:, 0]) ** 2 + (box[2:4] - box[:2]).prod() - shared)
            off = ((self.centres - (box[:2] + box[2:4]) / 2) ** 2).sum(1)
            near = np.concatenate(
                [
                    start + np.argsort(off[start:end], kind="stable")[:CANDIDATES_OF_STRIDE]
                    for start, end in pairwise(self._first)
                ]
            )
            fits = near[iou[near] >= iou[near].mean() + iou[near].std()]
            centres = self.centres[fits]
            fits = fits[((centres > box[:2]) & (centres < box[2:4])).all(1)]
            fits = fits[iou[fits] > owner_iou[fits]]
            owner[fits], owner_iou[fits] = number, iou[fits]
        return owner
