"""Composites of films: moving vehicles found by their motion mask, cut out, and placed again in the same film.

Nothing here depends on the product's detector, so that the cases of a seed stay the same from one version to the
next. A placed vehicle is behind each moving shape that reaches further down the picture than it does: that one is
nearer to the camera.
"""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from bench.accuracy import read_frames
from drivers.media import NS_PER_S, Planes

BACKGROUND_PICTURES = 49
MOTION_LUMA = 18
"""Least difference from the background, of 255."""
MIN_SHAPE_PX = 6
"""A smaller shape, by its height, is not cut out."""
MIN_SOLIDITY = 0.62
"""Least area of a shape by its own rectangle's: two vehicles that touch fill less of it."""
MIN_SHAPE_ASPECT, MAX_SHAPE_ASPECT = 0.6, 2.4
MARGIN_RATIO = 0.12
"""Of a cut, by the shape's size: its shadow and soft edges."""
MIN_WAY_PICTURES = 8
MAX_GAP_PICTURES = 8
"""Of a way: it touches another shape, or is not compact for a moment."""
SPEED_PICTURES = 8
IN_FRONT_PX = 1
COVERED_RATIO = 0.1
"""Of a placed vehicle's pixels, from which traffic passes in front of it."""

Mask = npt.NDArray[np.uint8]


class PixelBox(msgspec.Struct, frozen=True, array_like=True):
    """A rectangle of a picture in pixels."""

    x: float
    y: float
    w: float
    h: float

    @property
    def bottom(self) -> float:
        """The row below the rectangle."""
        return self.y + self.h

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of the rectangle."""
        return self.x + self.w / 2, self.y + self.h / 2

    def shifted(self, x_px: float) -> "PixelBox":
        """Return the rectangle further to the right."""
        return PixelBox(self.x + x_px, self.y, self.w, self.h)

    def towards(self, other: "PixelBox", share: float) -> "PixelBox":
        """Return the rectangle between this one (0) and another one (1)."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return PixelBox(*(a + (b - a) * share for a, b in pairs))

    def overlaps(self, other: "PixelBox") -> bool:
        """Whether both have pixels in common."""
        return (
            abs(self.x + self.w / 2 - other.x - other.w / 2) < (self.w + other.w) / 2
            and abs(self.y + self.h / 2 - other.y - other.h / 2) < (self.h + other.h) / 2
        )


