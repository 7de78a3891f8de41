"""agent.detection.picture_quality: each limit of a view is measured from its pictures, and from nothing else."""

import cv2
import msgspec
import numpy as np
import pytest

from agent.base.view_condition import ViewLimit
from agent.detection.contrast_stretch import LumaRange, measure_luma_range
from agent.detection.image import downscale_luma
from agent.detection.picture_quality import (
    MIN_SAMPLES,
    PictureQuality,
    PictureQualityMeter,
    view_limits,
)
from bench.film_conditions import UNCHANGED, FilmCondition, degrade_frame
from drivers.media import NS_PER_S, Frame, Plane

WIDTH_PX, HEIGHT_PX, FPS = 352, 288, 25
GOOD = PictureQuality(
    luma=LumaRange(20, 200),
    noise=0.5,
    streak_density=0.0,
    shift_px=0.1,
    pictures_per_s=15.0,
    width_px=320,
)


def _blocks() -> Plane:
    rng = np.random.default_rng(7)
    blocks = cv2.resize(
        rng.integers(20, 220, (9, 11)).astype(np.uint8),
        (WIDTH_PX, HEIGHT_PX),
        interpolation=cv2.INTER_NEAREST,
    )
    return np.asarray(cv2.add(blocks, rng.integers(0, 12, blocks.shape).astype(np.uint8)), np.uint8)


