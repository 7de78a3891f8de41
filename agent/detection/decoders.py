"""Decoders: from a model's output tensors to detections. Pure.

A decoder takes the tensors in the order of their names in the file and returns boxes in 0..1 of the
model's input picture.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox, Detection, Label
from agent.detection.geometry import iou
from agent.detection.model_card import ModelCard
from agent.detection.nms import suppress_duplicates

Tensor = npt.NDArray[Any]
Decoder = Callable[[Sequence[Tensor], ModelCard], tuple[Detection, ...]]

_STRIDES = (8, 16, 32)
"""NanoDet's feature maps, in pixels of the input."""

_DISTANCE_CHANNELS = 4 * 11
"""NanoDet's distances to the four sides, each a distribution over 0 to 10 strides."""

_NMS_MIN_IOU = 0.6
"""Intersection over union from which two boxes of one label are one object: NanoDet's own."""


def decode_ssd(tensors: Sequence[Tensor], card: ModelCard) -> tuple[Detection, ...]:
    """Decode boxes (1, N, 4) as ymin, xmin, ymax, xmax; classes (1, N); count (1,); scores (1, N).

    These are the outputs of TensorFlow Lite's `TFLite_Detection_PostProcess`, best score first, in
    the order of the names that the conversion gave them.
    """
    boxes, classes, scores = tensors[0][0], tensors[1][0], tensors[3][0]
    count = int(tensors[2][0])
    label_by_class = {number: label for label, number in card.labels.items()}
    found: list[Detection] = []
    for i, score in enumerate(scores[:count].tolist()):
        label = label_by_class.get(int(classes[i]))
        if label is None or score < card.min_score:
            continue
        top, left, bottom, right = boxes[i].tolist()
        detection = _detection(label, score, left, top, right, bottom)
        if detection is not None:
            found.append(detection)
    return tuple(found)


def decode_nanodet(tensors: Sequence[Tensor], card: ModelCard) -> tuple[Detection, ...]:
    """Decode for each stride class scores (1, cells, 80) and distances (1, cells, 44).

    A distance to a side is the mean of a distribution over the bins 0..10, in strides (Generalized
    Focal Loss, arXiv 2006.04388). Scores are after the sigmoid already.
    """
    class_ids = np.array(list(card.labels.values()))
    labels = list(card.labels)
    width, height = card.input.width_px, card.input.height_px
    found: list[Detection] = []
    for stride in _STRIDES:
        grid_width, grid_height = -(-width // stride), -(-height // stride)
        cell_count = grid_width * grid_height
        level_tensors = [t[0] for t in tensors if t.shape[1] == cell_count]
        distances = next(t for t in level_tensors if t.shape[1] == _DISTANCE_CHANNELS)
        scores = next(t for t in level_tensors if t.shape[1] != _DISTANCE_CHANNELS)
        label_scores = scores[:, class_ids]
        rows, columns = np.nonzero(label_scores >= card.min_score)
        if not rows.size:
            continue
        bins = distances[rows].reshape(len(rows), 4, -1)
        weights = np.exp(bins - bins.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        side_distances = (weights * np.arange(bins.shape[2])).sum(axis=2) * stride
        centre_x = (rows % grid_width + 0.5) * stride
        centre_y = (rows // grid_width + 0.5) * stride
        sides = np.stack(
            [
                (centre_x - side_distances[:, 0]) / width,
                (centre_y - side_distances[:, 1]) / height,
                (centre_x + side_distances[:, 2]) / width,
                (centre_y + side_distances[:, 3]) / height,
            ],
            axis=1,
        )
        for row, column, box in zip(rows.tolist(), columns.tolist(), sides.tolist(), strict=True):
            detection = _detection(labels[column], float(label_scores[row, column]), *box)
            if detection is not None:
                found.append(detection)
    return tuple(
        suppress_duplicates(
            found,
            lambda one, other: one.label == other.label and iou(one.box, other.box) >= _NMS_MIN_IOU,
        )
    )


def _detection(
    label: Label, score: float, left: float, top: float, right: float, bottom: float
) -> Detection | None:
    """Return a detection clipped to the picture, or None if nothing of it is left."""
    left, top = max(0.0, left), max(0.0, top)
    right, bottom = min(1.0, right), min(1.0, bottom)
    if right <= left or bottom <= top:
        return None
    return Detection(
        label=label, score=score, box=BoundingBox(left, top, right - left, bottom - top)
    )


DECODERS: Mapping[str, Decoder] = {"ssd": decode_ssd, "nanodet": decode_nanodet}
"""By the card's `decoder`."""
