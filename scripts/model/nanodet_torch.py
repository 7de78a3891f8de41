"""NanoDet in PyTorch, for training: `nanodet_graph.py` channels first, with scores before the sigmoid."""

import numpy as np
import torch
from nanodet_layers import (
    DEVIATION,
    HEADS,
    LATERALS,
    PAIRS_OF_STAGES,
    ROAD_CLASSES,
    SLOPE,
    ZERO_POINT,
    Layer,
)
from torch.nn import functional

Maps = list[torch.Tensor]


class Nanodet(torch.nn.Module):
    """The network: a backbone that stays as it is, then neck and heads, which are trained."""

    def __init__(self, layers: list[Layer]) -> None:
        """Take the weights as `nanodet_layers` has them."""
        super().__init__()
        self.weights = torch.nn.ParameterList(
            torch.tensor(layer.weights.transpose(3, 2, 0, 1).copy()) for layer in layers
        )
        self.biases = torch.nn.ParameterList(torch.tensor(layer.bias.copy()) for layer in layers)
        self.requires_grad_(requires_grad=False)
        self.trained = [*self.weights[LATERALS[0] :], *self.biases[LATERALS[0] :]]
        for values in self.trained:
            values.requires_grad_()

    def layers(self) -> list[Layer]:
        """Return the weights as `nanodet_layers` has them."""
        return [
            Layer(weights.detach().numpy().transpose(2, 3, 1, 0).copy(), bias.detach().numpy())
            for weights, bias in zip(self.weights, self.biases, strict=True)
        ]

    def backbone(self, pictures: np.ndarray) -> Maps:
        """Return the features of strides 8, 16 and 32 of RGB pictures."""
        values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
        features = self._activated(0, (values - ZERO_POINT) / DEVIATION, 2)
        features = functional.max_pool2d(functional.pad(features, (1, 0, 1, 0)), 3, 2)
        stages = []
        number = 1
        for pairs in PAIRS_OF_STAGES:
            first = self._activated(number, features, 1 if number == 1 else 2)
            features = first
            for _ in range(pairs):
                one = self._activated(number + 1, features)
                other = self._activated(number + 2, one)
                features = torch.cat([other, one], 1)
                number += 2
            features = torch.cat([self._activated(number + 1, features), first], 1)
            stages.append(features)
            number += 2
        return stages[1:]

    def heads(self, stages: Maps) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores before the sigmoid (pictures, cells, 6) and distances (pictures, cells, 44)."""
        fine, middle, coarse = (
            self._convolution(number, features)
            for number, features in zip(LATERALS, stages, strict=True)
        )
        middle_down = middle + _resize_to(coarse, middle)
        fine = fine + _resize_to(middle_down, fine)
        middle = middle_down + _resize_to(fine, middle)
        coarse = coarse + _resize_to(middle, coarse)
        outputs = torch.cat(
            [
                self._convolution(first + 1, self._activated(first, features))
                .flatten(2)
                .transpose(1, 2)
                for first, features in zip(HEADS, (fine, middle, coarse), strict=True)
            ],
            1,
        )
        return outputs[..., : len(ROAD_CLASSES)], outputs[..., len(ROAD_CLASSES) :]

    def _activated(self, number: int, features: torch.Tensor, stride: int = 1) -> torch.Tensor:
        return functional.leaky_relu(self._convolution(number, features, stride), SLOPE)

    def _convolution(self, number: int, features: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weights = self.weights[number]
        padding = weights.shape[-1] // 2
        return functional.conv2d(features, weights, self.biases[number], stride, padding)


def _resize_to(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(
        features, size=like.shape[2:], mode="bilinear", align_corners=False
    )
