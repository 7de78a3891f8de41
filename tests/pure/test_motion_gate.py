"""agent.detection.motion_gate: motion, and changes that only resemble it."""

import numpy as np
import pytest

from agent.detection.motion_gate import MotionGate, MotionResult

HEIGHT, WIDTH = 180, 320
STEP_NS = 100_000_000


def _street(seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    coarse = random.integers(60, 180, (9, 16)).astype(float)
    return np.kron(coarse, np.ones((20, 20)))


def _with_car(street: np.ndarray, x: int, y: int = 80) -> np.ndarray:
    picture = street.copy()
    picture[y : y + 30, x : x + 50] = 230
    return picture


def _shown(picture: np.ndarray, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.clip(picture + random.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)


def _watch(gate: MotionGate, pictures: list[np.ndarray], begin: int = 0) -> MotionResult:
    motion = MotionResult(0, (), is_global_change=False)
    for i, picture in enumerate(pictures, begin):
        motion = gate.detect(picture, i * STEP_NS)
    return motion


def test_the_first_picture_gives_no_motion_information() -> None:
    motion = MotionGate().detect(_shown(_street()), 0)
    assert motion.is_global_change
    assert motion.blobs == ()


@pytest.mark.parametrize("noise", [0.0, 2.0, 8.0], ids=["clean", "day", "night"])
def test_noise_is_not_motion(noise: float) -> None:
    gate = MotionGate()
    motion = _watch(gate, [_shown(_street(), noise, i) for i in range(60)])
    assert motion.moving_ratio < 0.002
    assert motion.blobs == ()


@pytest.mark.parametrize("noise", [0.0, 2.0, 8.0], ids=["clean", "day", "night"])
def test_a_car_is_one_blob_at_its_position(noise: float) -> None:
    gate = MotionGate()
    _watch(gate, [_shown(_street(), noise, i) for i in range(40)])
    motion = gate.detect(_shown(_with_car(_street(), 100), noise, 99), 40 * STEP_NS)
    assert len(motion.blobs) == 1
    box = motion.blobs[0].box
    assert box.x * WIDTH == pytest.approx(100, abs=4)
    assert box.y * HEIGHT == pytest.approx(80, abs=4)
    assert box.w * WIDTH == pytest.approx(50, abs=8)
    assert box.h * HEIGHT == pytest.approx(30, abs=8)


@pytest.mark.parametrize("shift", [-40, -12, 15, 40])
def test_a_cloud_before_the_sun_is_not_motion(shift: int) -> None:
    gate = MotionGate()
    _watch(gate, [_shown(_street(), 1, i) for i in range(30)])
    motion = gate.detect(_shown(_street() + shift, 1, 99), 30 * STEP_NS)
    assert motion.moving_ratio < 0.01
    assert not motion.is_global_change


def test_a_car_is_detected_during_a_light_change() -> None:
    gate = MotionGate()
    _watch(gate, [_shown(_street(), 1, i) for i in range(30)])
    motion = gate.detect(_shown(_with_car(_street(), 100) + 25, 1, 99), 30 * STEP_NS)
    assert len(motion.blobs) == 1


def test_a_turned_camera_relearns_the_background_and_detects_cars_again() -> None:
    gate = MotionGate()
    _watch(gate, [_shown(_street(0)) for _ in range(20)])
    turned = gate.detect(_shown(_street(7)), 20 * STEP_NS)
    assert turned.is_global_change
    assert turned.blobs == ()
    motion = _watch(gate, [_shown(_street(7))] * 5 + [_shown(_with_car(_street(7), 60))], 21)
    assert len(motion.blobs) == 1


def test_a_car_that_has_passed_leaves_no_ghost() -> None:
    gate = MotionGate()
    _watch(gate, [_shown(_street())] * 60)
    _watch(gate, [_shown(_with_car(_street(), x)) for x in range(0, 270, 15)], 60)
    motion = gate.detect(_shown(_street()), 78 * STEP_NS)
    assert motion.blobs == ()


def test_nothing_moves_in_an_ignored_area() -> None:
    ignored = np.zeros((HEIGHT, WIDTH), bool)
    ignored[:, :160] = True
    gate = MotionGate(ignored)
    _watch(gate, [_shown(_street())] * 10)
    assert gate.detect(_shown(_with_car(_street(), 60)), 10 * STEP_NS).moving_ratio == 0
    assert gate.detect(_shown(_with_car(_street(), 200)), 11 * STEP_NS).moving_ratio > 0


def test_a_picture_of_another_size_resets_the_gate() -> None:
    gate = MotionGate()
    _watch(gate, [_shown(_street())] * 5)
    assert gate.detect(np.zeros((90, 160), np.uint8), 5 * STEP_NS).is_global_change
