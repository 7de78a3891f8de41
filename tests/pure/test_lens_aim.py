"""agent.capture.lens_aim: focus, light, level and glass of a picture; the picture in characters."""

import cv2
import numpy as np
import pytest

from agent.capture.lens_aim import (
    ASCII_RAMP,
    BAR_CHARS,
    FULL_SCALE_FOCUS,
    LensAim,
    downscale,
    downscale_within,
    focus_bar,
    measure_aim,
    to_ascii,
)
from tests.parts.console_peers import make_picture


def focus(luma: np.ndarray) -> float:
    found = measure_aim(luma).focus
    assert found is not None
    return found


def blurred(luma: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(luma, (0, 0), sigma)


@pytest.mark.parametrize("seed", range(5))
def test_the_score_climbs_as_the_lens_is_turned_towards_focus(seed: int) -> None:
    sharp = make_picture(seed, 720, 1280)
    scores = [focus(blurred(sharp, sigma)) for sigma in (12, 8, 5, 3, 2, 1.2)] + [focus(sharp)]
    assert scores == sorted(scores)
    assert scores[-1] > 4 * scores[0]


def test_light_changes_the_score_little() -> None:
    sharp = make_picture(3, 720, 1280)
    dim = (sharp * 0.4).astype(np.uint8)
    assert focus(dim) == pytest.approx(focus(sharp), rel=0.1)


def test_the_noise_of_a_sensor_does_not_pass_for_focus() -> None:
    rng = np.random.default_rng(1)
    soft = blurred(make_picture(2, 720, 1280), 6).astype(float) + rng.normal(0, 4, (720, 1280))
    noisy = np.clip(soft, 0, 255).astype(np.uint8)
    assert focus(noisy) < focus(make_picture(2, 720, 1280)) / 2


def test_a_flat_picture_has_no_focus() -> None:
    assert measure_aim(np.full((360, 640), 90, np.uint8)).focus is None


@pytest.mark.parametrize(
    ("luma", "message"),
    [
        (np.full((360, 640), 250, np.uint8), "too bright: 100% of it is white"),
        (np.full((360, 640), 3, np.uint8), "too dark: 100% of it is black"),
        (np.full((360, 640), 120, np.uint8), "good"),
    ],
)
def test_the_light_is_measured(luma: np.ndarray, message: str) -> None:
    assert str(measure_aim(luma).exposure) == message


def test_a_hazy_picture_is_distinguished_from_a_clear_one() -> None:
    clear = make_picture(4, 360, 640)
    hazy = (clear * 0.2 + 150).astype(np.uint8)
    assert measure_aim(hazy).hazy
    assert not measure_aim(clear).hazy


def test_a_blot_on_the_glass_is_named_by_its_place() -> None:
    rng = np.random.default_rng(4)
    grain = rng.integers(40, 220, (360, 640)).astype(np.uint8)
    clear = cv2.GaussianBlur(grain, (0, 0), 1.5)
    blot = clear.copy()
    blot[240:, 480:] = 120
    assert measure_aim(clear).soft_spots == ()
    assert measure_aim(blot).soft_spots == ("bottom right",)


@pytest.mark.parametrize("turned_deg", [-8, -4, -2, 0, 2, 4, 8])
def test_leaning_posts_show_the_roll_of_the_camera(turned_deg: float) -> None:
    posts = np.full((720, 1280), 90, np.uint8)
    for x in range(60, 1280, 130):
        posts[:, x : x + 40] = 200
    turn = cv2.getRotationMatrix2D((640, 360), -turned_deg, 1.0)
    leaning = cv2.warpAffine(posts, turn, (1280, 720), borderMode=cv2.BORDER_REPLICATE)
    assert measure_aim(leaning).lean_deg == pytest.approx(turned_deg, abs=0.8)


def test_without_upright_lines_the_level_is_unknown() -> None:
    rng = np.random.default_rng(2)
    assert measure_aim(rng.integers(0, 255, (720, 1280)).astype(np.uint8)).lean_deg is None


def test_the_bar_is_as_long_as_the_score() -> None:
    assert focus_bar(0) == "." * BAR_CHARS
    assert focus_bar(FULL_SCALE_FOCUS / 2).count("#") == BAR_CHARS // 2
    assert focus_bar(1000) == "#" * BAR_CHARS


@pytest.mark.parametrize(("size", "within"), [((360, 640), (90, 160)), ((480, 640), (90, 120))])
def test_a_smaller_picture_keeps_its_shape(size: tuple[int, int], within: tuple[int, int]) -> None:
    assert downscale_within(make_picture(1, *size), 160, 90).shape == within


@pytest.mark.parametrize("size", [(360, 640), (90, 160), (1080, 1920), (7, 3), (1, 1)])
def test_a_picture_in_characters_fits_its_room(size: tuple[int, int]) -> None:
    lines = to_ascii(make_picture(1, *size), 78, 16)
    assert 1 <= len(lines) <= 16
    assert all(len(line) <= 78 for line in lines)
    assert set("".join(lines)) <= set(ASCII_RAMP)


def test_bright_areas_use_dense_characters() -> None:
    half = np.zeros((360, 640), np.uint8)
    half[:, 320:] = 255
    lines = to_ascii(half, 40, 10)
    assert all(line.strip() == "@" * len(line.strip()) for line in lines)
    assert all(line.startswith(" " * 10) for line in lines)


def test_the_small_picture_has_the_means_of_the_large_one() -> None:
    luma = make_picture(1, 360, 640)
    assert downscale(luma, 160, 90).mean() == pytest.approx(luma.mean(), abs=1)
    assert downscale(luma, 160, 90).shape == (90, 160)


def test_any_picture_is_measured() -> None:
    rng = np.random.default_rng(9)
    for _ in range(200):
        height, width = int(rng.integers(1, 300)), int(rng.integers(1, 300))
        luma = rng.integers(0, 256, (height, width)).astype(np.uint8)
        assert isinstance(measure_aim(luma), LensAim)
