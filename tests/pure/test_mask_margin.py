"""agent.detection.mask_margin: no masked corner shows at any shift of the picture within the margin."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import ShiftTolerance
from agent.detection.geometry import is_self_intersecting
from agent.detection.mask_margin import expand_polygons
from drivers.masking import MASK_LUMA, MIN_AREA, MaskPainter
from drivers.media import Plane, Point, Polygon

LEEWAY = ShiftTolerance(x=0.02, y=0.035)
SIZE_PX = (320, 180)
SQUARE = ((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6))
HOOK = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.6, 0.8), (0.6, 0.4), (0.2, 0.4))
EDGE = ((0.0, 0.5), (0.1, 0.4), (0.1, 1.0), (0.0, 1.0))


def polygon(corners: tuple[tuple[float, float], ...]) -> Polygon:
    return tuple(Point(x, y) for x, y in corners)


def hidden(masks: tuple[Polygon, ...]) -> Plane:
    """Which pixels a real painter hides."""
    width, height = SIZE_PX
    planes = tuple(
        np.full(shape, 200, np.uint8)
        for shape in ((height, width), *[(height // 2, width // 2)] * 2)
    )
    y, _, _ = MaskPainter(masks, "a test").paint_planes(planes)  # type: ignore[arg-type]
    return y == MASK_LUMA


def uncovered(mask: Polygon, across: float, down: float) -> int:
    """How many pixels of what was masked show, when the picture has shifted."""
    drawn, painted = hidden((mask,)), hidden(expand_polygons([mask], LEEWAY))
    height, width = drawn.shape
    x, y = round(across * width), round(down * height)
    shifted = np.zeros_like(drawn)
    shifted[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)] = drawn[
        max(0, -y) : height + min(0, -y), max(0, -x) : width + min(0, -x)
    ]
    return int((shifted & ~painted).sum())


@pytest.mark.parametrize("corners", [SQUARE, HOOK, EDGE, SQUARE[::-1], HOOK[::-1]])
@pytest.mark.parametrize(("across", "down"), [(0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1)])
def test_a_shift_within_the_leeway_uncovers_nothing(
    corners: tuple[tuple[float, float], ...], across: float, down: float
) -> None:
    assert uncovered(polygon(corners), across * LEEWAY.x, down * LEEWAY.y) == 0


def test_a_grown_mask_hides_no_more_than_its_margin() -> None:
    painted = hidden(expand_polygons([polygon(HOOK)], LEEWAY))
    height, width = painted.shape
    # The notch of the hook stays open.
    assert not painted[int(0.6 * height), int(0.4 * width)]
    rows, columns = np.nonzero(painted)
    assert columns.min() / width == pytest.approx(0.2 - LEEWAY.x, abs=0.015)
    assert rows.max() / height == pytest.approx(0.8 + LEEWAY.y, abs=0.02)


@given(
    st.lists(st.tuples(st.floats(0.05, 1.0), st.floats(0.0, 1.0)), min_size=3, max_size=12),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_a_grown_mask_can_always_be_painted(
    spokes: list[tuple[float, float]], x: float, y: float
) -> None:
    # A star around a place of the picture, cut off at its edges: concave more often than not.
    turn = 2 * math.pi / len(spokes)
    corners = [
        Point(
            min(1.0, max(0.0, x + far * math.cos((index + 0.8 * beside) * turn))),
            min(1.0, max(0.0, y + far * math.sin((index + 0.8 * beside) * turn))),
        )
        for index, (far, beside) in enumerate(spokes)
    ]
    mask = tuple(Point(corner.x, corner.y) for corner in corners)
    pairs = list(zip(mask, (*mask[1:], mask[0]), strict=True))
    area = abs(math.fsum(a.x * b.y - b.x * a.y for a, b in pairs)) / 2
    if is_self_intersecting(corners) or area < MIN_AREA:
        return
    for leeway in (LEEWAY, ShiftTolerance(x=0.001, y=0.001), ShiftTolerance(x=1.0, y=1.0)):
        MaskPainter(expand_polygons([mask], leeway), "a test")
    assert hidden(expand_polygons([mask], ShiftTolerance(x=1.0, y=1.0))).all()


def test_without_a_leeway_masks_are_as_they_were_drawn() -> None:
    mask = polygon(HOOK)
    assert expand_polygons([mask], ShiftTolerance(x=0.0, y=0.0)) == (mask,)
