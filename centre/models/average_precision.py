"""Average precision of detections at an overlap of 0.5, as COCO defines it. Pure."""

import math
from collections.abc import Iterable, Mapping

import msgspec

from agent.base.model import BoundingBox, Label
from agent.detection.geometry import covered_ratio, iou

_MIN_OVERLAP = 0.5
_RECALL_STEPS = 100


class PictureDetection(msgspec.Struct, frozen=True):
    """One detection in one picture of a set."""

    picture: int
    score: float
    box: BoundingBox


def average_precision(
    found: Iterable[PictureDetection],
    truth: dict[int, list[BoundingBox]],
    crowds: dict[int, list[BoundingBox]],
) -> float:
    """Return AP at an overlap of 0.5, as COCO defines it: precision at 101 recalls, made monotonic.

    A detection that lies in a crowd region (half of it or more) is ignored. Without a truth it is NaN.
    """
    expected = sum(len(boxes) for boxes in truth.values())
    if not expected:
        return math.nan
    matched: dict[int, set[int]] = {}
    hit_flags: list[bool] = []
    for one in sorted(found, key=lambda f: -f.score):
        best, best_index = _MIN_OVERLAP, -1
        used_boxes = matched.setdefault(one.picture, set())
        for j, box in enumerate(truth.get(one.picture, [])):
            if j not in used_boxes and (iou_value := iou(one.box, box)) >= best:
                best, best_index = iou_value, j
        if best_index >= 0:
            used_boxes.add(best_index)
            hit_flags.append(True)
        elif not any(
            covered_ratio(c, one.box) >= _MIN_OVERLAP for c in crowds.get(one.picture, [])
        ):
            hit_flags.append(False)
    curve: list[tuple[float, float]] = []
    hits = 0
    for n, hit in enumerate(hit_flags, 1):
        hits += hit
        curve.append((hits / expected, hits / n))
    best_after = 0.0
    steps: list[tuple[float, float]] = []
    for recall, precision in reversed(curve):
        best_after = max(best_after, precision)
        steps.append((recall, best_after))
    steps.reverse()
    total = 0.0
    for k in range(_RECALL_STEPS + 1):
        total += next((p for r, p in steps if r >= k / _RECALL_STEPS - 1e-12), 0.0)
    return total / (_RECALL_STEPS + 1)


def mean_ap50(ap50: Mapping[Label, float]) -> float:
    """Return the mean over the labels, of the three digits that cards and tables have; 0 without labels."""
    return round(sum(ap50.values()) / len(ap50), 3) if ap50 else 0.0
