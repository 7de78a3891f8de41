"""Masks expanded by how far the picture may have shifted, so that a shift uncovers nothing. Pure.

A polygon is expanded by a rectangle: the result covers every point within `x` of the picture's width
and `y` of its height of the polygon.
"""

from collections.abc import Sequence

from agent.base.model import ShiftTolerance
from agent.detection.geometry import clip_to_picture, cross_product
from drivers.masking import MIN_AREA
from drivers.media import Point, Polygon


def expand_polygons(masks: Sequence[Polygon], tolerance: ShiftTolerance) -> tuple[Polygon, ...]:
    """Return the masks expanded by a tolerance and clipped to the picture."""
    if not tolerance.x and not tolerance.y:
        return tuple(masks)
    return tuple(part for mask in masks for part in _expand_polygon(mask, tolerance))


def _expand_polygon(mask: Polygon, tolerance: ShiftTolerance) -> list[Polygon]:
    """Expand a convex polygon as a whole, and any other one by its edges.

    A point outside of a polygon and near it is near one of its edges.
    """
    # At least a quarter of the rectangle is in the picture. Parts too small to be painted would be
    # refused: then the hull of the corners is masked.
    if _is_convex(mask) or tolerance.x * tolerance.y < 2 * MIN_AREA:
        return [clip_to_picture(_hull(_offset_corners(mask, tolerance)))]
    edges = zip(mask, (*mask[1:], mask[0]), strict=True)
    return [mask, *(clip_to_picture(_hull(_offset_corners(edge, tolerance))) for edge in edges)]


def _offset_corners(corners: Sequence[Point], tolerance: ShiftTolerance) -> list[Point]:
    return [
        Point(corner.x + x, corner.y + y)
        for corner in corners
        for x in (-tolerance.x, tolerance.x)
        for y in (-tolerance.y, tolerance.y)
    ]


def _is_convex(mask: Polygon) -> bool:
    """Whether a polygon whose edges do not cross is convex."""
    cross_products = [cross_product(mask[i - 2], mask[i - 1], mask[i]) for i in range(len(mask))]
    return all(turn >= 0 for turn in cross_products) or all(turn <= 0 for turn in cross_products)


def _hull(corners: Sequence[Point]) -> Polygon:
    """Return the convex hull (Andrew's monotone chain)."""
    ordered = sorted(set(corners), key=lambda corner: (corner.x, corner.y))

    def half_hull(ordered_corners: Sequence[Point]) -> list[Point]:
        chain: list[Point] = []
        for corner in ordered_corners:
            while len(chain) > 1 and cross_product(chain[-2], chain[-1], corner) <= 0:
                chain.pop()
            chain.append(corner)
        return chain[:-1]

    return (*half_hull(ordered), *half_hull(ordered[::-1]))
