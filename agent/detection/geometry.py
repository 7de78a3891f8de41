"""Points, lines and polygons on a picture.

Positions are in 0..1 of the picture, x to the right and y down. Lengths and angles are measured in
picture heights, so that they do not depend on the picture's shape: `aspect` is its width by its height,
and a step of 0.1 to the right is `0.1 * aspect` heights long.
"""

import math
from collections.abc import Callable, Sequence

from agent.base.model import BoundingBox
from drivers.media import Point, Polygon


def box_centre(box: BoundingBox) -> Point:
    """Return the centre of a box."""
    return Point(box.x + box.w / 2, box.y + box.h / 2)


def bottom_centre(box: BoundingBox) -> Point:
    """Return the middle of a box's bottom edge, where a road user touches the ground."""
    return Point(box.x + box.w / 2, box.y + box.h)


def box_size(box: BoundingBox, aspect: float) -> float:
    """Return the side of the square with a box's area, in picture heights."""
    return math.sqrt(max(0.0, box.w * aspect * box.h))


def distance(a: Point, b: Point, aspect: float) -> float:
    """Return the distance of two points, in picture heights."""
    return math.hypot((b.x - a.x) * aspect, b.y - a.y)


def signed_line_distance(start: Point, end: Point, point: Point, aspect: float) -> float:
    """Return a point's distance from an infinite line, in picture heights.

    Above zero on the right hand of the way from `start` to `end`, as seen on the picture, and below
    zero on its left hand.
    """
    dx, dy = (end.x - start.x) * aspect, end.y - start.y
    px, py = (point.x - start.x) * aspect, point.y - start.y
    return (dx * py - dy * px) / math.hypot(dx, dy)


def line_parameter(start: Point, end: Point, point: Point, aspect: float) -> float:
    """Return where the perpendicular from a point meets a line: 0 at `start`, 1 at `end`."""
    dx, dy = (end.x - start.x) * aspect, end.y - start.y
    px, py = (point.x - start.x) * aspect, point.y - start.y
    return (dx * px + dy * py) / (dx * dx + dy * dy)


def half_extent(box: BoundingBox, start: Point, end: Point, aspect: float) -> float:
    """Return how far a box extends from its centre across a line, in picture heights."""
    dx, dy = (end.x - start.x) * aspect, end.y - start.y
    projected_extent = abs(dy) * box.w * aspect + abs(dx) * box.h
    return projected_extent / math.hypot(dx, dy) / 2


def mean_point(corners: Sequence[Point]) -> Point:
    """Return the mean of at least one point."""
    count = len(corners)
    return Point(sum(one.x for one in corners) / count, sum(one.y for one in corners) / count)


def interpolate(a: Point, b: Point, fraction: float) -> Point:
    """Return the point at a fraction of the way from `a` to `b`."""
    return Point(a.x + (b.x - a.x) * fraction, a.y + (b.y - a.y) * fraction)


def is_inside(polygon: Polygon, point: Point) -> bool:
    """Whether a point is in a polygon, by the even-odd rule."""
    odd = False
    previous = polygon[-1]
    for corner in polygon:
        if (corner.y > point.y) != (previous.y > point.y):
            edge_fraction = (point.y - corner.y) / (previous.y - corner.y)
            if point.x < corner.x + edge_fraction * (previous.x - corner.x):
                odd = not odd
        previous = corner
    return odd


def edge_distance(polygon: Polygon, point: Point, aspect: float) -> float:
    """Return the distance to the nearest edge of a polygon, in picture heights."""
    nearest = math.inf
    previous = polygon[-1]
    for corner in polygon:
        if corner != previous:
            fraction = min(1.0, max(0.0, line_parameter(previous, corner, point, aspect)))
            nearest = min(nearest, distance(interpolate(previous, corner, fraction), point, aspect))
        previous = corner
    return nearest


def is_self_intersecting(polygon: Polygon) -> bool:
    """Whether two edges of a polygon meet anywhere but in a common corner."""
    count = len(polygon)
    edges = [(polygon[i], polygon[(i + 1) % count]) for i in range(count)]
    return any(
        _segments_intersect(*edges[i], *edges[j])
        for i in range(count)
        for j in range(i + 2, count)
        if (j + 1) % count != i
    )


