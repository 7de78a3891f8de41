"""agent.detection.decoders: tensors in, detections out."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.base.model import LABELS, BoundingBox, Label
from agent.detection.decoders import make_decoder
from agent.detection.geometry import iou
from agent.detection.model_card import (
    DecoderName,
    LabelThresholds,
    ModelCard,
    ModelRefused,
    load_card,
)
from drivers.media import MAX_OBJECTS

KEEP = 0.25
SIDE_PX = 320
THRESHOLDS = LabelThresholds(start_track=0.4, keep_track=KEEP, show_still=0.5)
CELLS = {8: 1600, 16: 400, 32: 100, 64: 25}
COCO_NUMBERS: dict[Label, int] = dict(zip(LABELS, (0, 1, 3, 2, 5, 7), strict=True))


def _card(decoder: DecoderName) -> ModelCard:
    card = load_card("nanodet")
    return msgspec.structs.replace(
        card,
        decoder=decoder,
        input=msgspec.structs.replace(card.input, width_px=SIDE_PX, height_px=SIDE_PX),
        labels=COCO_NUMBERS,
        thresholds=dict.fromkeys(LABELS, THRESHOLDS),
    )


def _shapes(tensors: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    return [tensor.shape for tensor in tensors]


def _ssd_tensors(*rows: tuple[int, float, tuple[float, float, float, float]]) -> list[np.ndarray]:
    return [
        np.array([[r[2] for r in rows]], np.float32).reshape(1, -1, 4),
        np.array([[r[0] for r in rows]], np.float32),
        np.array([[r[1] for r in rows]], np.float32),
        np.array([len(rows)], np.float32),
    ]


def test_ssd_gives_labels_by_the_cards_numbers_and_boxes_as_corner_and_size() -> None:
    tensors = _ssd_tensors((2, 0.9, (0.1, 0.2, 0.4, 0.6)))
    (found,) = make_decoder(_card("ssd"), _shapes(tensors))(tensors)
    assert found.label == "car"
    assert found.score == pytest.approx(0.9)
    assert msgspec.structs.astuple(found.box) == pytest.approx((0.2, 0.1, 0.4, 0.3))


def test_ssd_drops_other_classes_low_scores_and_empty_boxes() -> None:
    tensors = _ssd_tensors(
        (16, 0.9, (0.1, 0.1, 0.2, 0.2)),  # a dog
        (0, KEEP - 0.01, (0.1, 0.1, 0.2, 0.2)),
        (0, 0.9, (0.5, 0.5, 0.5, 0.5)),
    )
    assert make_decoder(_card("ssd"), _shapes(tensors))(tensors) == ()


def test_ssd_clips_boxes_to_the_picture_and_reads_only_as_many_as_are_counted() -> None:
    tensors = _ssd_tensors((0, 0.9, (-0.1, -0.1, 1.1, 0.5)), (0, 0.9, (0.0, 0.0, 1.0, 1.0)))
    tensors[3][0] = 1
    (found,) = make_decoder(_card("ssd"), _shapes(tensors))(tensors)
    assert msgspec.structs.astuple(found.box) == pytest.approx((0, 0, 0.5, 1))


def _nanodet_tensors(decoder: DecoderName) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return scores and distances by stride, all zero."""
    bins = 11 if decoder == "nanodet" else 8
    strides = (8, 16, 32) if decoder == "nanodet" else (8, 16, 32, 64)
    return {
        stride: (
            np.zeros((1, CELLS[stride], 80), np.float32),
            np.zeros((1, CELLS[stride], 4 * bins), np.float32),
        )
        for stride in strides
    }