STREET = _blocks()
CHROMA = np.full((HEIGHT_PX // 2, WIDTH_PX // 2), 120, np.uint8)


def street(seq: int) -> Frame:
    """A street of blocks and texture, on which a lorry of a third of the width drives by."""
    y = STREET.copy()
    x = seq * 40 // FPS % WIDTH_PX
    y[120:220, x : x + WIDTH_PX // 3] = 230
    return Frame(seq=seq, t_ns=seq * NS_PER_S // FPS, y=y, u=CHROMA, v=CHROMA)


def measured(condition: FilmCondition, seconds: int = 6) -> PictureQuality:
    """The quality after a film under a condition: of each second, the last two pictures."""
    meter, quality = PictureQualityMeter(), None
    for second in range(seconds):
        for seq in (second * FPS, second * FPS + 1):
            frame = degrade_frame(street(seq), condition)
            luma = downscale_luma(frame.y, 320)
            meter.observe(luma, frame.t_ns, is_moving=False)
        quality = meter.measure(measure_luma_range(luma))
    assert quality is not None
    return quality


@pytest.mark.parametrize(
    ("change", "limits"),
    [
        ({}, ()),
        ({"luma": LumaRange(16, 60), "noise": 2.0}, ()),
        ({"luma": LumaRange(16, 45), "noise": 2.0}, ("dark",)),
        ({"noise": 13.0}, ("dark",)),
        ({"luma": LumaRange(97, 133), "noise": 0.3}, ()),
        ({"luma": LumaRange(130, 140), "noise": 0.1}, ()),
        ({"luma": LumaRange(125, 150), "noise": 2.0}, ("low_contrast",)),
        ({"streak_density": 0.07}, ()),
        ({"streak_density": 0.11}, ("rain",)),
        ({"shift_px": 2.3}, ()),
        ({"shift_px": 4.4}, ("shaken",)),
        ({"shift_px": 4.4, "noise": 11.6, "streak_density": 0.1}, ("shaken",)),
        ({"pictures_per_s": 3.0}, ()),
        ({"pictures_per_s": 2.0}, ("frame_rate",)),
        ({"pictures_per_s": None}, ()),
        ({"width_px": 117}, ()),
        ({"width_px": 88}, ("small",)),
        ({"luma": LumaRange(16, 40), "noise": 3.0, "width_px": 88}, ("dark", "small")),
    ],
)
def test_limits_of_a_quality(change: dict[str, object], limits: tuple[ViewLimit, ...]) -> None:
    assert view_limits(msgspec.structs.replace(GOOD, **change)) == limits


@pytest.mark.parametrize(
    ("condition", "limits"),
    [
        (UNCHANGED, ()),
        (FilmCondition("gain", 0.6), ()),
        (FilmCondition("gain", 0.4), ()),
        (FilmCondition("gain", 0.1), ("dark",)),
        (FilmCondition("noise", 10), ()),
        (FilmCondition("noise", 20), ("dark",)),
        (FilmCondition("fog", 3), ()),
        (FilmCondition("fog", 7), ()),
        (FilmCondition("rain", 1), ()),
        (FilmCondition("rain", 3), ("rain",)),
        (FilmCondition("rain", 5), ("rain",)),
        (FilmCondition("shake", 1), ()),
        (FilmCondition("shake", 5), ("shaken",)),
        (FilmCondition("size", 4), ("small",)),
    ],
    ids=str,
)
def test_a_film_under_a_condition_has_its_limit(
    condition: FilmCondition, limits: tuple[ViewLimit, ...]
) -> None:
    assert view_limits(measured(condition)) == limits


@pytest.mark.parametrize("sigma", [3, 6, 12])
def test_noise_is_measured_in_steps_of_luma(sigma: float) -> None:
    noise = measured(FilmCondition("noise", sigma)).noise
    # The gate's picture blends pixels of 352 to 320.
    assert 0.6 * sigma < noise < 1.05 * sigma


def test_shake_is_measured_in_pixels_of_the_gate() -> None:
    # The larger of two shifts, of which each is the difference of two pictures.
    assert measured(FilmCondition("shake", 3), 9).shift_px == pytest.approx(4, abs=1.3)
    assert measured(UNCHANGED).shift_px < 0.3


def test_the_first_samples_say_nothing() -> None:
    meter = PictureQualityMeter()
    luma = np.zeros((180, 320), np.uint8)
    found = []
    for second in range(MIN_SAMPLES + 1):
        meter.observe(luma, second * NS_PER_S, is_moving=False)
        found.append(meter.measure(LumaRange(0, 0)))
    assert [quality is None for quality in found] == [True] * MIN_SAMPLES + [False]


def test_pictures_of_another_size_begin_the_measures_again() -> None:
    meter = PictureQualityMeter()
    for second in range(10):
        meter.observe(np.zeros((180, 320), np.uint8), second * NS_PER_S, is_moving=False)
        meter.measure(LumaRange(0, 0))
    meter.observe(np.zeros((90, 160), np.uint8), 10 * NS_PER_S, is_moving=False)
    assert meter.measure(LumaRange(0, 0)) is None


@pytest.mark.parametrize(
    ("fps", "is_moving", "found"),
    [(15, True, 15.0), (2, True, 2.0), (2, False, None), (0.25, True, 1 / 3)],
    ids=["15", "2", "2 while the street is still", "gaps of 4 s"],
)
def test_pictures_a_second_are_those_while_something_moves(
    fps: float, is_moving: bool, found: float | None
) -> None:
    meter, quality, second = PictureQualityMeter(), None, 0
    for n in range(round(40 * fps)):
        t_ns = round(n / fps * NS_PER_S)
        meter.observe(np.zeros((180, 320), np.uint8), t_ns, is_moving=is_moving)
        if t_ns // NS_PER_S >= second:
            second = t_ns // NS_PER_S + 1
            quality = meter.measure(LumaRange(0, 0))
    assert quality is not None
    assert quality.pictures_per_s == (None if found is None else pytest.approx(found, rel=0.02))


def test_pictures_that_show_nothing_of_the_street_are_forgotten() -> None:
    meter = PictureQualityMeter()
    for n in range(100):
        meter.observe(np.zeros((180, 320), np.uint8), n * NS_PER_S // 2, is_moving=True)
        meter.forget()
    for n in range(1000, 1400):
        meter.observe(np.zeros((180, 320), np.uint8), n * NS_PER_S // 10, is_moving=True)
        quality = meter.measure(LumaRange(0, 0)) if n % 10 == 0 else None
    quality = meter.measure(LumaRange(0, 0)) or quality
    assert quality is not None
    assert quality.pictures_per_s == pytest.approx(10, rel=0.05)


def test_a_lorry_that_fills_a_picture_for_three_seconds_does_not_decide() -> None:
    meter, found = PictureQualityMeter(), []
    rng = np.random.default_rng(3)
    street_luma = rng.integers(20, 220, (180, 320)).astype(np.uint8)
    for second in range(30):
        luma = np.full_like(street_luma, 130) if 15 <= second < 18 else street_luma
        meter.observe(luma, second * NS_PER_S, is_moving=True)
        quality = meter.measure(LumaRange(int(luma.min()), int(luma.max())))
        found += [] if quality is None else [view_limits(quality)]
    assert set(found) <= {(), ("frame_rate",)}
