"""agent.detection.optical_flow: the motion of the content of a box, or None."""

import cv2
import numpy as np
import pytest

from agent.base.model import BoundingBox
from agent.detection.optical_flow import FlowShift, track_boxes

NOWHERE = FlowShift(0.0, 0.0)
CAR = BoundingBox(0.3, 0.4, 0.2, 0.2)


def _street() -> np.ndarray:
    random = np.random.default_rng(5)
    return cv2.GaussianBlur(random.integers(60, 200, (180, 320)).astype(np.uint8), (0, 0), 2)


def _with_car(x: float, y: float) -> np.ndarray:
    """A textured patch at a place in pixels, between pixels too."""
    random = np.random.default_rng(9)
    patch = cv2.GaussianBlur(random.integers(0, 255, (36, 64)).astype(np.float32), (0, 0), 2)
    picture = _street().astype(np.float32)
    move = np.array([[1, 0, x], [0, 1, y]], np.float32)
    mask = cv2.warpAffine(np.ones_like(patch), move, (320, 180))
    laid = cv2.warpAffine(patch * 1.5, move, (320, 180))
    return np.clip(picture * (1 - mask) + laid, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("way", [(2.0, 0.0), (-3.0, 1.5), (0.0, 5.0), (8.0, -6.0)])
def test_a_car_is_followed_to_a_part_of_a_pixel(way: tuple[float, float]) -> None:
    before, now = _with_car(96, 72), _with_car(96 + way[0], 72 + way[1])
    (drift,) = track_boxes(before, now, [CAR], [NOWHERE])
    assert drift is not None
    assert (drift.dx * 320, drift.dy * 180) == pytest.approx(way, abs=0.4)


def test_a_fast_car_is_followed_from_its_predicted_position() -> None:
    before, now = _with_car(96, 72), _with_car(136, 72)
    (drift,) = track_boxes(before, now, [CAR], [FlowShift(38 / 320, 0)])
    assert drift is not None
    assert drift.dx * 320 == pytest.approx(40, abs=0.5)


def test_a_static_street_does_not_drift() -> None:
    (drift,) = track_boxes(_street(), _street(), [CAR], [NOWHERE])
    assert drift is not None
    assert (drift.dx, drift.dy) == pytest.approx((0, 0), abs=1e-4)


def test_a_bare_wall_gives_no_flow() -> None:
    wall = np.full((180, 320), 90, np.uint8)
    assert track_boxes(wall, wall, [CAR], [NOWHERE]) == [None]


def test_pictures_of_different_sizes_and_no_boxes_give_no_flow() -> None:
    assert track_boxes(_street(), _street()[:90], [CAR], [NOWHERE]) == [None]
    assert track_boxes(_street(), _street(), [], []) == []
