"""agent.detection.nms: the vectorised suppression is the plain greedy one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import BoundingBox
from agent.detection.geometry import iou
from agent.detection.nms import suppress_overlapping

eighths = st.integers(1, 8)
"""Coarse sides and scores: many boxes are equal, overlap by the limit itself, or have one score."""
candidates = st.tuples(eighths, eighths, eighths, eighths, st.integers(1, 5), st.integers(0, 2))


def _suppress_one_by_one(
    sides: np.ndarray, scores: np.ndarray, groups: np.ndarray, min_iou: float
) -> list[int]:
    boxes = [BoundingBox(x, y, right - x, bottom - y) for x, y, right, bottom in sides.tolist()]
    order = sorted(
        range(len(boxes)), key=lambda i: (-scores[i], groups[i], boxes[i].x, boxes[i].y, i)
    )
    kept: list[int] = []
    for i in order:
        if all(groups[i] != groups[k] or iou(boxes[i], boxes[k]) < min_iou for k in kept):
            kept.append(i)
    return kept


@given(st.lists(candidates, max_size=30), st.sampled_from([0.25, 0.45, 0.5, 0.6, 1.0]))
def test_a_box_is_kept_unless_a_better_kept_one_of_its_group_overlaps_it(
    rows: list[tuple[int, ...]], min_iou: float
) -> None:
    table = np.array(rows, np.float64).reshape(-1, 6)
    sides = np.hstack([table[:, :2], table[:, :2] + table[:, 2:4]]) / 16
    scores, groups = table[:, 4] / 8, table[:, 5].astype(int)
    kept = suppress_overlapping(sides, scores, groups, min_iou).tolist()
    assert kept == _suppress_one_by_one(sides, scores, groups, min_iou)


@given(st.integers(0, 2**32 - 1), st.sampled_from([100, 128, 129, 400]))
def test_more_boxes_than_are_compared_at_once_are_suppressed_alike(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    begin = rng.uniform(0, 0.8, (count, 2))
    sides = np.hstack([begin, begin + rng.uniform(0.02, 0.3, (count, 2))])
    scores, groups = rng.uniform(size=count).astype(np.float32), rng.integers(0, 6, count)
    kept = suppress_overlapping(sides, scores, groups, 0.45).tolist()
    assert kept == _suppress_one_by_one(sides, scores, groups, 0.45)
