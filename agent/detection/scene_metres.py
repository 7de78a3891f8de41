"""Lines and zones that a scene gives in metres, placed on its picture. Pure.

`from_m`, `to_m` and `polygon_m` become `from`, `to` and `polygon` in the tables of the file, before these are
converted to a Scene: rules and drawings know positions in the picture alone.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.base.message import Message, message_of
from agent.detection.geometry import clip_to_picture, is_self_intersecting
from agent.detection.ground_marks import GroundMarks, GroundPoint
from agent.detection.ground_plane import GroundPlane, calibrate
from drivers.media import Point

GroundCorners = Annotated[tuple[GroundPoint, ...], msgspec.Meta(min_length=3, max_length=48)]
"""Fewer than the 64 corners of a polygon: the edges of the picture may add some."""

_MIN_DEPTH = 0.01
"""By that of the marks' middle: far below the picture's lower edge, and not yet behind the camera."""
_PARTS = (
    ("line", {"from_m": "from", "to_m": "to"}),
    ("zone", {"polygon_m": "polygon"}),
)


def place_metres(tables: dict[str, Any], location: str) -> dict[str, Any]:
    """Return the tables of a scene with everything that is in metres placed on the picture too.

    Tables of a wrong shape are left as they are: their conversion names the mistake. Raises: UserError.
    """
    placed = dict(tables)
    for kind, keys in _PARTS:
        parts = tables.get(kind)
        if isinstance(parts, list):
            placed[kind] = [
                _placed(part, keys, tables, location, f"{kind}[{index}]")
                if isinstance(part, dict) and keys.keys() & part.keys()
                else part
                for index, part in enumerate(parts)
            ]
    return placed


def _placed(
    part: dict[str, Any],
    keys: dict[str, str],
    tables: dict[str, Any],
    location: str,
    key_path: str,
) -> dict[str, Any]:
    for in_metres, in_picture in keys.items():
        if in_picture in part:
            given = next(key for key in keys if key in part)
            raise UserError(
                Message(
                    "{label}: given with `{given}`; allowed: one of them",
                    label=f"{location}: {key_path}.{in_picture}",
                    given=given,
                )
            )
        if in_metres not in part:
            raise UserError(
                Message(
                    "{label}: missing; it has to be given",
                    label=f"{location}: {key_path}.{in_metres}",
                )
            )
    given = next(iter(keys))
    if "ground" not in tables:
        raise UserError(
            Message(
                "{label}: there is no [ground]; allowed: with marks",
                label=f"{location}: {key_path}.{given}",
            )
        )
    plane = calibrate_ground(
        checked_convert.convert(tables["ground"], GroundMarks, location, "ground"), location
    )
    if given == "polygon_m":
        corners = checked_convert.convert(
            part[given], GroundCorners, location, f"{key_path}.{given}"
        )
        return {
            **part,
            "polygon": _to_lists(_place_polygon(plane, corners, location, f"{key_path}.{given}")),
        }
    ends = [
        checked_convert.convert(part[key], GroundPoint, location, f"{key_path}.{key}")
        for key in keys
    ]
    start, to = _to_lists(_place_line(plane, ends[0], ends[1], location, f"{key_path}.{given}"))
    return {**part, "from": start, "to": to}


def calibrate_ground(marks: GroundMarks, location: str) -> GroundPlane:
    """Return the calibrated ground of a scene. Raises: UserError that begins with `location`."""
    try:
        return calibrate(marks)
    except UserError as error:
        raise UserError(
            Message("{label}: {problem}", label=location, problem=message_of(error))
        ) from error


def _place_polygon(
    plane: GroundPlane, corners: Sequence[GroundPoint], location: str, key_path: str
) -> tuple[Point, ...]:
    """Return the part of a polygon that the picture shows."""
    seen = clip_to_picture(_project(plane, _in_front(plane, corners)))
    if not seen:
        raise UserError(
            Message("{label}: no part of it is in the picture", label=f"{location}: {key_path}")
        )
    flat = tuple(Point(corner.x_m, corner.y_m) for corner in corners)
    if is_self_intersecting(seen) and not is_self_intersecting(flat):
        raise UserError(
            Message(
                "{label}: falls into parts in the picture; allowed: an area of which the picture shows one part",
                label=f"{location}: {key_path}",
            )
        )
    return seen


def _place_line(
    plane: GroundPlane, start: GroundPoint, to: GroundPoint, location: str, key_path: str
) -> tuple[Point, Point]:
    """Return the part of a line that the picture shows, in its direction."""
    before, after = (plane.depth(one.x_m, one.y_m) - _MIN_DEPTH for one in (start, to))
    fractions = [0.0, 1.0]
    if (before < 0) != (after < 0):
        fractions[0 if before < 0 else 1] = before / (before - after)
    ends = _project(plane, [_between(start, to, fraction) for fraction in fractions])
    seen = clip_to_picture(ends)
    if len(set(seen)) < 2:  # noqa: PLR2004 - a line
        raise UserError(
            Message(
                "{label}: no part of the line is in the picture", label=f"{location}: {key_path}"
            )
        )
    # The clipped line goes there and back.
    distances = [math.dist((ends[0].x, ends[0].y), (point.x, point.y)) for point in seen]
    return seen[distances.index(min(distances))], seen[distances.index(max(distances))]


def _in_front(plane: GroundPlane, corners: Sequence[GroundPoint]) -> list[GroundPoint]:
    """Return the part of a polygon in front of the camera."""
    clipped = []
    previous = corners[-1]
    for corner in corners:
        before, here = (plane.depth(one.x_m, one.y_m) - _MIN_DEPTH for one in (previous, corner))
        if (before < 0) != (here < 0):
            clipped.append(_between(previous, corner, before / (before - here)))
        if here >= 0:
            clipped.append(corner)
        previous = corner
    return clipped


def _between(start: GroundPoint, to: GroundPoint, fraction: float) -> GroundPoint:
    return GroundPoint(
        start.x_m + (to.x_m - start.x_m) * fraction, start.y_m + (to.y_m - start.y_m) * fraction
    )


def _project(plane: GroundPlane, places: Sequence[GroundPoint]) -> tuple[Point, ...]:
    """Return the points of places in front of the camera; they may be outside of the picture."""
    points = (plane.to_picture(place.x_m, place.y_m) for place in places)
    return tuple(point for point in points if point is not None)


def _to_lists(points: Sequence[Point]) -> list[list[float]]:
    return [[point.x, point.y] for point in points]