class Film:
    """The pictures of a film, its pictures a second, and what moves in each against the median of them."""

    def __init__(self, pictures: Sequence[Planes], fps: float) -> None:
        self.pictures = tuple(pictures)
        self.fps = fps
        count = len(self.pictures)
        chosen = np.linspace(0, count - 1, min(BACKGROUND_PICTURES, count)).astype(int)
        y, u, v = (
            np.median(np.stack([self.pictures[i][plane] for i in chosen]), axis=0).astype(np.uint8)
            for plane in range(3)
        )
        self._background: Planes = (y, u, v)
        self._masks: dict[int, Mask] = {}

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self._background[0].shape
        return width, height

    def motion_mask(self, index: int) -> Mask:
        """Return 255 at the pixels of a picture that differ from the background, without specks and holes."""
        mask = self._masks.get(index)
        if mask is None:
            mask = self._masks[index] = self._find_motion(self.pictures[index])
        return mask

    def _find_motion(self, planes: Planes) -> Mask:
        difference = cv2.absdiff(planes[0], self._background[0])
        for plane, background in zip(planes[1:], self._background[1:], strict=True):
            colour = cv2.resize(
                cv2.absdiff(plane, background), self.size_px, interpolation=cv2.INTER_NEAREST
            )
            difference = cv2.max(difference, cv2.add(colour, colour))
        _, mask = cv2.threshold(difference, MOTION_LUMA, 255, cv2.THRESH_BINARY)
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        return np.asarray(cv2.drawContours(mask, contours, -1, 255, cv2.FILLED), np.uint8)

    def vehicle_shapes(self, index: int) -> list[PixelBox]:
        """Return the rectangles of the moving shapes of a picture that are as compact as one vehicle is."""
        width, height = self.size_px
        count, _, stats, _ = cv2.connectedComponentsWithStats(
            self.motion_mask(index), connectivity=8
        )
        found = []
        for x, y, w, h, area in stats[1:count].tolist():
            is_whole = x > 1 and y > 1 and x + w < width - 2 and y + h < height - 2
            is_compact = (
                area >= MIN_SOLIDITY * w * h and MIN_SHAPE_ASPECT <= w / h <= MAX_SHAPE_ASPECT
            )
            if h >= MIN_SHAPE_PX and is_whole and is_compact:
                found.append(PixelBox(x, y, w, h))
        return found

    def traffic_in_front(self, index: int, bottom: float) -> Mask:
        """Return the moving shapes of a picture that reach further down than `bottom`."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            self.motion_mask(index), connectivity=8
        )
        rows = stats[:, cv2.CC_STAT_TOP] + stats[:, cv2.CC_STAT_HEIGHT]
        is_front = (rows > bottom + IN_FRONT_PX) & (np.arange(count) > 0)
        return np.asarray(is_front[labels], np.uint8) * 255


@functools.lru_cache(maxsize=2)
def read_film(path: Path) -> Film:
    """Decode a whole film."""
    times_ns, pictures = [], []
    for frame in read_frames(path):
        times_ns.append(frame.t_ns)
        pictures.append((frame.y.copy(), frame.u.copy(), frame.v.copy()))
    return Film(pictures, (len(pictures) - 1) * NS_PER_S / (times_ns[-1] - times_ns[0]))


class Way(msgspec.Struct, frozen=True):
    """The rectangles of one moving shape in consecutive pictures from `begin_index` on.

    `is_seen`: in that picture it is whole and alone; elsewhere the rectangle is between those before and after.
    """

    begin_index: int
    shapes: tuple[PixelBox, ...]
    is_seen: tuple[bool, ...]


class CutOut(msgspec.Struct, frozen=True):
    """The pixels of a vehicle, how far each is the vehicle's (0..1), and the part that its shape takes of the cut."""

    planes: Planes
    alpha: npt.NDArray[np.float32]
    shape: PixelBox


class _OpenWay:
    """A way that may go on: its shapes by picture, without those in which it is not seen alone."""

    def __init__(self, index: int, shape: PixelBox) -> None:
        self.shapes = {index: shape}
        self.last_index = index

    def expected_at(self, index: int) -> PixelBox:
        """Return the rectangle of a later picture at the speed of the last ones."""
        last = self.shapes[self.last_index]
        before = [n for n in self.shapes if self.last_index - n <= SPEED_PICTURES]
        first = self.shapes[before[0]]
        share = (index - before[0]) / max(1, self.last_index - before[0])
        (x0, y0), (x1, y1) = first.middle, last.middle
        x, y = x0 + (x1 - x0) * share, y0 + (y1 - y0) * share
        return PixelBox(x - last.w / 2, y - last.h / 2, last.w, last.h)

    def add(self, index: int, shape: PixelBox) -> None:
        """Continue the way."""
        self.shapes[index] = shape
        self.last_index = index

    def close(self) -> Way:
        """Return the way, with rectangles between those that were seen."""
        indices = sorted(self.shapes)
        shapes = []
        for begin, end in itertools.pairwise([*indices, indices[-1] + 1]):
            following = self.shapes.get(end, self.shapes[begin])
            shapes += [
                self.shapes[begin].towards(following, (n - begin) / (end - begin))
                for n in range(begin, end)
            ]
        return Way(
            indices[0],
            tuple(shapes),
            tuple(n in self.shapes for n in range(indices[0], indices[-1] + 1)),
        )


def find_ways(film: Film) -> list[Way]:
    """Follow each moving shape over the pictures, across the few in which it is not seen alone."""
    open_ways: list[_OpenWay] = []
    finished: list[_OpenWay] = []
    for index in range(len(film.pictures)):
        shapes = film.vehicle_shapes(index)
        expected = [way.expected_at(index) for way in open_ways]
        for shape in shapes:
            same = [n for n, one in enumerate(expected) if is_same_shape(one, shape)]
            is_alone = (
                len(same) == 1 and sum(is_same_shape(expected[same[0]], one) for one in shapes) == 1
            )
            if is_alone:
                open_ways[same[0]].add(index, shape)
            elif not same:
                open_ways.append(_OpenWay(index, shape))
        finished += [way for way in open_ways if index - way.last_index > MAX_GAP_PICTURES]
        open_ways = [way for way in open_ways if index - way.last_index <= MAX_GAP_PICTURES]
    return [way.close() for way in (*finished, *open_ways) if len(way.shapes) >= MIN_WAY_PICTURES]


