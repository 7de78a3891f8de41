"""Decoders: from a model's output tensors to detections. Pure.

A decoder is made once for a card and the shapes of the model's outputs, and returns boxes in 0..1 of the model's
input picture. A box whose score is below its label's `keep_track` is neither decoded nor suppressed: the tracker
would drop it, and in a busy street such boxes were half of the cost of a pass.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox, Detection
from agent.detection.model_card import DecoderName, ModelCard, ModelRefused
from agent.detection.nms import suppress_overlapping
from drivers.media import MAX_OBJECTS

Tensor = npt.NDArray[Any]
Shape = tuple[int, ...]
Decode = Callable[[Sequence[Tensor]], tuple[Detection, ...]]

_NANODET_MIN_IOU, _YOLOX_MIN_IOU = 0.6, 0.45
"""Intersection over union from which two boxes of one label are one object, as published."""

MAX_CANDIDATES = 1000
"""Boxes of one tensor that are decoded and suppressed, as upstream has it. Without it a model that finds something in
each cell takes seconds for a pass, or gigabytes.
"""

_YOLOX_STRIDES = (8, 16, 32)
_YOLOX_MAX_LOG_SIDE = 10.0
"""Of a side in strides: a larger one covers the picture, and its exponential could overflow."""


def make_decoder(card: ModelCard, output_shapes: Sequence[Shape]) -> Decode:
    """Return the card's decoder for tensors of these shapes, in their order.

    Raises: ModelRefused if the shapes are not that decoder's, or a label's class number is not one of the model's.
    """
    return _MAKERS[card.decoder](card, output_shapes)


def _refusal(card: ModelCard, problem: str) -> ModelRefused:
    return ModelRefused(f"model {card.name!r}: decoder {card.decoder!r}: {problem}")


def _outputs_refusal(card: ModelCard, output_shapes: Sequence[Shape], allowed: str) -> ModelRefused:
    shapes = ", ".join("x".join(map(str, shape)) for shape in output_shapes)
    return _refusal(card, f"the model's outputs are {shapes or 'none'}; allowed: {allowed}")


def _make_ssd(card: ModelCard, output_shapes: Sequence[Shape]) -> Decode:
    """Decode boxes (1, N, 4) as ymin, xmin, ymax, xmax; classes (1, N); scores (1, N); count (1,).

    These are the outputs of TensorFlow Lite's `TFLite_Detection_PostProcess` in its order, suppressed already.
    """
    n = output_shapes[1][-1] if len(output_shapes) > 1 else 0
    if list(output_shapes) != [(1, n, 4), (1, n), (1, n), (1,)]:
        raise _outputs_refusal(
            card, output_shapes, "1xNx4, 1xN, 1xN, 1 of TFLite_Detection_PostProcess"
        )
    label_of = {number: label for label, number in card.labels.items()}
    keep_score_of = {n: card.thresholds[label].keep_track for n, label in label_of.items()}

    def decode(tensors: Sequence[Tensor]) -> tuple[Detection, ...]:
        # A model of one's own may return what is no number, also as the count.
        counted = np.arange(n) < tensors[3][0]
        rows = np.column_stack([tensors[0][0], tensors[1][0], tensors[2][0]])[counted]
        found: list[Detection] = []
        for y1, x1, y2, x2, number, score in rows[np.isfinite(rows).all(axis=1)].tolist():
            if score >= keep_score_of.get(int(number), math.inf):
                left, top, right, bottom = max(0.0, x1), max(0.0, y1), min(1.0, x2), min(1.0, y2)
                if right > left and bottom > top:
                    box = BoundingBox(left, top, right - left, bottom - top)
                    label = label_of[int(number)]
                    found.append(Detection(label=label, score=min(score, 1.0), box=box))
        return tuple(found)

    return decode


class _GridLabels:
    """The card's labels as columns of a grid's class scores, from cells to detections."""

    def __init__(self, card: ModelCard, class_count: int, min_iou: float) -> None:
        self._min_iou = min_iou
        self._label_of = {number: label for label, number in card.labels.items()}
        for number, label in self._label_of.items():
            if not 0 <= number < class_count:
                raise _refusal(card, f"labels.{label} = {number}: allowed: 0 to {class_count - 1}")
        # Columns between the first and the last label that are no label's: no score is enough.
        self._first, last = min(self._label_of), max(self._label_of)
        self._keep_scores = np.full(last + 1 - self._first, np.inf, np.float32)
        for number, label in self._label_of.items():
            self._keep_scores[number - self._first] = card.thresholds[label].keep_track
        self._min_score = float(min(self._keep_scores))
        self.columns = slice(self._first, last + 1)

    def find(self, scores: Tensor) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return the cells and columns of the scores that are enough, of the best MAX_CANDIDATES; `scores` are cells x
        `columns`.
        """
        # To compare each score with its label's takes four times as long, and nearly all are below the least one.
        (places,) = (scores >= self._min_score).ravel().nonzero()
        if not places.size:
            return places, places
        cells, columns = np.divmod(places, scores.shape[1])
        is_enough = scores[cells, columns] >= self._keep_scores[columns]
        cells, columns = cells[is_enough], columns[is_enough]
        if len(cells) > MAX_CANDIDATES:
            best = np.argpartition(-scores[cells, columns], MAX_CANDIDATES)[:MAX_CANDIDATES]
            best.sort()
            cells, columns = cells[best], columns[best]
        return cells, columns

    def to_detections(
        self,
        sides: npt.NDArray[np.float64],
        scores: npt.NDArray[np.floating],
        columns: npt.NDArray[np.intp],
    ) -> tuple[Detection, ...]:
        """Return the detections, best first, clipped to the picture, without empty and overlapping ones.

        `sides` are N x (left, top, right, bottom) in 0..1 of the picture.
        """
        sides = np.minimum(np.maximum(sides, 0), 1)
        is_valid = (sides[:, 2] > sides[:, 0]) & (sides[:, 3] > sides[:, 1])
        sides, scores, columns = sides[is_valid], scores[is_valid], columns[is_valid]
        kept = suppress_overlapping(sides, scores, columns, self._min_iou)[:MAX_OBJECTS]
        rows = zip(sides[kept].tolist(), scores[kept].tolist(), columns[kept].tolist(), strict=True)
        return tuple(
            Detection(
                label=self._label_of[self._first + column],
                score=min(score, 1.0),
                box=BoundingBox(left, top, right - left, bottom - top),
            )
            for (left, top, right, bottom), score, column in rows
        )


