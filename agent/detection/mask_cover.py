"""Whether masks hide all that other masks hide, and how much they hide. Pure and exact.

A line across the picture is drawn at each height where an edge ends or two edges cross. Between two such lines no
edges cross, so the polygons' intervals at the middle height decide for the whole strip. Floats are exact fractions:
nothing is rounded, and a mask that shrinks by a hair does not cover the old one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TypeAlias

from drivers.media import Point, Polygon

MAX_EDGES, MAX_HEIGHTS = 600, 2000
"""With more the answer is no: the time grows with their product. No scene that a person draws has as many."""

_Edge: TypeAlias = tuple[Fraction, Fraction, Fraction, Fraction]
"""x and y of the upper end, x and y of the lower end. Horizontal edges are left out."""
_Interval: TypeAlias = tuple[Fraction, Fraction]


def covers(masks: Sequence[Polygon], covered: Sequence[Polygon]) -> bool:
    """Return whether `masks` together hide every point that `covered` hide.

    The edges of each polygon do not cross (`scene.validate_scene`). True if `covered` is empty.
    """
    upper = [list(_edges(polygon)) for polygon in masks]
    lower = [list(_edges(polygon)) for polygon in set(covered) - set(masks)]
    all_edges = [edge for edges in (*upper, *lower) for edge in edges]
    if not lower:
        return True
    if len(all_edges) > MAX_EDGES:
        return False
    heights = _heights(all_edges)
    return len(heights) <= MAX_HEIGHTS and all(
        _is_within(_intervals(lower, y), _merge(_intervals(upper, y)))
        for y in ((above + below) / 2 for above, below in pairwise(heights))
    )


def hidden_share(masks: Sequence[Polygon]) -> Fraction:
    """Return the share of the picture that masks together hide; all of it if they have too many edges.

    The edges of each polygon do not cross.
    """
    polygons = [list(_edges(polygon)) for polygon in set(masks)]
    edges = [edge for each in polygons for edge in each]
    heights = _heights(edges) if len(edges) <= MAX_EDGES else []
    if edges and not 0 < len(heights) <= MAX_HEIGHTS:
        return Fraction(1)
    # Edges do not cross between two heights, so the width at the middle is the mean one.
    return sum(
        (
            (bottom - top) * (end - begin)
            for top, bottom in pairwise(heights)
            for begin, end in _merge(_intervals(polygons, (top + bottom) / 2))
        ),
        Fraction(0),
    )


def _edges(polygon: Polygon) -> Iterator[_Edge]:
    previous: Point = polygon[-1]
    for corner in polygon:
        if previous.y != corner.y:
            top, bottom = sorted((previous, corner), key=lambda point: point.y)
            yield Fraction(top.x), Fraction(top.y), Fraction(bottom.x), Fraction(bottom.y)
        previous = corner


def _heights(edges: Sequence[_Edge]) -> list[Fraction]:
    """Return the heights at which an edge ends or two edges cross, in order."""
    heights = {height for _, top, _, bottom in edges for height in (top, bottom)}
    for index, edge in enumerate(edges):
        for other in edges[index + 1 :]:
            if (height := _crossing_height(edge, other)) is not None:
                heights.add(height)
    return sorted(heights)


def _crossing_height(edge: _Edge, other: _Edge) -> Fraction | None:
    """Return the height at which two edges cross, or None if they do not or are parallel."""
    top, bottom = max(edge[1], other[1]), min(edge[3], other[3])
    if top >= bottom:
        return None
    at_top = _x_at(edge, top) - _x_at(other, top)
    at_bottom = _x_at(edge, bottom) - _x_at(other, bottom)
    if at_top * at_bottom >= 0:
        return None
    return top + (bottom - top) * at_top / (at_top - at_bottom)


def _x_at(edge: _Edge, y: Fraction) -> Fraction:
    x, top, x_bottom, bottom = edge
    return x + (x_bottom - x) * (y - top) / (bottom - top)


def _intervals(polygons: Iterable[Sequence[_Edge]], y: Fraction) -> list[_Interval]:
    """Return where a line at the height `y` is inside of polygons, by the even-odd rule of each."""
    found: list[_Interval] = []
    for edges in polygons:
        crossings = sorted(_x_at(edge, y) for edge in edges if edge[1] < y < edge[3])
        found += zip(crossings[::2], crossings[1::2], strict=True)
    return found


def _merge(intervals: Iterable[_Interval]) -> list[_Interval]:
    """Return disjoint intervals in order; those that touch are one."""
    merged: list[_Interval] = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def _is_within(inner: Iterable[_Interval], outer: Sequence[_Interval]) -> bool:
    begins, ends = [begin for begin, _ in outer], [end for _, end in outer]
    # The last of `outer` that begins before `inner` is the first that ends behind it.
    return all(bisect_right(begins, begin) - 1 == bisect_left(ends, end) for begin, end in inner)
