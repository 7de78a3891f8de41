"""drivers.masking: no pixel inside a polygon is left, and no other pixel is changed."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import MaskError
from drivers.masking import MASK_CHROMA, MASK_LUMA, WHOLE_PICTURE, MaskPainter, Planes
from drivers.media import Point, Polygon

WHAT = "camera 'north'"

sizes = st.tuples(st.integers(2, 70), st.integers(2, 50))


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """A star around a point: no corner is out of the picture, and no edges cross."""
    x, y = draw(st.floats(0.2, 0.8)), draw(st.floats(0.2, 0.8))
    turns = sorted(draw(st.lists(st.floats(0, 6.28), min_size=3, max_size=9, unique=True)))
    reach = [draw(st.floats(0.05, 0.6)) for _ in turns]
    corners = tuple(
        Point(
            min(1, max(0, x + r * math.cos(turn))),
            min(1, max(0, y + r * math.sin(turn))),
        )
        for turn, r in zip(turns, reach, strict=True)
    )
    try:
        MaskPainter([corners], WHAT)
    except MaskError:
        return (Point(0.1, 0.1), Point(0.9, 0.2), Point(0.5, 0.9))
    return corners


def picture(size_px: tuple[int, int], seed: int) -> Planes:
    """Noise that holds no value of the paint."""
    width, height = size_px
    rng = np.random.default_rng(seed)
    half = ((height + 1) // 2, (width + 1) // 2)
    y = rng.integers(MASK_LUMA + 1, 256, (height, width), np.uint8)
    u, v = (rng.integers(0, MASK_CHROMA, half, np.uint8) for _ in range(2))
    for plane in (y, u, v):
        plane.flags.writeable = False
    return y, u, v


def inside(polygon: Polygon, xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]) -> object:
    """Which places lie in a polygon, by the crossings of a ray."""
    found = np.zeros(xs.shape, bool)
    for one, other in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if one.y == other.y:
            continue
        between = (one.y > ys) != (other.y > ys)
        at = (other.x - one.x) * (ys - one.y) / (other.y - one.y) + one.x
        found ^= between & (xs < at)
    return found


@given(masks=st.lists(polygons(), min_size=1, max_size=3), size_px=sizes)
def test_no_pixel_that_a_polygon_touches_depends_on_the_picture(
    masks: list[Polygon], size_px: tuple[int, int]
) -> None:
    painter = MaskPainter(masks, WHAT)
    one = painter.paint_planes(picture(size_px, 1))
    other = painter.paint_planes(picture(size_px, 2))
    width, height = size_px
    # Nine places in each pixel.
    xs, ys = np.meshgrid((np.arange(width * 3) + 0.5) / 3, (np.arange(height * 3) + 0.5) / 3)
    for polygon in masks:
        hit = np.asarray(inside(polygon, xs / width, ys / height))
        hit = hit.reshape(height, 3, width, 3).any(axis=(1, 3))
        rows, columns = np.nonzero(hit)
        assert (one[0][rows, columns] == MASK_LUMA).all()
        for plane in (1, 2):
            assert (one[plane][rows // 2, columns // 2] == MASK_CHROMA).all()
    for first, second in zip(one, other, strict=True):
        painted = (first == (MASK_LUMA if first.shape == one[0].shape else MASK_CHROMA)) & (
            first == second
        )
        assert painted.any()


@given(mask=polygons(), size_px=sizes, seed=st.integers(0, 9))
def test_unmasked_pixels_are_unchanged_and_the_source_is_not_modified(
    mask: Polygon, size_px: tuple[int, int], seed: int
) -> None:
    before = picture(size_px, seed)
    kept = [plane.copy() for plane in before]
    after = MaskPainter([mask], WHAT).paint_planes(before)
    for plane, untouched, painted, value in zip(
        before, kept, after, (MASK_LUMA, MASK_CHROMA, MASK_CHROMA), strict=True
    ):
        assert (plane == untouched).all()
        rest = painted != value
        assert (painted[rest] == plane[rest]).all()
        assert not painted.flags.writeable


@given(
    masks=st.lists(polygons(), min_size=1, max_size=3),
    size_px=sizes,
    padding=st.integers(0, 9).map(lambda pairs: 2 * pairs),
)
def test_an_nv12_picture_is_masked_in_place_like_its_planes(
    masks: list[Polygon], size_px: tuple[int, int], padding: int
) -> None:
    width, height = size_px
    stride = width + width % 2 + padding
    luma, u, v = picture(size_px, 1)
    rows = np.full((height, stride), 255, np.uint8)
    pairs = np.full(((height + 1) // 2, stride), 255, np.uint8)
    rows[:, :width] = luma
    pairs[:, : width + width % 2] = np.dstack((u, v)).reshape(u.shape[0], -1)
    painter = MaskPainter(masks, WHAT)
    painter.paint_nv12(rows[:, :width], pairs[:, : width + width % 2])
    expected = MaskPainter(masks, WHAT).paint_planes((luma, u, v))
    assert (rows[:, :width] == expected[0]).all()
    for plane, first in zip(expected[1:], (0, 1), strict=True):
        assert (pairs[:, first : width + width % 2 : 2] == plane).all()
    assert (rows[:, width:] == 255).all()
    assert (pairs[:, width + width % 2 :] == 255).all()


def test_a_mask_reaches_two_pixels_beyond_its_edge_at_most() -> None:
    square = (Point(0.25, 0.25), Point(0.75, 0.25), Point(0.75, 0.75), Point(0.25, 0.75))
    y, _, _ = MaskPainter([square], WHAT).paint_planes(picture((80, 40), 1))
    rows, columns = np.nonzero(y == MASK_LUMA)
    assert (rows.min(), rows.max()) == (8, 31)
    assert (columns.min(), columns.max()) == (18, 61)


def test_crossing_edges_leave_no_hole() -> None:
    star = tuple(
        Point(0.5 + 0.4 * math.sin(turn), 0.5 - 0.4 * math.cos(turn))
        for turn in (0, 2.513, 5.027, 1.257, 3.770)
    )
    y, _, _ = MaskPainter([star], WHAT).paint_planes(picture((100, 100), 1))
    assert (y[45:55, 45:55] == MASK_LUMA).all()


def test_a_picture_of_another_size_gets_new_masks() -> None:
    left = (Point(0, 0), Point(0.5, 0), Point(0.5, 1), Point(0, 1))
    painter = MaskPainter([left], WHAT)
    for width in (40, 21, 64):
        y, _, _ = painter.paint_planes(picture((width, 30), 1))
        assert (y[:, : (width + 1) // 2] == MASK_LUMA).all()
        assert (y[:, width // 2 + 3 :] != MASK_LUMA).all()


def test_changed_masks_apply_from_the_next_picture() -> None:
    left = (Point(0, 0), Point(0.5, 0), Point(0.5, 1), Point(0, 1))
    right = (Point(0.5, 0), Point(1, 0), Point(1, 1), Point(0.5, 1))
    now = [WHOLE_PICTURE]
    painter = MaskPainter([], WHAT, lambda _t_ns: now[0])
    before = picture((40, 30), 1)
    assert (painter.paint_planes(before)[0] == MASK_LUMA).all()
    for masks, hidden in (((left,), slice(0, 20)), ((right,), slice(20, 40))):
        now[0] = masks
        y, _, _ = painter.paint_planes(before)
        assert (y[:, hidden] == MASK_LUMA).all()
        assert (y != MASK_LUMA).any()
    now[0] = ()
    assert painter.paint_planes(before) is before


def test_without_masks_nothing_is_copied() -> None:
    planes = picture((32, 32), 1)
    assert MaskPainter([], WHAT).paint_planes(planes) is planes


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ((), "has 0 corners; allowed: 3 or more"),
        ((Point(0, 0), Point(1, 1)), "has 2 corners"),
        ((Point(0, 0), Point(1, 1), Point(0.5, 0.5)), "has no area"),
        ((Point(0, 0), Point(1, 0), Point(0, 1.1)), "corner [0, 1.1]; allowed: within 0..1"),
        ((Point(0, 0), Point(1, 0), Point(math.nan, 1)), "corner [nan, 1]"),
        ((Point(0, 0), Point(math.inf, 0), Point(0, 1)), "corner [inf, 0]"),
    ],
)
def test_a_polygon_that_cannot_be_drawn_is_refused(polygon: Polygon, message: str) -> None:
    with pytest.raises(MaskError) as caught:
        MaskPainter([polygon], WHAT)
    assert str(caught.value).startswith("camera 'north': mask 1: ")
    assert message in str(caught.value)
