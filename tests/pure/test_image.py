"""agent.detection.image: pictures out of planes."""

import numpy as np
import pytest
import simplejpeg

from agent.base.model import BoundingBox
from agent.detection.image import Region, crop_rgb, downscale_luma, encode_thumbnail, full_region
from drivers.media import Frame


def _frame(width: int, height: int, *, noise: bool = False) -> Frame:
    half = ((height + 1) // 2, (width + 1) // 2)
    random = np.random.default_rng(1)
    if noise:
        y, u, v = (random.integers(16, 235, s, np.uint8) for s in ((height, width), half, half))
    else:
        y, u, v = np.full((height, width), 81, np.uint8), np.full(half, 90), np.full(half, 240)
    return Frame(seq=1, t_ns=0, y=y, u=u.astype(np.uint8), v=v.astype(np.uint8))


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (1920, 1080)])
def test_red_in_yuv_is_red_in_rgb_at_every_size(size: tuple[int, int]) -> None:
    frame = _frame(*size)
    rgb = crop_rgb(frame, full_region(frame), (32, 32))
    assert rgb.shape == (32, 32, 3)
    assert np.abs(rgb.astype(int) - (254, 0, 0)).max() <= 3


def test_a_crop_shows_its_own_part() -> None:
    frame = _frame(200, 100)
    y = frame.y.copy()
    y[40:60, 100:120] = 235
    lit = Frame(
        seq=1, t_ns=0, y=y, u=np.full((50, 100), 128, np.uint8), v=np.full((50, 100), 128, np.uint8)
    )
    assert crop_rgb(lit, Region(100, 40, 20, 20), (32, 32)).min() > 250
    assert crop_rgb(lit, Region(0, 0, 20, 20), (32, 32)).max() < 90


def test_planes_with_a_stride_are_read_right_and_never_written() -> None:
    wide = _frame(128, 64, noise=True)
    view = Frame(seq=1, t_ns=0, y=wide.y[:, :64], u=wide.u[:, :32], v=wide.v[:, :32])
    for plane in (view.y, view.u, view.v):
        plane.flags.writeable = False
    compact = Frame(seq=1, t_ns=0, y=view.y.copy(), u=view.u.copy(), v=view.v.copy())
    assert np.array_equal(
        crop_rgb(view, full_region(view), (64, 64)),
        crop_rgb(compact, full_region(compact), (64, 64)),
    )
    encode_thumbnail(view, 64, 20_000, BoundingBox(0.1, 0.1, 0.5, 0.5))


@pytest.mark.parametrize(
    ("size", "gate"),
    [((1920, 1080), (320, 180)), ((352, 288), (320, 262)), ((160, 120), (160, 120))],
)
def test_the_gates_picture_is_small_and_as_bright(
    size: tuple[int, int], gate: tuple[int, int]
) -> None:
    small = downscale_luma(_frame(*size).y, 320)
    assert small.shape == gate[::-1]
    assert small.mean() == pytest.approx(81, abs=1)


@pytest.mark.parametrize("most", [20_000, 6_000, 1_500])
def test_a_thumbnail_fits_its_bytes_even_of_noise(most: int) -> None:
    jpeg = encode_thumbnail(_frame(1280, 720, noise=True), 480, most)
    assert len(jpeg) <= most
    height, width, *_ = simplejpeg.decode_jpeg_header(jpeg)
    assert width / height == pytest.approx(16 / 9, rel=0.1)


def test_a_thumbnail_is_never_larger_than_the_frame() -> None:
    height, width, *_ = simplejpeg.decode_jpeg_header(encode_thumbnail(_frame(98, 54), 480, 20_000))
    assert (width, height) == (98, 54)


def test_the_bounding_box_is_drawn_at_its_position() -> None:
    plain = simplejpeg.decode_jpeg(encode_thumbnail(_frame(320, 240), 320, 60_000))
    drawn = simplejpeg.decode_jpeg(
        encode_thumbnail(_frame(320, 240), 320, 60_000, BoundingBox(0.25, 0.25, 0.5, 0.5))
    )
    changed = np.argwhere(np.abs(plain.astype(int) - drawn).max(axis=2) > 60)
    assert changed.min(axis=0).tolist() == pytest.approx([60, 80], abs=4)
    assert changed.max(axis=0).tolist() == pytest.approx([180, 240], abs=4)
    assert np.abs(plain[120, 160].astype(int) - drawn[120, 160]).max() < 10


def test_the_same_frame_gives_the_same_bytes() -> None:
    frame = _frame(320, 240, noise=True)
    assert encode_thumbnail(frame, 160, 9_000) == encode_thumbnail(frame, 160, 9_000)
