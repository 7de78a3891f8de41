"""NanoDet's 34 convolutions: their weights from the published package, and changes of their form.

Weights are height x width x inputs x outputs. The published model takes a picture as BGR, each value
less its channel's mean and divided by its channel's deviation; here it takes RGB, (value - 114) / 57.63.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tfjs_weights import Weights

Array = npt.NDArray[np.float32]

LAYER_COUNT = 34
PAIRS_OF_STAGES = (1, 2, 2, 3)
"""Pairs of convolutions in each stage of the backbone."""

LATERALS = (25, 26, 27)
"""The convolutions that bring the maps of strides 8, 16 and 32 to one number of channels."""

HEADS = (28, 30, 32)
"""The first of the two convolutions that read each map."""

SLOPE = 0.1
"""Of the leaky rectifier, below zero."""

HEAD_LAYERS = (29, 31, 33)
"""The last convolution of the maps of strides 8, 16 and 32: 80 class scores, then 44 distances."""

PUBLISHED_CLASSES = 80
ROAD_CLASSES = (0, 1, 2, 3, 5, 7)
"""Person, bicycle, car, motorcycle, bus and truck of COCO's 80."""

MEAN_BGR = np.array([103.53, 116.28, 123.675])
DEVIATION_BGR = np.array([57.375, 57.12, 58.395])
ZERO_POINT = 114
"""The picture's value that stands for 0, and so what the convolutions see outside of the picture."""

DEVIATION = 57.63


@dataclass(frozen=True)
class Layer:
    """One convolution."""

    weights: Array
    bias: Array


def read_layers(weights: Weights) -> list[Layer]:
    """Take the convolutions out of the package's weights, in the order of its graph."""
    names = _bias_names()
    return [
        Layer(
            weights["PartitionedCall/split" + (f"_{i}" if i else "")],
            weights[names[i]],
        )
        for i in range(LAYER_COUNT)
    ]


def _bias_names() -> list[str]:
    """Return the names of the biases: twice the layer's number, past the graph's own constants."""
    numbers = [2 * i for i in range(28)] + [60, 62, 66, 68, 70, 72]
    return [f"unknown_{number}" for number in numbers]


def keep_road_classes(layers: list[Layer]) -> list[Layer]:
    """Cut the head's 80 classes to the six of road users; the distances stay."""
    kept = [*ROAD_CLASSES, *range(PUBLISHED_CLASSES, layers[HEAD_LAYERS[0]].bias.size)]
    return [
        replace(layer, weights=layer.weights[..., kept], bias=layer.bias[kept])
        if i in HEAD_LAYERS
        else layer
        for i, layer in enumerate(layers)
    ]


def fold_input(layers: list[Layer]) -> list[Layer]:
    """Let the first convolution take RGB as (value - 114) / 57.63.

    Exact but for the picture's edge, which is padded with 114 instead of the channel's mean.
    """
    first = layers[0]
    by_channel = DEVIATION / DEVIATION_BGR
    scaled = first.weights * by_channel[:, np.newaxis]
    offset = (first.weights * ((ZERO_POINT - MEAN_BGR) / DEVIATION_BGR)[:, np.newaxis]).sum(
        (0, 1, 2)
    )
    folded = Layer(
        np.ascontiguousarray(scaled[:, :, ::-1]).astype(np.float32),
        (first.bias + offset).astype(np.float32),
    )
    return [folded, *layers[1:]]


def save_layers(layers: list[Layer], path: Path) -> None:
    """Store layers as .npz."""
    arrays = {f"weights_{i}": layer.weights for i, layer in enumerate(layers)}
    arrays |= {f"bias_{i}": layer.bias for i, layer in enumerate(layers)}
    with path.open("wb") as file:
        np.savez(file, **arrays)


def load_layers(path: Path) -> list[Layer]:
    """Read what `save_layers` stored."""
    with np.load(path) as stored:
        return [Layer(stored[f"weights_{i}"], stored[f"bias_{i}"]) for i in range(LAYER_COUNT)]
