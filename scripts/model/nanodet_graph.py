"""NanoDet as a TensorFlow graph, in TensorFlow Lite's layout: height x width x channels."""

from typing import Any

import tensorflow as tf
from nanodet_layers import HEADS, LATERALS, PAIRS_OF_STAGES, ROAD_CLASSES, SLOPE, Layer


class NanodetGraph(tf.Module):
    """The network. Input: 1 x height x width x 3, as `fold_input` takes it."""

    def __init__(self, layers: list[Layer], size_px: int) -> None:
        """Take the weights of six classes and the side of the picture."""
        super().__init__()
        self._layers = layers
        spec = tf.TensorSpec((1, size_px, size_px, 3), tf.float32)
        self.detect = tf.function(self._detect, input_signature=[spec])

    def _detect(self, picture: Any) -> tuple[Any, ...]:
        """Return scores (1, cells, 6), after the sigmoid, of each stride; then distances (1, cells, 44).

        The strides come as 16, 32, 8; the decoder knows a map by its number of cells.
        """
        fine, middle, coarse = self._fuse(self._backbone(picture))
        outputs = [
            self._head(first, features)
            for first, features in zip(
                (HEADS[1], HEADS[2], HEADS[0]), (middle, coarse, fine), strict=True
            )
        ]
        return tuple(scores for scores, _ in outputs) + tuple(far for _, far in outputs)

    def _backbone(self, picture: Any) -> list[Any]:
        """Return the features of strides 8, 16 and 32."""
        features = self._activated(0, picture, stride=2)
        # Padded with zeros: of the rectified values only small negative ones are lost by that.
        features = tf.nn.max_pool2d(_pad_for_stride(features), 3, 2, "VALID")
        stages = []
        number = 1
        for pairs in PAIRS_OF_STAGES:
            first = self._activated(number, features, stride=1 if number == 1 else 2)
            features = first
            for _ in range(pairs):
                one = self._activated(number + 1, features)
                other = self._activated(number + 2, one)
                features = tf.concat([other, one], 3)
                number += 2
            features = tf.concat([self._activated(number + 1, features), first], 3)
            stages.append(features)
            number += 2
        return stages[1:]

    def _fuse(self, stages: list[Any]) -> tuple[Any, Any, Any]:
        """Add each map to its finer one, enlarged, and then back to its coarser one, reduced."""
        fine, middle, coarse = (
            self._convolution(number, features)
            for number, features in zip(LATERALS, stages, strict=True)
        )
        middle_down = middle + _resize_to(coarse, middle)
        fine = fine + _resize_to(middle_down, fine)
        middle = middle_down + _resize_to(fine, middle)
        return fine, middle, coarse + _resize_to(middle, coarse)

    def _head(self, first: int, features: Any) -> tuple[Any, Any]:
        features = self._activated(first, features)
        last = self._layers[first + 1]
        count = len(ROAD_CLASSES)
        scores = tf.nn.conv2d(features, last.weights[..., :count], 1, "SAME") + last.bias[:count]
        far = tf.nn.conv2d(features, last.weights[..., count:], 1, "SAME") + last.bias[count:]
        cells = features.shape[1] * features.shape[2]
        return (
            tf.reshape(tf.sigmoid(scores), (1, cells, count)),
            tf.reshape(far, (1, cells, far.shape[3])),
        )

    def _activated(self, number: int, features: Any, stride: int = 1) -> Any:
        return tf.nn.leaky_relu(self._convolution(number, features, stride), SLOPE)

    def _convolution(self, number: int, features: Any, stride: int = 1) -> Any:
        layer = self._layers[number]
        if stride == 1:
            return tf.nn.conv2d(features, layer.weights, 1, "SAME") + layer.bias
        return tf.nn.conv2d(_pad_for_stride(features), layer.weights, 2, "VALID") + layer.bias


def _pad_for_stride(features: Any) -> Any:
    """Pad as the published graph does before a step of two; `SAME` pads the other sides."""
    return tf.pad(features, [[0, 0], [1, 0], [1, 0], [0, 0]])


def _resize_to(features: Any, like: Any) -> Any:
    return tf.compat.v1.image.resize_bilinear(
        features, like.shape[1:3], align_corners=False, half_pixel_centers=True
    )
