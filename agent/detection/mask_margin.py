"""Masks made larger by how far the picture may have shifted, so that the shift uncovers nothing. Pure.

A polygon is grown by a rectangle: what is grown holds every place that lies to either side of the
polygon by no more than `x` of the picture's width and up or down by no more than `y` of its height.
"""

from collections.abc import Callable, Sequence

from agent.base.model import ShiftTolerance
from drivers.masking import SMALLEST_AREA
from drivers.media import Corner, Polygon


def expand_polygons(masks: Sequence[Polygon], leeway: ShiftTolerance) -> tuple[Polygon, ...]:
    """The masks, grown by a leeway and cut off at the picture's edges; the same without one."""
    if not leeway.x and not leeway.y:
        return tuple(masks)
    return tuple(part for mask in masks for part in _grown(mask, leeway))


def _grown(mask: Polygon, leeway: ShiftTolerance) -> list[Polygon]:
    """One polygon where it is convex. Else what lies beside an edge is added for each edge: what
    lies outside of a polygon and near it lies near one of its edges.
    """
    # A quarter of the rectangle at least is in the picture. Parts that are too small to be painted
    # are none: then all between the corners is hidden.
    if _is_convex(mask) or leeway.x * leeway.y < 2 * SMALLEST_AREA:
        return [_in_picture(_hull(_around(mask, leeway)))]
    edges = zip(mask, (*mask[1:], mask[0]), strict=True)
    return [mask, *(_in_picture(_hull(_around(edge, leeway))) for edge in edges)]


def _around(corners: Sequence[Corner], leeway: ShiftTolerance) -> list[Corner]:
    return [
        Corner(corner.x + x, corner.y + y)
        for corner in corners
        for x in (-leeway.x, leeway.x)
        for y in (-leeway.y, leeway.y)
    ]


def _turn(a: Corner, b: Corner, c: Corner) -> float:
    """Above zero where the way from a over b to c turns to the right, as seen on the picture."""
    return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)


def _is_convex(mask: Polygon) -> bool:
    """Of a polygon whose edges do not cross."""
    turns = [_turn(mask[i - 2], mask[i - 1], mask[i]) for i in range(len(mask))]
    return all(turn >= 0 for turn in turns) or all(turn <= 0 for turn in turns)


def _hull(corners: Sequence[Corner]) -> Polygon:
    """The convex hull (Andrew's monotone chain)."""
    ordered = sorted(set(corners), key=lambda corner: (corner.x, corner.y))

    def half(along: Sequence[Corner]) -> list[Corner]:
        kept: list[Corner] = []
        for corner in along:
            while len(kept) > 1 and _turn(kept[-2], kept[-1], corner) <= 0:
                kept.pop()
            kept.append(corner)
        return kept[:-1]

    return (*half(ordered), *half(ordered[::-1]))


def _in_picture(polygon: Polygon) -> Polygon:
    """A convex polygon cut off at the picture's edges (Sutherland and Hodgman)."""
    edges: tuple[tuple[Callable[[Corner], float], Callable[[Corner, Corner, float], Corner]], ...]
    edges = (
        (lambda at: at.x, lambda a, b, share: Corner(0.0, _between(a.y, b.y, share))),
        (lambda at: 1 - at.x, lambda a, b, share: Corner(1.0, _between(a.y, b.y, share))),
        (lambda at: at.y, lambda a, b, share: Corner(_between(a.x, b.x, share), 0.0)),
        (lambda at: 1 - at.y, lambda a, b, share: Corner(_between(a.x, b.x, share), 1.0)),
    )
    corners = list(polygon)
    for inwards, crossing in edges:
        kept: list[Corner] = []
        for before, corner in zip(corners[-1:] + corners[:-1], corners, strict=True):
            was, now = inwards(before), inwards(corner)
            if (was < 0) != (now < 0):
                kept.append(crossing(before, corner, was / (was - now)))
            if now >= 0:
                kept.append(corner)
        corners = kept
    return tuple(Corner(_share(corner.x), _share(corner.y)) for corner in corners)


def _between(a: float, b: float, share: float) -> float:
    return a + (b - a) * share


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