def _segments_intersect(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments a-b and c-d have a point in common."""
    orientations = (
        _orientation(a, b, c),
        _orientation(a, b, d),
        _orientation(c, d, a),
        _orientation(c, d, b),
    )
    if orientations[0] != orientations[1] and orientations[2] != orientations[3]:
        return True
    triples = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(
        orientation == 0 and _is_between(*triple)
        for orientation, triple in zip(orientations, triples, strict=True)
    )


def _orientation(a: Point, b: Point, c: Point) -> int:
    """Return 1, -1 or 0: the side to which the path a, b, c turns."""
    cross = cross_product(a, b, c)
    return (cross > 0) - (cross < 0)


def cross_product(a: Point, b: Point, c: Point) -> float:
    """Return a value above zero if the path a, b, c turns to the right, as seen on the picture."""
    return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)


def _is_between(a: Point, b: Point, c: Point) -> bool:
    """Whether c, on the line through a and b, is between them."""
    return min(a.x, b.x) <= c.x <= max(a.x, b.x) and min(a.y, b.y) <= c.y <= max(a.y, b.y)


def intersection_area(a: BoundingBox, b: BoundingBox) -> float:
    """Return the area that two boxes have in common, by the picture's area."""
    overlap_w = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    if overlap_w <= 0:
        return 0.0
    return overlap_w * max(0.0, min(a.y + a.h, b.y + b.h) - max(a.y, b.y))


def iou(a: BoundingBox, b: BoundingBox) -> float:
    """Return intersection over union: 1 if the boxes are equal, 0 if they do not meet."""
    common = intersection_area(a, b)
    if common == 0:
        return 0.0
    union = a.w * a.h + b.w * b.h - common
    return common / union if union > 0 else 0.0


def containment(a: BoundingBox, b: BoundingBox) -> float:
    """Return intersection over the area of the smaller box."""
    common = intersection_area(a, b)
    if common == 0:
        return 0.0
    smaller = min(a.w * a.h, b.w * b.h)
    return common / smaller if smaller > 0 else 0.0


def covered_ratio(covering: BoundingBox, box: BoundingBox) -> float:
    """Return intersection over the area of `box`."""
    area = box.w * box.h
    return intersection_area(covering, box) / area if area > 0 else 0.0


def round_box(box: BoundingBox) -> BoundingBox:
    """Round a box for a message: to 0.0001 of the picture, finer than any detector."""
    return BoundingBox(round(box.x, 4), round(box.y, 4), round(box.w, 4), round(box.h, 4))


def enclosing_box(boxes: Sequence[BoundingBox]) -> BoundingBox:
    """Return the smallest box around at least one box."""
    left, top = min(box.x for box in boxes), min(box.y for box in boxes)
    right = max(box.x + box.w for box in boxes)
    bottom = max(box.y + box.h for box in boxes)
    return BoundingBox(left, top, right - left, bottom - top)


def heading_difference_deg(a: Point, b: Point, direction_deg: float, aspect: float) -> float:
    """Return the angle, 0..180, between the way from `a` to `b` and a direction.

    Directions are as seen on the picture: 0 to the right, 90 up, 180 to the left, 270 down.
    """
    heading_deg = math.degrees(math.atan2(a.y - b.y, (b.x - a.x) * aspect))
    return angle_between_deg(heading_deg, direction_deg)


def angle_between_deg(a_deg: float, b_deg: float) -> float:
    """Return the angle, 0..180, between two directions."""
    return abs((a_deg - b_deg + 180) % 360 - 180)


def clip_to_picture(polygon: Polygon) -> Polygon:
    """Clip a polygon to the picture (Sutherland and Hodgman). It is empty if no part of it is in the picture."""
    edges: tuple[tuple[Callable[[Point], float], Callable[[Point, Point, float], Point]], ...]
    edges = (
        (
            lambda corner: corner.x,
            lambda a, b, fraction: Point(0.0, _between(a.y, b.y, fraction)),
        ),
        (
            lambda corner: 1 - corner.x,
            lambda a, b, fraction: Point(1.0, _between(a.y, b.y, fraction)),
        ),
        (
            lambda corner: corner.y,
            lambda a, b, fraction: Point(_between(a.x, b.x, fraction), 0.0),
        ),
        (
            lambda corner: 1 - corner.y,
            lambda a, b, fraction: Point(_between(a.x, b.x, fraction), 1.0),
        ),
    )
    corners = list(polygon)
    for inside_distance, intersect in edges:
        clipped: list[Point] = []
        for previous, corner in zip(corners[-1:] + corners[:-1], corners, strict=True):
            previous_distance, distance = inside_distance(previous), inside_distance(corner)
            if (previous_distance < 0) != (distance < 0):
                clipped.append(
                    intersect(previous, corner, previous_distance / (previous_distance - distance))
                )
            if distance >= 0:
                clipped.append(corner)
        corners = clipped
    return tuple(Point(_clamp_unit(corner.x), _clamp_unit(corner.y)) for corner in corners)


def _between(a: float, b: float, fraction: float) -> float:
    return a + (b - a) * fraction


def _clamp_unit(value: float) -> float:
    return min(1.0, max(0.0, value))
