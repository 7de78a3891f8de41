"""agent.detection.decoders and nms: tensors in, detections out."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import BoundingBox, Detection
from agent.detection.decoders import decode_nanodet, decode_ssd
from agent.detection.geometry import iou
from agent.detection.model_card import load_card
from agent.detection.nms import suppress_duplicates

SSD = load_card("ssdlite_mobilenet_v2")
NANODET = load_card("nanodet")

boxes = st.builds(
    BoundingBox, st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.01, 0.5), st.floats(0.01, 0.5)
)
detections = st.builds(
    Detection, label=st.sampled_from(["car", "person"]), score=st.floats(0, 1), box=boxes
)


def _ssd_tensors(*rows: tuple[int, float, tuple[float, float, float, float]]) -> list[np.ndarray]:
    return [
        np.array([[r[2] for r in rows]], np.float32),
        np.array([[r[0] for r in rows]], np.float32),
        np.array([len(rows)], np.float32),
        np.array([[r[1] for r in rows]], np.float32),
    ]


def test_ssd_gives_labels_by_the_cards_numbers_and_boxes_as_corner_and_size() -> None:
    (found,) = decode_ssd(_ssd_tensors((2, 0.9, (0.1, 0.2, 0.4, 0.6))), SSD)
    assert found.label == "car"
    assert found.score == pytest.approx(0.9)
    assert msgspec.structs.astuple(found.box) == pytest.approx((0.2, 0.1, 0.4, 0.3))


def test_ssd_drops_other_classes_low_scores_and_empty_boxes() -> None:
    tensors = _ssd_tensors(
        (16, 0.9, (0.1, 0.1, 0.2, 0.2)),  # a dog
        (0, SSD.min_score / 2, (0.1, 0.1, 0.2, 0.2)),
        (0, 0.9, (0.5, 0.5, 0.5, 0.5)),
    )
    assert decode_ssd(tensors, SSD) == ()


def test_ssd_clips_boxes_to_the_picture() -> None:
    (found,) = decode_ssd(_ssd_tensors((0, 0.9, (-0.1, -0.1, 1.1, 0.5))), SSD)
    assert msgspec.structs.astuple(found.box) == pytest.approx((0, 0, 0.5, 1))


def test_nanodet_reads_the_distances_as_means_of_their_bins() -> None:
    tensors = []
    for cells in (2704, 676, 169):
        tensors += [np.zeros((1, cells, 80), np.float32), np.zeros((1, cells, 44), np.float32)]
    scores, distances = tensors[2], tensors[3]
    cell = 10 * 26 + 5  # of stride 16: the centre is at x = 88, y = 168
    scores[0, cell, 5] = 0.8
    for side, bin_number in enumerate((2, 1, 3, 4)):  # left, top, right, bottom, in strides
        distances[0, cell, side * 11 + bin_number] = 50.0
    (found,) = decode_nanodet(tensors, NANODET)
    assert found.label == "bus"
    corners = np.array([56, 152, 80, 80]) / 416
    assert msgspec.structs.astuple(found.box) == pytest.approx(corners.tolist(), abs=1e-4)


@given(st.lists(detections, max_size=12))
def test_suppression_keeps_the_best_and_no_two_that_overlap(found: list[Detection]) -> None:
    kept = suppress_duplicates(
        found, lambda one, other: one.label == other.label and iou(one.box, other.box) >= 0.5
    )
    assert set(kept) <= set(found)
    for i, one in enumerate(kept):
        for other in kept[i + 1 :]:
            assert other.score <= one.score
            assert other.label != one.label or iou(one.box, other.box) < 0.5
    for gone in set(found) - set(kept):
        assert any(
            k.label == gone.label and k.score >= gone.score and iou(k.box, gone.box) >= 0.5
            for k in kept
        )


@given(boxes, boxes)
def test_overlap_is_symmetric_and_whole_with_itself(a: BoundingBox, b: BoundingBox) -> None:
    assert iou(a, b) == pytest.approx(iou(b, a))
    assert 0 <= iou(a, b) <= 1 + 1e-9
    assert iou(a, a) == pytest.approx(1)