def is_same_shape(a: PixelBox, b: PixelBox) -> bool:
    """Whether two rectangles of neighbouring pictures are of one shape."""
    overlap_w = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    overlap_h = min(a.bottom, b.bottom) - max(a.y, b.y)
    overlap = max(0.0, overlap_w) * max(0.0, overlap_h)
    union = a.w * a.h + b.w * b.h - overlap
    return overlap > 0.3 * union and 0.75 < a.h / b.h < 1.33 and 0.75 < a.w / b.w < 1.33


def cut_out(film: Film, index: int, shape: PixelBox) -> CutOut:
    """Cut a moving shape out of a picture, with a soft edge."""
    width, height = film.size_px
    margin = max(2, round(MARGIN_RATIO * max(shape.w, shape.h)))
    left, top = (max(0, int(shape.x) - margin) // 2 * 2, max(0, int(shape.y) - margin) // 2 * 2)
    right = min(width // 2 * 2, (int(shape.x + shape.w) + margin + 1) // 2 * 2)
    bottom = min(height // 2 * 2, (int(shape.bottom) + margin + 1) // 2 * 2)
    planes = film.pictures[index]
    mask = film.motion_mask(index)[top:bottom, left:right].copy()
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    own = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])) if len(stats) > 1 else 0
    alpha = cv2.GaussianBlur((labels == own).astype(np.float32), (0, 0), 0.7)
    y, u, v = planes
    half = (slice(top // 2, bottom // 2), slice(left // 2, right // 2))
    return CutOut(
        (y[top:bottom, left:right].copy(), u[half].copy(), v[half].copy()),
        np.asarray(alpha, np.float32),
        PixelBox(shape.x - left, shape.y - top, shape.w, shape.h),
    )


def place(
    film: Film, index: int, planes: Planes, cut: CutOut, at: PixelBox
) -> tuple[Planes, float]:
    """Return a picture, made of that of `index`, with the cut's shape at a rectangle, and the share of it that traffic in front covers."""
    width, height = film.size_px
    scale_x, scale_y = at.w / cut.shape.w, at.h / cut.shape.h
    cut_height, cut_width = cut.alpha.shape
    w = max(4, round(cut_width * scale_x / 2) * 2)
    h = max(4, round(cut_height * scale_y / 2) * 2)
    left = round((at.x - cut.shape.x * scale_x) / 2) * 2
    top = round((at.y - cut.shape.y * scale_y) / 2) * 2
    alpha = cv2.resize(cut.alpha, (w, h), interpolation=cv2.INTER_AREA)
    in_front = film.traffic_in_front(index, at.bottom)
    # The part of the cut that lies in the picture.
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(width // 2 * 2, left + w), min(height // 2 * 2, top + h)
    if x1 - x0 < 4 or y1 - y0 < 4:
        return planes, 0.0
    alpha = alpha[y0 - top : y1 - top, x0 - left : x1 - left]
    covering = in_front[y0:y1, x0:x1] > 0
    total = float(alpha.sum())
    covered = float(alpha[covering].sum()) / total if total else 0.0
    alpha = np.where(covering, 0.0, alpha).astype(np.float32)
    placed = []
    for plane, patch, step in zip(planes, cut.planes, (1, 2, 2), strict=True):
        part = cv2.resize(patch, (w // step, h // step), interpolation=cv2.INTER_AREA)
        part = part[
            (y0 - top) // step : (y1 - top) // step, (x0 - left) // step : (x1 - left) // step
        ]
        weight = (
            alpha
            if step == 1
            else cv2.resize(alpha, part.shape[::-1], interpolation=cv2.INTER_AREA)
        )
        copy = plane.copy()
        view = copy[y0 // step : y1 // step, x0 // step : x1 // step]
        view[:] = np.rint(view + (part.astype(np.float32) - view) * weight)
        placed.append(copy)
    y, u, v = placed
    return (y, u, v), covered
