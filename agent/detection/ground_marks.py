"""The marks of `[ground]`: points of known place, or known lengths, on a camera's picture. Pure.

`docs/ground-calibration.md` explains each key. A scene keeps the marks and not the matrix that follows from
them, so that a person can check and correct them.
"""

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message
from drivers.media import Point

Metres = Annotated[float, msgspec.Meta(ge=-10_000, le=10_000)]

DEFAULT_ASPECT = 16 / 9
"""Of the picture, if the scene does not say it. A homography does not depend on it; the size of a pixel does,
and few marks are placed so exactly that its shape matters.
"""

_MIN_APART, _MIN_APART_M = 0.004, 0.05
_MAX_APART_M = 2000.0

_EQUATOR_RADIUS_M = 6_378_137.0
_ECCENTRICITY_SQUARED = 6.69437999014e-3
"""WGS 84."""


class GroundPoint(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A point on the ground in metres, x to the right and y ahead, or east and north. In TOML `[x, y]`."""

    x_m: Metres
    y_m: Metres


class GeoPosition(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A position in degrees, WGS 84. In TOML `[latitude, longitude]`."""

    latitude: Annotated[float, msgspec.Meta(ge=-85, le=85)]
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)]


class MarkedPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`point`: a point of the picture whose place on the ground is known, by one of two keys."""

    at: Point
    metres: GroundPoint | None = None
    position: GeoPosition | None = None


class KnownLength(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"start": "from"}
):
    """`length`: two points of the picture whose distance on the ground is known."""

    start: Point
    to: Point
    metres: Annotated[float, msgspec.Meta(ge=0.5, le=1000)]


StraightLine = Annotated[tuple[Point, ...], msgspec.Meta(min_length=3, max_length=32)]


class GroundMarks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[ground]`. `aspect` is the width of the picture by its height."""

    point: Annotated[tuple[MarkedPoint, ...], msgspec.Meta(min_length=4, max_length=32)] = ()
    length: Annotated[tuple[KnownLength, ...], msgspec.Meta(min_length=2, max_length=16)] = ()
    camera_height_m: Annotated[float, msgspec.Meta(ge=1, le=100)] | None = None
    straight: Annotated[tuple[StraightLine, ...], msgspec.Meta(min_length=1, max_length=16)] = ()
    aspect: Annotated[float, msgspec.Meta(ge=0.2, le=5)] | None = None


def local_metres(origin: GeoPosition, position: GeoPosition) -> tuple[float, float]:
    """Return a position in metres east and north of `origin`, on the plane that touches the earth there.

    At 2 km from the origin it is 0.3 m below the ground, and distances on it are right to a few centimetres.
    """
    east_radius_m, north_radius_m = _radii_m(origin)
    east_deg = (position.longitude - origin.longitude + 540) % 360 - 180
    return (
        math.radians(east_deg) * east_radius_m,
        math.radians(position.latitude - origin.latitude) * north_radius_m,
    )


def geo_position(origin: GeoPosition, x_m: float, y_m: float) -> GeoPosition:
    """Return the position of a point in metres east and north of `origin`: the inverse of `local_metres`."""
    east_radius_m, north_radius_m = _radii_m(origin)
    longitude = origin.longitude + math.degrees(x_m / east_radius_m)
    return GeoPosition(
        origin.latitude + math.degrees(y_m / north_radius_m), (longitude + 540) % 360 - 180
    )


def _radii_m(origin: GeoPosition) -> tuple[float, float]:
    """Return the radii of the circle of latitude and of the meridian at a position."""
    latitude = math.radians(origin.latitude)
    curvature = 1 - _ECCENTRICITY_SQUARED * math.sin(latitude) ** 2
    normal_m = _EQUATOR_RADIUS_M / math.sqrt(curvature)
    return math.cos(latitude) * normal_m, normal_m * (1 - _ECCENTRICITY_SQUARED) / curvature


def places_m(points: Sequence[MarkedPoint]) -> list[tuple[float, float]]:
    """Return the places of points that passed `check_keys`: in metres as given, or from the first position."""
    origin = points[0].position
    places = []
    for point in points:
        if point.metres is not None:
            places.append((point.metres.x_m, point.metres.y_m))
        elif origin is not None and point.position is not None:
            places.append(local_metres(origin, point.position))
    return places


def check_keys(marks: GroundMarks) -> None:
    """Check which keys are given together. Raises: UserError that begins with `ground`."""
    if bool(marks.point) == bool(marks.length):
        found = Message("has both") if marks.point else Message("has neither")
        raise UserError(
            Message(
                "{label}: {found} of `point` and `length`; allowed: one of them",
                label="ground",
                found=found,
            )
        )
    if marks.length and marks.camera_height_m is None:
        raise UserError(
            Message(
                "{label}: missing; it has to be given with `length`", label="ground.camera_height_m"
            )
        )
    if marks.point and marks.camera_height_m is not None:
        raise UserError(
            Message(
                "{label}: has no use with `point`; allowed: with `length`",
                label=f"ground.camera_height_m = {marks.camera_height_m:.1f}",
            )
        )
    if marks.aspect is None and (marks.straight or marks.length):
        other = "straight" if marks.straight else "length"
        raise UserError(
            Message(
                "{label}: missing; it has to be given with `{other}`: the picture's width by its height",
                label="ground.aspect",
                other=other,
            )
        )
    for index, mark in enumerate(marks.point):
        if (mark.metres is None) == (mark.position is None):
            found = Message("has neither") if mark.metres is None else Message("has both")
            raise UserError(
                Message(
                    "{label}: {found} of `metres` and `position`; allowed: one of them",
                    label=f"ground.point[{index}]",
                    found=found,
                )
            )
        if (mark.metres is None) != (marks.point[0].metres is None):
            key = "position" if mark.metres is None else "metres"
            raise UserError(
                Message(
                    "{label}: another kind than point[0]; allowed: the same kind for all",
                    label=f"ground.point[{index}].{key}",
                )
            )
    for index, length in enumerate(marks.length):
        if math.dist((length.start.x, length.start.y), (length.to.x, length.to.y)) < _MIN_APART:
            raise UserError(
                Message(
                    "{label}: the same point as `from`; allowed: points apart from each other",
                    label=f"ground.length[{index}].to = {_show(length.to)}",
                )
            )


def check_apart(
    points: Sequence[MarkedPoint],
    positions: Sequence[tuple[float, float]],
    places: Sequence[tuple[float, float]],
) -> None:
    """Check that no two marks are the same. Raises: UserError that begins with `ground`.

    `positions` are those of the points in picture heights, `places` those on the ground in metres.
    """
    for index in range(len(positions)):
        for other in range(index):
            if math.dist(positions[index], positions[other]) < _MIN_APART:
                raise UserError(
                    Message(
                        "{label}: the same point as point[{other}]; allowed: points apart from each other",
                        label=f"ground.point[{index}].at = {_show(points[index].at)}",
                        other=other,
                    )
                )
            apart_m = math.dist(places[index], places[other])
            if not _MIN_APART_M <= apart_m <= _MAX_APART_M:
                key = "position" if points[index].metres is None else "metres"
                raise UserError(
                    Message(
                        "{label}: {apart_m:.2f} m from point[{other}]; allowed: {min_m} to {max_m:.0f} m",
                        label=f"ground.point[{index}].{key}",
                        apart_m=apart_m,
                        other=other,
                        min_m=_MIN_APART_M,
                        max_m=_MAX_APART_M,
                    )
                )


def _show(point: Point) -> str:
    return f"[{point.x:.3f}, {point.y:.3f}]"
