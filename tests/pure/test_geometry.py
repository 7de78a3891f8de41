"""agent.detection.geometry."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.base.model import BoundingBox
from agent.detection import geometry
from drivers.media import Point

WIDE = 16 / 9

shares = st.floats(0, 1)
points = st.builds(Point, shares, shares)
boxes = st.builds(
    BoundingBox, st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.01, 0.5), st.floats(0.01, 0.5)
)

SQUARE = (Point(0.2, 0.2), Point(0.8, 0.2), Point(0.8, 0.8), Point(0.2, 0.8))
L_SHAPE = (
    Point(0.1, 0.1),
    Point(0.9, 0.1),
    Point(0.9, 0.3),
    Point(0.3, 0.3),
    Point(0.3, 0.9),
    Point(0.1, 0.9),
)


@pytest.mark.parametrize(
    ("start", "end", "point", "distance"),
    [
        ((0.0, 0.5), (1.0, 0.5), (0.5, 0.7), 0.2),
        ((0.0, 0.5), (1.0, 0.5), (0.5, 0.3), -0.2),
        ((1.0, 0.5), (0.0, 0.5), (0.5, 0.7), -0.2),
        ((0.5, 1.0), (0.5, 0.0), (0.75, 0.5), 0.25 * WIDE),
        ((0.5, 0.0), (0.5, 1.0), (0.75, 0.5), -0.25 * WIDE),
    ],
)
def test_the_right_side_of_a_line_is_on_the_right_in_its_direction(
    start: tuple[float, float],
    end: tuple[float, float],
    point: tuple[float, float],
    distance: float,
) -> None:
    found = geometry.signed_line_distance(Point(*start), Point(*end), Point(*point), WIDE)
    assert found == pytest.approx(distance)


@given(points, points, points)
def test_a_reversed_line_has_its_sides_exchanged(a: Point, b: Point, p: Point) -> None:
    assume(geometry.distance(a, b, WIDE) > 0.01)
    there = geometry.signed_line_distance(a, b, p, WIDE)
    assert geometry.signed_line_distance(b, a, p, WIDE) == pytest.approx(-there, abs=1e-9)


@given(points, points, st.floats(-1, 2))
def test_the_position_along_a_line_is_a_share(a: Point, b: Point, share: float) -> None:
    assume(geometry.distance(a, b, WIDE) > 0.01)
    place = geometry.interpolate(a, b, share)
    assert geometry.line_parameter(a, b, place, WIDE) == pytest.approx(share, abs=1e-6)
    assert geometry.signed_line_distance(a, b, place, WIDE) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("polygon", "point", "within"),
    [
        (SQUARE, (0.5, 0.5), True),
        (SQUARE, (0.1, 0.5), False),
        (SQUARE, (0.5, 0.9), False),
        (L_SHAPE, (0.2, 0.8), True),
        (L_SHAPE, (0.8, 0.2), True),
        (L_SHAPE, (0.6, 0.6), False),
    ],
)
def test_a_point_is_inside_or_outside_a_polygon(
    polygon: tuple[Point, ...], point: tuple[float, float], *, within: bool
) -> None:
    assert geometry.is_inside(polygon, Point(*point)) == within
    assert geometry.is_inside(polygon[::-1], Point(*point)) == within


@given(points)
def test_a_point_is_in_one_half_of_a_square_or_in_the_other(point: Point) -> None:
    assume(abs(point.x - point.y) > 1e-6)
    assume(0 < point.x < 1)
    assume(0 < point.y < 1)
    upper = (Point(0, 0), Point(1, 0), Point(1, 1))
    lower = (Point(0, 0), Point(1, 1), Point(0, 1))
    assert geometry.is_inside(upper, point) != geometry.is_inside(lower, point)


@pytest.mark.parametrize(
    ("point", "distance"),
    [((0.5, 0.3), 0.1), ((0.3, 0.5), 0.1 * WIDE), ((0.5, 1.0), 0.2), ((0.2, 0.2), 0.0)],
)
def test_the_distance_to_the_edge_is_in_picture_heights(
    point: tuple[float, float], distance: float
) -> None:
    assert geometry.edge_distance(SQUARE, Point(*point), WIDE) == pytest.approx(distance)


@pytest.mark.parametrize(
    ("polygon", "crossing"),
    [
        (SQUARE, False),
        (L_SHAPE, False),
        ((SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]), True),
        ((Point(0, 0), Point(1, 0), Point(0, 1)), False),
        ((Point(0, 0), Point(1, 0), Point(0.5, 0), Point(0.5, 1)), True),
    ],
)
def test_a_self_crossing_polygon_is_recognised(
    polygon: tuple[Point, ...], *, crossing: bool
) -> None:
    assert geometry.is_self_intersecting(polygon) == crossing


@given(boxes, boxes)
def test_overlap_is_symmetric_and_one_with_itself(a: BoundingBox, b: BoundingBox) -> None:
    assert geometry.iou(a, a) == pytest.approx(1)
    assert geometry.iou(a, b) == pytest.approx(geometry.iou(b, a))
    assert 0 <= geometry.iou(a, b) <= 1 + 1e-9


@given(boxes, boxes)
def test_the_common_area_is_the_product_of_both_overlaps(a: BoundingBox, b: BoundingBox) -> None:
    overlap_w = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    overlap_h = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    common = max(0.0, overlap_w) * max(0.0, overlap_h)
    assert geometry.intersection_area(a, b) == common
    assert geometry.iou(a, b) == common / (a.w * a.h + b.w * b.h - common)
    assert geometry.containment(a, b) == common / min(a.w * a.h, b.w * b.h)


@given(st.lists(boxes, min_size=1, max_size=5))
def test_a_hull_contains_every_bounding_box_and_no_more(many: list[BoundingBox]) -> None:
    hull = geometry.enclosing_box(many)
    for box in many:
        assert geometry.intersection_area(hull, box) == pytest.approx(box.w * box.h)
    assert hull.x in [box.x for box in many]


@pytest.mark.parametrize(
    ("to", "heading_deg"),
    [
        ((0.6, 0.5), 0),
        ((0.5, 0.4), 90),
        ((0.4, 0.5), 180),
        ((0.5, 0.6), 270),
        ((0.5 + 0.1 / WIDE, 0.4), 45),
    ],
)
def test_headings_are_counter_clockwise_from_the_right_of_the_picture(
    to: tuple[float, float], heading_deg: float
) -> None:
    start = Point(0.5, 0.5)
    for direction_deg in range(0, 360, 15):
        turn = abs((heading_deg - direction_deg + 180) % 360 - 180)
        found = geometry.heading_difference_deg(start, Point(*to), direction_deg, WIDE)
        assert math.isclose(found, turn, abs_tol=1e-6)
