"""centre.models.average_precision: AP50 as COCO counts it."""

import math

import pytest

from agent.base.model import BoundingBox
from centre.models.average_precision import PictureDetection, average_precision

CAR, OTHER = BoundingBox(0, 0, 100, 50), BoundingBox(300, 0, 100, 50)
NEAR = BoundingBox(10, 0, 100, 50)


def found(*detections: tuple[float, BoundingBox]) -> list[PictureDetection]:
    return [PictureDetection(1, score, box) for score, box in detections]


def test_each_road_user_found_once_is_1() -> None:
    assert average_precision(found((0.9, CAR), (0.2, OTHER)), {1: [OTHER, CAR]}, {}) == 1


def test_a_second_detection_of_one_road_user_is_an_extra() -> None:
    doubled = found((0.9, CAR), (0.8, NEAR), (0.7, OTHER))
    assert average_precision(doubled, {1: [CAR, OTHER]}, {}) == pytest.approx(
        (51 + 50 * 2 / 3) / 101
    )


def test_a_missed_half_is_half() -> None:
    assert average_precision(found((0.9, CAR)), {1: [CAR, OTHER]}, {}) == pytest.approx(51 / 101)


def test_a_detection_in_a_crowd_is_ignored() -> None:
    both = found((0.9, OTHER), (0.8, CAR))
    assert average_precision(both, {1: [CAR]}, {1: [BoundingBox(250, 0, 300, 300)]}) == 1
    assert average_precision(both, {1: [CAR]}, {}) == 0.5


def test_without_labels_it_is_not_a_number() -> None:
    assert math.isnan(average_precision(found((0.9, CAR)), {}, {}))