class _Grid:
    """The cells of a model's feature maps, one stride after the other, row by row."""

    def __init__(self, card: ModelCard, strides: Sequence[int], offset: float) -> None:
        """`offset` is the place of a cell's point in it: 0 its corner, 0.5 its middle."""
        width, height = card.input.width_px, card.input.height_px
        self.size_px = np.array([width, height], np.float32)
        points, cell_strides, self.cell_counts = [], [], []
        for stride in strides:
            columns, rows = -(-width // stride), -(-height // stride)
            y, x = np.divmod(np.arange(rows * columns), columns)
            points.append(np.stack([x, y], axis=1) + offset)
            cell_strides.append(np.full((len(x), 1), stride, np.float32))
            self.cell_counts.append(len(x))
        self.points = np.concatenate(points).astype(np.float32)
        """N x (x, y) in strides."""
        self.strides = np.concatenate(cell_strides)

    def to_sides(
        self,
        begin: npt.NDArray[np.floating],
        end: npt.NDArray[np.floating],
        cells: npt.NDArray[np.intp],
    ) -> npt.NDArray[np.float64]:
        """Return corners, N x (x, y) in strides of their cells, as sides in 0..1 of the picture."""
        scale = self.strides[cells] / self.size_px
        return np.hstack([begin * scale, end * scale]).astype(np.float64)


class _NanodetLevel(msgspec.Struct, frozen=True):
    """One tensor of scores and one of distances: of one stride, or the same one of all of them."""

    scores: int
    distances: int
    first_bin: int
    first_cell: int


def _make_nanodet(
    card: ModelCard,
    output_shapes: Sequence[Shape],
    strides: Sequence[int],
    bins: int,
    offset: float,
) -> Decode:
    """Decode for each stride class scores (1, cells, classes) and distances (1, cells, 4 * bins).

    Both may be one tensor of all strides, the scores first, as upstream exports it. A distance to a side is the mean
    of a distribution over its bins, in strides (Generalized Focal Loss, arXiv 2006.04388). Scores are after the sigmoid.
    """
    grid = _Grid(card, strides, offset)
    levels, class_count = _find_nanodet_levels(card, output_shapes, grid.cell_counts, 4 * bins)
    labels = _GridLabels(card, class_count, _NANODET_MIN_IOU)
    bin_values = np.arange(bins, dtype=np.float32)

    def decode(tensors: Sequence[Tensor]) -> tuple[Detection, ...]:
        found = []
        for level in levels:
            scores = tensors[level.scores][0, :, labels.columns]
            cells, columns = labels.find(scores)
            if cells.size:
                distances = tensors[level.distances][0, cells, level.first_bin :]
                found.append((cells + level.first_cell, columns, scores[cells, columns], distances))
        if not found:
            return ()
        cells, columns, scores, distances = (
            np.concatenate(parts) for parts in zip(*found, strict=True)
        )
        logits = distances.reshape(-1, 4, bins)
        weights = np.exp(logits - logits.max(axis=2, keepdims=True))
        mean = weights @ bin_values / weights.sum(axis=2)
        points = grid.points[cells]
        sides = grid.to_sides(points - mean[:, :2], points + mean[:, 2:], cells)
        return labels.to_detections(sides, scores, columns)

    return decode


def _find_nanodet_levels(
    card: ModelCard,
    output_shapes: Sequence[Shape],
    cell_counts: Sequence[int],
    distance_channels: int,
) -> tuple[list[_NanodetLevel], int]:
    """Return the places of scores and distances in the tensors, and the number of classes."""
    cells = sum(cell_counts)
    if len(output_shapes) == 1 and output_shapes[0][:-1] == (1, cells):
        class_count = output_shapes[0][2] - distance_channels
        return [_NanodetLevel(0, 0, class_count, 0)], class_count
    levels: list[_NanodetLevel] = []
    class_counts = set()
    first_cell = 0
    for count in cell_counts:
        places = {shape: i for i, shape in enumerate(output_shapes) if shape[:-1] == (1, count)}
        distances = places.pop((1, count, distance_channels), None)
        if distances is None or len(places) != 1:
            break
        ((shape, scores),) = places.items()
        class_counts.add(shape[-1])
        levels.append(_NanodetLevel(scores, distances, 0, first_cell))
        first_cell += count
    if len(class_counts) != 1 or first_cell != cells or 2 * len(levels) != len(set(output_shapes)):
        each = ", ".join(f"1x{count}xC and 1x{count}x{distance_channels}" for count in cell_counts)
        raise _outputs_refusal(
            card, output_shapes, f"{each}, or 1x{cells}x(C + {distance_channels})"
        )
    return levels, class_counts.pop()


def _make_yolox(card: ModelCard, output_shapes: Sequence[Shape]) -> Decode:
    """Decode (1, cells of all strides, 5 + classes): x, y, log w, log h in strides; objectness; class scores.

    As upstream's export without `decode_in_inference`: x and y from the cell's corner, objectness and class scores
    after the sigmoid. A score is their product.
    """
    grid = _Grid(card, _YOLOX_STRIDES, 0.0)
    cells = sum(grid.cell_counts)
    shape = output_shapes[0] if len(output_shapes) == 1 else ()
    if shape[:-1] != (1, cells):
        raise _outputs_refusal(card, output_shapes, f"1x{cells}x(5 + C)")
    labels = _GridLabels(card, shape[2] - 5, _YOLOX_MIN_IOU)

    def decode(tensors: Sequence[Tensor]) -> tuple[Detection, ...]:
        rows = tensors[0][0]
        scores = rows[:, 5:][:, labels.columns] * rows[:, 4:5]
        cells, columns = labels.find(scores)
        if not cells.size:
            return ()
        centre = grid.points[cells] + rows[cells, :2]
        half = np.exp(np.minimum(rows[cells, 2:4], _YOLOX_MAX_LOG_SIDE)) / 2
        sides = grid.to_sides(centre - half, centre + half, cells)
        return labels.to_detections(sides, scores[cells, columns], columns)

    return decode


_MAKERS: Mapping[DecoderName, Callable[[ModelCard, Sequence[Shape]], Decode]] = {
    "ssd": _make_ssd,
    "nanodet": partial(_make_nanodet, strides=(8, 16, 32), bins=11, offset=0.5),
    "nanodet_plus": partial(_make_nanodet, strides=(8, 16, 32, 64), bins=8, offset=0.0),
    "yolox": _make_yolox,
}
"""By the card's `decoder`: strides in pixels of the input, bins of a distance, place of a cell's point, as published."""
