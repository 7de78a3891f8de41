"""Field of view: from a point in the picture to a direction in the street, and back. Pure.

A pinhole with square pixels on a head that turns about the vertical and then about the level axis,
and never rolls. The lens's distortion is not modelled: a wide lens that bends straight lines is off
by some degrees at the picture's edge, and right in its middle. The camera is taken to be in the
head's centre, which is right to a degree for objects further away than some metres.
"""

import math

import msgspec

from agent.config.heads import FieldOfView
from drivers.angles import wrap_deg
from drivers.contracts import Pose
from drivers.media import Point

_MIN_DEPTH = 1e-6
"""Of a direction's unit length: a point less far ahead than this is outside the picture."""


class Direction(msgspec.Struct, frozen=True, kw_only=True):
    """A direction from the head: `pan_deg` in (-180, 180], to the right of its zero, `tilt_deg`
    above the horizon.
    """

    pan_deg: float
    tilt_deg: float


def horizontal_fov_deg(fov: FieldOfView, zoom: float) -> float:
    """Return the width of the picture at a zoom from 0 to 1.

    Between its calibrated ends the focal length grows by the same factor for the same step of the
    zoom, which is how zoom motors are commonly geared.
    """
    tan_half_wide, tan_half_tele = (math.tan(math.radians(end / 2)) for end in (fov.wide, fov.tele))
    tan_half_width = tan_half_wide * (tan_half_tele / tan_half_wide) ** min(1.0, max(0.0, zoom))
    return math.degrees(2 * math.atan(tan_half_width))


def point_to_direction(fov: FieldOfView, pose: Pose, point: Point) -> Direction:
    """Return the direction of a point in the picture, at 0..1 from its top left corner.

    A head that is sent there has the point in the middle of its picture.
    """
    tan_half_width = math.tan(math.radians(horizontal_fov_deg(fov, pose.zoom) / 2))
    right, up = (
        (point.x - 0.5) * 2 * tan_half_width,
        (0.5 - point.y) * 2 * tan_half_width / fov.aspect,
    )
    sin, cos = math.sin(math.radians(pose.tilt_deg)), math.cos(math.radians(pose.tilt_deg))
    depth, above = cos - sin * up, sin + cos * up
    return Direction(
        pan_deg=wrap_deg(pose.pan_deg + math.degrees(math.atan2(right, depth))),
        tilt_deg=math.degrees(math.atan2(above, math.hypot(right, depth))),
    )


def direction_to_point(fov: FieldOfView, pose: Pose, direction: Direction) -> Point | None:
    """Return the point of a direction; outside 0..1 it is outside the picture.

    None if the direction is not in front of the camera.
    """
    pan, tilt = math.radians(direction.pan_deg - pose.pan_deg), math.radians(direction.tilt_deg)
    right, above, level = (
        math.sin(pan) * math.cos(tilt),
        math.sin(tilt),
        math.cos(pan) * math.cos(tilt),
    )
    sin, cos = math.sin(math.radians(pose.tilt_deg)), math.cos(math.radians(pose.tilt_deg))
    depth, up = cos * level + sin * above, cos * above - sin * level
    if depth <= _MIN_DEPTH:
        return None
    scale = 2 * math.tan(math.radians(horizontal_fov_deg(fov, pose.zoom) / 2)) * depth
    return Point(x=0.5 + right / scale, y=0.5 - up * fov.aspect / scale)


def angle_between_deg(one: Direction, other: Direction) -> float:
    """Return the angle between two directions, 0 to 180; by haversine, exact for small angles."""
    a, b = math.radians(one.tilt_deg), math.radians(other.tilt_deg)
    pan = math.radians(one.pan_deg - other.pan_deg)
    haversine = math.sin((a - b) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(pan / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(min(1.0, haversine))))
