"""Degradations of films: seeded, of the size and the time of the film, and stronger with the amount."""

import math

import cv2
import numpy as np
import pytest

from bench.film_conditions import (
    CONDITIONS,
    UNCHANGED,
    FilmCondition,
    degrade_film,
    degrade_frame,
    place_under_condition,
)
from drivers.media import Frame, Plane, Point

WIDTH_PX, HEIGHT_PX = 352, 288


def street(seq: int = 0) -> Frame:
    """A frame with edges of full contrast, colour, and a texture."""
    rng = np.random.default_rng(5)
    y = rng.integers(90, 130, (HEIGHT_PX, WIDTH_PX)).astype(np.uint8)
    y[60:200, 40:150] = 235
    y[120:260, 200:330] = 16
    u = np.full((HEIGHT_PX // 2, WIDTH_PX // 2), 90, np.uint8)
    v = np.full((HEIGHT_PX // 2, WIDTH_PX // 2), 170, np.uint8)
    return Frame(seq=seq, t_ns=seq * 40_000_000, y=y, u=u, v=v)


def span(y: Plane) -> float:
    """The difference of the 98th and the 2nd percentile without the noise."""
    low, high = np.percentile(cv2.GaussianBlur(y, (0, 0), 3), (2, 98))
    return float(high - low)


def change_between_pictures(condition: FilmCondition) -> float:
    first, second = (degrade_frame(street(seq), condition).y.astype(float) for seq in (0, 1))
    return float(np.abs(first - second).mean())


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_a_seed_gives_one_film_and_the_planes_of_the_film_stay_as_they_are(
    condition: FilmCondition,
) -> None:
    frames = [street(seq) for seq in range(3)]
    before = [frame.y.copy() for frame in frames]

    first, again = ([*degrade_film(frames, condition, seed=3)] for _ in range(2))

    assert len(first) == len(again)
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.y, other.y)
        assert np.array_equal(one.u, other.u)
        assert one.u.shape == one.v.shape == ((one.height_px + 1) // 2, (one.width_px + 1) // 2)
    assert all(np.array_equal(frame.y, y) for frame, y in zip(frames, before, strict=True))


@pytest.mark.parametrize("kind", ["gain", "rain", "noise", "shake"])
def test_another_seed_gives_another_film(kind: str) -> None:
    condition = next(condition for condition in CONDITIONS if condition.kind == kind)
    first, second = (degrade_frame(street(), condition, seed) for seed in (1, 2))
    assert not np.array_equal(first.y, second.y)


def test_an_unchanged_film_is_the_film() -> None:
    frame = street()
    assert degrade_frame(frame, UNCHANGED) is frame


def test_less_gain_is_less_contrast_less_colour_and_black_stays_black() -> None:
    dim = degrade_frame(street(), FilmCondition("gain", 0.25))
    assert span(dim.y) == pytest.approx(0.25 * span(street().y), abs=3)
    assert dim.y[120:260, 200:330].mean() == pytest.approx(16, abs=1)
    assert dim.u.mean() == pytest.approx(128 - 38 / 4, abs=1)


def test_more_rain_is_less_contrast_and_more_change_between_pictures() -> None:
    light, heavy = FilmCondition("rain", 1), FilmCondition("rain", 5)
    assert span(degrade_frame(street(), heavy).y) < 0.4 * span(degrade_frame(street(), light).y)
    assert change_between_pictures(heavy) > 2 * change_between_pictures(light) > 0


def test_fog_is_the_veil_of_rain_without_streaks() -> None:
    fog, rain = FilmCondition("fog", 3), FilmCondition("rain", 3)
    assert change_between_pictures(fog) == 0
    assert span(degrade_frame(street(), fog).y) == pytest.approx(
        span(degrade_frame(street(), rain).y), abs=8
    )


def test_shake_shifts_each_picture_by_another_step() -> None:
    still = street()
    shaken = [
        degrade_frame(
            Frame(seq=seq, t_ns=0, y=still.y, u=still.u, v=still.v), FilmCondition("shake", 4)
        )
        for seq in range(200)
    ]
    edges = [int(np.argmax(frame.y[100, :100] > 200)) for frame in shaken]
    assert np.std(edges) == pytest.approx(4, rel=0.2)
    assert np.mean(edges) == pytest.approx(40, abs=1)


def test_blur_is_as_wide_in_a_larger_picture() -> None:
    small = degrade_frame(street(), FilmCondition("blur", 3)).y
    frame = street()
    large_frame = Frame(
        seq=0,
        t_ns=0,
        **{name: cv2.resize(getattr(frame, name), None, fx=2, fy=2) for name in "yuv"},
    )
    large = degrade_frame(large_frame, FilmCondition("blur", 3)).y
    shrunk = cv2.resize(large, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small).mean() < 2


def test_noise_has_the_deviation_of_its_amount() -> None:
    noisy = degrade_frame(street(), FilmCondition("noise", 10)).y.astype(float)
    part = slice(0, 50)
    assert (noisy - street().y)[part].std() == pytest.approx(10, rel=0.05)


def test_size_divides_both_sides() -> None:
    small = degrade_frame(street(), FilmCondition("size", 3))
    assert (small.width_px, small.height_px) == (118, 96)


@pytest.mark.parametrize("fps", [10, 5, 3, 2])
def test_pictures_a_second(fps: int) -> None:
    frames = [street(seq) for seq in range(100)]
    kept = [*degrade_film(frames, FilmCondition("fps", fps))]
    assert len(kept) == 4 * fps
    assert all(any(one is frame for frame in frames) for one in kept)


@pytest.mark.parametrize("angle_deg", [120, 140])
@pytest.mark.parametrize("point", [Point(0.5, 0.5), Point(0.3, 0.6), Point(0.85, 0.4)])
def test_a_lens_shows_a_point_where_the_mapping_says(angle_deg: float, point: Point) -> None:
    condition = FilmCondition("lens", angle_deg)
    frame = street()
    y = np.zeros_like(frame.y)
    cv2.circle(y, (round(point.x * WIDTH_PX), round(point.y * HEIGHT_PX)), 4, (255,), -1)
    shown = degrade_frame(Frame(seq=0, t_ns=0, y=y, u=frame.u, v=frame.v), condition).y
    rows, columns = np.nonzero((shown > 200) & (shown != 128))
    expected = place_under_condition(point, condition, WIDTH_PX / HEIGHT_PX)
    distance_px = math.hypot(
        columns.mean() + 0.5 - expected.x * WIDTH_PX, rows.mean() + 0.5 - expected.y * HEIGHT_PX
    )
    assert distance_px < 2


def test_a_corrected_lens_shows_the_film_again() -> None:
    frame = street()
    corrected = degrade_frame(frame, FilmCondition("undistorted_lens", 120)).y
    middle = (slice(80, 208), slice(80, 272))
    smooth = [cv2.GaussianBlur(y, (0, 0), 2)[middle].astype(int) for y in (corrected, frame.y)]
    assert np.abs(smooth[0] - smooth[1]).mean() < 3
