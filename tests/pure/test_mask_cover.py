"""agent.detection.mask_cover: masks cover others exactly if every point of these is in one of them."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import ShiftTolerance
from agent.detection.active_scene import expand_polygons
from agent.detection.geometry import is_inside, is_self_intersecting
from agent.detection.mask_cover import MAX_EDGES, covers, hidden_share
from drivers.masking import MIN_AREA, WHOLE_PICTURE, polygon_area
from drivers.media import Point, Polygon

SQUARE = (Point(0.2, 0.2), Point(0.6, 0.2), Point(0.6, 0.6), Point(0.2, 0.6))
LEFT = (Point(0.2, 0.2), Point(0.4, 0.2), Point(0.4, 0.6), Point(0.2, 0.6))
RIGHT = (Point(0.4, 0.2), Point(0.6, 0.2), Point(0.6, 0.6), Point(0.4, 0.6))
HOLLOW = (
    Point(0.1, 0.1),
    Point(0.7, 0.1),
    Point(0.7, 0.7),
    Point(0.45, 0.7),
    Point(0.45, 0.3),
    Point(0.35, 0.3),
    Point(0.35, 0.7),
    Point(0.1, 0.7),
)
"""A square around SQUARE with a notch from below."""
WIDER = tuple(
    Point(math.nextafter(0.6, 1) if corner.x == 0.6 else corner.x, corner.y) for corner in SQUARE
)
"""Wider by the smallest step."""

corners = st.tuples(st.integers(0, 16), st.integers(0, 16)).map(
    lambda corner: Point(corner[0] / 16, corner[1] / 16)
)


def around(found: list[Point]) -> Polygon:
    """The corners in order around their middle, so that edges rarely cross."""
    x, y = (
        math.fsum(values) / len(found) for values in zip(*((p.x, p.y) for p in found), strict=True)
    )
    return tuple(sorted(found, key=lambda p: (math.atan2(p.y - y, p.x - x), p.x, p.y)))


polygons: st.SearchStrategy[Polygon] = (
    st.lists(corners, min_size=3, max_size=6, unique=True)
    .map(around)
    .filter(lambda polygon: polygon_area(polygon) > MIN_AREA and not is_self_intersecting(polygon))
)
scenes = st.lists(polygons, max_size=3)
Rectangle = tuple[int, int, int, int]
"""Left, top, width and height in sixteenths."""
rectangles = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 8), st.integers(1, 8)),
    max_size=4,
)


@pytest.mark.parametrize(
    ("masks", "covered", "expected"),
    [
        ([], [], True),
        ([SQUARE], [], True),
        ([], [SQUARE], False),
        ([SQUARE], [SQUARE], True),
        ([SQUARE], [SQUARE[1:] + SQUARE[:1]], True),
        ([SQUARE], [SQUARE[::-1]], True),
        (WHOLE_PICTURE, [SQUARE, HOLLOW], True),
        ([SQUARE], WHOLE_PICTURE, False),
        ([LEFT, RIGHT], [SQUARE], True),
        ([SQUARE], [LEFT, RIGHT], True),
        ([LEFT], [SQUARE], False),
        ([HOLLOW], [SQUARE], False),
        ([HOLLOW, SQUARE], [SQUARE], True),
        ([SQUARE], [WIDER], False),
        ([WIDER], [SQUARE], True),
    ],
)
def test_masks_cover_what_they_hide_together(
    masks: Sequence[Polygon], covered: Sequence[Polygon], expected: bool
) -> None:
    assert covers(masks, covered) is expected


def test_too_many_edges_are_not_compared() -> None:
    circle = tuple(
        Point(0.5 + math.cos(i) * 0.4, 0.5 + math.sin(i) * 0.4)
        for i in (2 * math.pi * n / MAX_EDGES for n in range(MAX_EDGES))
    )
    assert not covers(WHOLE_PICTURE, [circle])
    assert covers([circle], [circle])


points = st.builds(Point, st.floats(0, 1), st.floats(0, 1))


@given(scenes, scenes, st.lists(points, min_size=30, max_size=30))
def test_a_point_that_is_no_longer_hidden_is_never_missed(
    masks: list[Polygon], covered: list[Polygon], samples: list[Point]
) -> None:
    uncovered = [
        point
        for point in samples
        if any(is_inside(polygon, point) for polygon in covered)
        and not any(is_inside(polygon, point) for polygon in masks)
    ]
    assert not (uncovered and covers(masks, covered))


@given(rectangles, rectangles)
def test_rectangles_are_covered_exactly_if_their_cells_are(
    masks: list[Rectangle], covered: list[Rectangle]
) -> None:
    expected = _cells(covered) <= _cells(masks)
    assert covers([_outline(one) for one in masks], [_outline(one) for one in covered]) is expected


def _cells(found: list[Rectangle]) -> set[tuple[int, int]]:
    return {
        (x, y)
        for left, top, w, h in found
        for x in range(left, left + w)
        for y in range(top, top + h)
    }


def _outline(rectangle: Rectangle) -> Polygon:
    left, top, w, h = (side / 16 for side in rectangle)
    return (Point(left, top), Point(left + w, top), Point(left + w, top + h), Point(left, top + h))


@given(scenes, scenes, scenes)
def test_cover_is_reflexive_transitive_and_grows_with_masks(
    first: list[Polygon], second: list[Polygon], third: list[Polygon]
) -> None:
    assert covers(first, first)
    assert covers([*first, *second], first)
    if covers(first, second) and covers(second, third):
        assert covers(first, third)


@given(polygons, st.floats(0.001, 0.1), st.floats(0.001, 0.1))
def test_an_expanded_mask_covers_the_original_and_is_not_covered_by_it(
    polygon: Polygon, x: float, y: float
) -> None:
    # Away from the edge, so that it can grow to all sides.
    polygon = tuple(Point(0.25 + corner.x / 2, 0.25 + corner.y / 2) for corner in polygon)
    expanded = expand_polygons([polygon], ShiftTolerance(x=x, y=y))
    assert covers(expanded, [polygon])
    assert not covers([polygon], expanded)


@pytest.mark.parametrize(
    ("masks", "share"),
    [
        ((), 0),
        (WHOLE_PICTURE, 1),
        ((SQUARE,), 0.16),
        ((SQUARE, SQUARE, LEFT), 0.16),
        ((LEFT, RIGHT), 0.16),
        ((HOLLOW,), 0.36 - 0.04),
        ((HOLLOW, SQUARE), 0.36 - 0.01),
        ((SQUARE, *WHOLE_PICTURE), 1),
    ],
)
def test_the_hidden_share_counts_each_point_once(masks: Sequence[Polygon], share: float) -> None:
    assert float(hidden_share(masks)) == pytest.approx(share)


@given(masks=scenes)
def test_the_hidden_share_is_between_the_largest_mask_and_all_of_them(
    masks: list[Polygon],
) -> None:
    areas = [polygon_area(mask) for mask in masks]
    share = float(hidden_share(masks))
    assert max(areas, default=0) - 1e-9 <= share <= min(1, sum(areas)) + 1e-9


def test_masks_with_too_many_edges_hide_everything() -> None:
    many = [
        tuple(Point(corner.x / 2 + step / 2000, corner.y) for corner in LEFT)
        for step in range(MAX_EDGES)
    ]
    assert hidden_share(many) == 1