def _in_one_tensor(tensors: dict[int, tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate([np.concatenate(pair, axis=2) for pair in tensors.values()], axis=1)]


@pytest.mark.parametrize("in_one_tensor", [False, True])
@pytest.mark.parametrize(("decoder", "offset_px"), [("nanodet", 8), ("nanodet_plus", 0)])
def test_nanodet_reads_the_distances_as_means_of_their_bins(
    decoder: DecoderName, offset_px: int, *, in_one_tensor: bool
) -> None:
    by_stride = _nanodet_tensors(decoder)
    scores, distances = by_stride[16]
    cell = 10 * 20 + 5  # in column 5 and row 10 of stride 16
    scores[0, cell, 5] = 0.8
    bins = distances.shape[2] // 4
    for side, bin_number in enumerate((2, 1, 3, 4)):  # left, top, right, bottom, in strides
        distances[0, cell, side * bins + bin_number] = 50.0
    distances[0, cell, 3 * bins + 6] = 50.0  # the bottom: as probable as 4
    tensors = (
        _in_one_tensor(by_stride) if in_one_tensor else [t for p in by_stride.values() for t in p]
    )
    (found,) = make_decoder(_card(decoder), _shapes(tensors))(tensors)
    assert found.label == "bus"
    corner_and_size = np.array([48 + offset_px, 144 + offset_px, 80, 96]) / SIDE_PX
    assert msgspec.structs.astuple(found.box) == pytest.approx(corner_and_size.tolist(), abs=1e-4)


def test_nanodet_finds_its_tensors_in_any_order() -> None:
    by_stride = _nanodet_tensors("nanodet_plus")
    by_stride[64][0][0, 12, 0] = 0.5
    by_stride[64][1][0, 12, 7::8] = 9.0
    tensors = [t for pair in by_stride.values() for t in pair]
    expected = make_decoder(_card("nanodet_plus"), _shapes(tensors))(tensors)
    assert len(expected) == 1
    backwards = tensors[::-1]
    assert make_decoder(_card("nanodet_plus"), _shapes(backwards))(backwards) == expected


def test_nothing_below_the_keep_score_of_its_label_is_decoded() -> None:
    by_stride = _nanodet_tensors("nanodet")
    by_stride[8][0][0, 50, 2] = KEEP - 0.001
    by_stride[8][0][0, 900, 4] = 0.9  # an aeroplane
    tensors = [t for pair in by_stride.values() for t in pair]
    decode = make_decoder(_card("nanodet"), _shapes(tensors))
    assert decode(tensors) == ()
    by_stride[8][0][0, 50, 2] = KEEP + 0.001
    by_stride[8][1][0, 50, 5::11] = 9.0
    assert [found.label for found in decode(tensors)] == ["car"]


class Placed(msgspec.Struct, frozen=True):
    """A road user that is encoded into a cell, in pixels of the input."""

    label: Label
    score: float
    box: BoundingBox


placed_in_pixels = st.builds(
    Placed,
    label=st.sampled_from(LABELS),
    score=st.floats(0.3, 1.0),
    box=st.builds(
        BoundingBox, st.floats(0, 250), st.floats(0, 250), st.floats(4, 70), st.floats(4, 70)
    ),
)


def _encode_yolox(placed: Sequence[Placed]) -> tuple[np.ndarray, list[Placed]]:
    """Encode road users by the inverse of YOLOX's published decoding, each in a cell of its own.

    Return the tensor and those that found a free cell.
    """
    counts = [CELLS[stride] for stride in (8, 16, 32)]
    tensor = np.zeros((1, sum(counts), 85), np.float32)
    encoded: list[Placed] = []
    taken = set()
    for one in placed:
        box = one.box
        centre_x, centre_y = box.x + box.w / 2, box.y + box.h / 2
        level = min(2, int(max(box.w, box.h) // 32))
        stride = (8, 16, 32)[level]
        column, row = int(centre_x // stride), int(centre_y // stride)
        cell = sum(counts[:level]) + row * (SIDE_PX // stride) + column
        if cell in taken:
            continue
        taken.add(cell)
        encoded.append(one)
        objectness = (1 + one.score) / 2
        tensor[0, cell, :5] = (
            centre_x / stride - column,
            centre_y / stride - row,
            np.log(box.w / stride),
            np.log(box.h / stride),
            objectness,
        )
        tensor[0, cell, 5 + COCO_NUMBERS[one.label]] = one.score / objectness
    return tensor, encoded


@settings(deadline=None)
@given(st.lists(placed_in_pixels, max_size=12))
def test_yolox_gives_back_the_boxes_that_were_encoded(placed: list[Placed]) -> None:
    tensor, encoded = _encode_yolox(placed)
    found = list(make_decoder(_card("yolox"), [tensor.shape])([tensor]))
    expected = [
        one
        for one in encoded
        if not any(
            other.label == one.label and other.score >= one.score and iou(other.box, one.box) > 0.44
            for other in encoded
            if other is not one
        )
    ]
    for one in expected:
        box_in_input = BoundingBox(*(v / SIDE_PX for v in msgspec.structs.astuple(one.box)))
        match = max(
            (d for d in found if d.label == one.label), key=lambda d: iou(d.box, box_in_input)
        )
        assert msgspec.structs.astuple(match.box) == pytest.approx(
            msgspec.structs.astuple(box_in_input), abs=1e-4
        )
        assert match.score == pytest.approx(one.score, abs=1e-5)
    assert len(expected) <= len(found) <= len(encoded)
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)


def test_yolox_multiplies_objectness_and_class_score() -> None:
    tensor, _ = _encode_yolox([Placed("car", 0.9, BoundingBox(100, 100, 40, 40))])
    decode = make_decoder(_card("yolox"), [tensor.shape])
    assert len(decode([tensor])) == 1
    tensor[0, :, 4] = 0.25
    assert decode([tensor]) == ()


def test_numbers_that_are_none_give_no_detection() -> None:
    for value in (np.nan, np.inf, -np.inf):
        tensor = np.full((1, 2100, 85), value, np.float32)
        with np.errstate(all="ignore"):
            found = make_decoder(_card("yolox"), [tensor.shape])([tensor])
        assert all(np.isfinite(msgspec.structs.astuple(d.box)).all() for d in found)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_ssd_survives_numbers_that_are_none(value: float) -> None:
    car = (2, 0.9, (0.1, 0.2, 0.4, 0.6))
    decode = make_decoder(_card("ssd"), _shapes(_ssd_tensors(car, car)))
    for index in range(3):
        tensors = _ssd_tensors(car, car)
        tensors[index][0, 1] = value
        assert len(decode(tensors)) == 1
    tensors = _ssd_tensors(car, car)
    tensors[3][0] = value
    assert len(decode(tensors)) == (2 if value == np.inf else 0)


def test_a_score_that_is_none_of_a_probability_is_at_most_1() -> None:
    tensors = _ssd_tensors((2, 7.5, (0.1, 0.2, 0.4, 0.6)))
    (found,) = make_decoder(_card("ssd"), _shapes(tensors))(tensors)
    assert found.score == 1.0
    tensor, _ = _encode_yolox([Placed("car", 0.9, BoundingBox(100, 100, 40, 40))])
    tensor[0, :, 4] *= 10
    (found,) = make_decoder(_card("yolox"), [tensor.shape])([tensor])
    assert found.score == 1.0


def test_a_model_that_finds_something_everywhere_is_bounded() -> None:
    """All classes in each cell, in boxes that suppression keeps: the best of them are decoded."""
    by_stride = _nanodet_tensors("nanodet")
    for scores, distances in by_stride.values():
        scores[:] = 0.5
        distances[:, :, 1::11] = 50.0
    by_stride[16][0][0, 210, 2] = 0.9
    tensors = [tensor for pair in by_stride.values() for tensor in pair]
    found = make_decoder(_card("nanodet"), _shapes(tensors))(tensors)
    assert len(found) == MAX_OBJECTS
    assert (found[0].label, found[0].score) == ("car", pytest.approx(0.9))


@pytest.mark.parametrize(
    ("decoder", "shapes", "message"),
    [
        ("ssd", [(1, 25, 4), (1, 25), (1,), (1, 25)], r"outputs are 1x25x4, 1x25, 1, 1x25; allowed"),
        ("ssd", [], r"outputs are none; allowed: 1xNx4"),
        ("nanodet", [(1, 1600, 80), (1, 1600, 44)], "allowed: 1x1600xC and 1x1600x44, 1x400xC"),
        ("nanodet", [(1, 2100, 45)], r"labels\.bicycle = 1: allowed: 0 to 0"),
        ("nanodet_plus", [(1, 2100, 112)], r"1x2125x\(C \+ 32\)"),
        ("yolox", [(1, 2125, 85)], r"decoder 'yolox': .* 1x2125x85; allowed: 1x2100x\(5 \+ C\)"),
        ("yolox", [(1, 2100, 10)], r"labels\.bus = 5: allowed: 0 to 4"),
        ("yolox", [()], "allowed"),
    ],
)  # fmt: skip
def test_outputs_of_another_decoder_are_refused(
    decoder: DecoderName, shapes: list[tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ModelRefused, match=message):
        make_decoder(_card(decoder), shapes)
