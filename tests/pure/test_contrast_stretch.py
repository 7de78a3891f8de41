"""agent.detection.contrast_stretch: a narrow luma range is searched as a full one, and a wide one as it is."""

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from agent.detection.contrast_stretch import (
    NONE_FROM_SPAN,
    ContrastStretch,
    measure_luma_range,
)
from agent.detection.image import Region
from drivers.media import NS_PER_S, Frame, Plane

WIDTH, HEIGHT = 320, 180
INPUT_WIDTH_PX = 300


def ramp(low: float, high: float) -> Plane:
    """A street with luma from `low` on the left to `high` on the right."""
    return np.tile(np.linspace(low, high, WIDTH), (HEIGHT, 1)).round().astype(np.uint8)


def settled(luma: Plane, mask: npt.NDArray[np.bool_] | None = None) -> ContrastStretch:
    """The stretch of a camera that has shown such pictures for ten minutes."""
    stretch = ContrastStretch()
    for second in range(-600, 0, 5):
        stretch.stretch_gate(luma, second * NS_PER_S, mask)
    return stretch


def stretched(luma: Plane) -> Plane:
    return settled(luma).stretch_gate(luma, 0, None)


def frame_of(y: Plane, chroma: int = 128) -> Frame:
    plane = np.full((y.shape[0] // 2, y.shape[1] // 2), chroma, np.uint8)
    return Frame(seq=0, t_ns=0, y=y, u=plane, v=plane)


@pytest.mark.parametrize(("low", "high"), [(16, 235), (18, 203), (50, 180), (0, 128)])
def test_a_picture_of_a_day_or_a_lit_night_is_searched_as_it_is(low: int, high: int) -> None:
    luma, frame, stretch = ramp(low, high), frame_of(ramp(low, high)), settled(ramp(low, high))
    assert stretch.stretch_gate(luma, 0, None) is luma
    assert stretch.stretch_regions(frame, (Region(0, 0, 64, 64),), INPUT_WIDTH_PX) is frame


@pytest.mark.parametrize(("low", "high"), [(16, 70), (16, 45), (110, 160), (180, 235), (20, 100)])
def test_a_narrow_range_is_searched_as_a_full_one(low: int, high: int) -> None:
    found = measure_luma_range(stretched(ramp(low, high)))
    assert found.low < 12
    assert found.high > 243


def test_noise_is_not_stretched_as_much_as_the_street_is() -> None:
    noise = np.random.default_rng(1).normal(0, 2.5, (HEIGHT, WIDTH))
    dim = ramp(16, 70)
    noisy = np.clip(dim + noise, 0, 255).round().astype(np.uint8)
    difference = stretched(noisy).astype(float) - stretched(dim)
    assert difference.std() < 0.6 * 2.5 * 255 / 54


@pytest.mark.parametrize("luma", [16, 100])
def test_a_flat_picture_with_noise_stays_as_it_is(luma: int) -> None:
    noise = np.random.default_rng(1).normal(0, 2.5, (HEIGHT, WIDTH))
    flat = (luma + np.abs(noise)).round().astype(np.uint8)
    assert stretched(flat) is flat


def test_no_range_is_searched_much_otherwise_than_the_next_one() -> None:
    luma = ramp(40, 160)
    pictures = []
    for span in range(80, round(NONE_FROM_SPAN) + 5):
        stretch = settled(ramp(100 - span / 2, 100 + span / 2))
        pictures.append(stretch.stretch_gate(luma, 1, None).astype(int))
    changes = [np.abs(b - a).max() for a, b in pairwise(pictures)]
    assert max(changes) <= 12


def test_a_narrower_range_is_followed_over_minutes() -> None:
    dim, dimmer = ramp(16, 70), ramp(16, 40)
    stretch = settled(dim)
    at_first = stretch.stretch_gate(dim, 0, None).mean()
    means = [
        float(stretch.stretch_gate(dimmer, second * NS_PER_S, None).mean())
        for second in range(1, 301)
    ]
    assert means[0] < 0.6 * at_first
    assert max(np.diff(means)) < 3
    assert means[60] < 0.9 * at_first
    assert means[-1] == pytest.approx(at_first, abs=6)


def test_a_bright_lorry_on_empty_asphalt_ends_the_stretch_for_a_minute() -> None:
    asphalt = ramp(100, 130)
    lorry = asphalt.copy()
    lorry[:, :50], lorry[:, 50:100] = 20, 235
    stretch = settled(asphalt)
    assert measure_luma_range(stretch.stretch_gate(asphalt, 0, None)).span > 230
    pictures = [
        stretch.stretch_gate(lorry if second < 4 else asphalt, second * NS_PER_S, None)
        for second in range(1, 40)
    ]
    assert all(picture is asphalt for picture in pictures[3:])


def test_a_camera_that_has_just_begun_is_searched_as_it_is() -> None:
    asphalt, stretch = ramp(100, 130), ContrastStretch()
    assert all(
        stretch.stretch_gate(asphalt, second * NS_PER_S, None) is asphalt for second in range(40)
    )


def test_a_mask_does_not_widen_the_range() -> None:
    luma = ramp(110, 160)
    luma[:60] = 16
    ignored = np.zeros(luma.shape, np.bool_)
    ignored[:60] = True
    with_mask = measure_luma_range(luma, ignored)
    assert with_mask.low == pytest.approx(111, abs=2)
    assert measure_luma_range(luma).low == 16
    assert measure_luma_range(luma, np.ones(luma.shape, np.bool_)) == measure_luma_range(luma)
    found = settled(luma, ignored).stretch_gate(luma, 0, ignored)
    assert measure_luma_range(found, ignored).span > 230


@pytest.mark.parametrize("width_px", [200, 640])
def test_a_region_is_stretched_in_luma_and_colour_and_the_frame_stays_as_it_is(
    width_px: int,
) -> None:
    y = cv2.resize(ramp(16, 70), (640, 360))
    frame, before = frame_of(y, chroma=138), y.copy()
    stretch, region = settled(ramp(16, 70)), Region(640 - width_px, 100, width_px, 200)

    searched = stretch.stretch_regions(frame, (region,), INPUT_WIDTH_PX)

    part = searched.y[100:300, 640 - width_px :]
    assert part.max() > 243
    assert part[0, 0] == pytest.approx((int(y[100, 640 - width_px]) - 17) * 255 / 52, abs=6)
    chroma = searched.u[50:150, (640 - width_px) // 2 :]
    assert (chroma == 128 + 10 * 3).all()
    assert np.array_equal(frame.y, before)
    assert (frame.u == 138).all()
