"""From a place in the picture to a direction in the street, and back. Pure.

A pinhole with square pixels on a head that turns about the upright and then about the level axis,
and never rolls. The lens's distortion is not modelled: a wide lens that bends straight lines is off
by some degrees at the picture's edge, and right in its middle. The camera is taken to sit in the
head's centre, which is good to a degree for what is further away than some metres.
"""

import math

import msgspec

from agent.config.heads import FieldOfView
from drivers.angles import wrap_deg
from drivers.contracts import Pose
from drivers.media import Corner

_IN_FRONT = 1e-6
"""Of a direction's unit length: what is not further ahead than this is beside the picture."""


class Direction(msgspec.Struct, frozen=True, kw_only=True):
    """A direction from the head: `pan_deg` in (-180, 180], to the right of its zero, `tilt_deg`
    above the horizon.
    """

    pan_deg: float
    tilt_deg: float


class ViewAngles(msgspec.Struct, frozen=True, kw_only=True):
    """How far a picture reaches: half of its width and of its height, seen from its middle."""

    half_width_deg: float
    half_height_deg: float


def width_deg(fov: FieldOfView, zoom: float) -> float:
    """How wide the picture is at a zoom from 0 to 1.

    Between its calibrated ends the focal length grows by the same factor for the same step of the
    zoom, which is how zoom motors are commonly geared.
    """
    half_wide, half_tele = (math.tan(math.radians(end / 2)) for end in (fov.wide, fov.tele))
    half = half_wide * (half_tele / half_wide) ** min(1.0, max(0.0, zoom))
    return math.degrees(2 * math.atan(half))


def outlook(fov: FieldOfView, zoom: float) -> ViewAngles:
    """Half of the picture's width and height at a zoom."""
    half_width_deg = width_deg(fov, zoom) / 2
    half_height = math.tan(math.radians(half_width_deg)) / fov.aspect
    return ViewAngles(
        half_width_deg=half_width_deg, half_height_deg=math.degrees(math.atan(half_height))
    )


def direction_of(fov: FieldOfView, pose: Pose, at: Corner) -> Direction:
    """Where in the street a place in the picture is, at 0..1 from its top left corner.

    A head that is sent there has it in the middle of its picture.
    """
    half = math.tan(math.radians(width_deg(fov, pose.zoom) / 2))
    right, up = (at.x - 0.5) * 2 * half, (0.5 - at.y) * 2 * half / fov.aspect
    sin, cos = math.sin(math.radians(pose.tilt_deg)), math.cos(math.radians(pose.tilt_deg))
    ahead, above = cos - sin * up, sin + cos * up
    return Direction(
        pan_deg=wrap_deg(pose.pan_deg + math.degrees(math.atan2(right, ahead))),
        tilt_deg=math.degrees(math.atan2(above, math.hypot(right, ahead))),
    )


def place_of(fov: FieldOfView, pose: Pose, direction: Direction) -> Corner | None:
    """Where in the picture a direction is; outside of 0..1 it is beside the picture. None where it
    is not in front of the camera.
    """
    pan, tilt = math.radians(direction.pan_deg - pose.pan_deg), math.radians(direction.tilt_deg)
    right, above, level = (
        math.sin(pan) * math.cos(tilt),
        math.sin(tilt),
        math.cos(pan) * math.cos(tilt),
    )
    sin, cos = math.sin(math.radians(pose.tilt_deg)), math.cos(math.radians(pose.tilt_deg))
    ahead, up = cos * level + sin * above, cos * above - sin * level
    if ahead <= _IN_FRONT:
        return None
    scale = 2 * math.tan(math.radians(width_deg(fov, pose.zoom) / 2)) * ahead
    return Corner(x=0.5 + right / scale, y=0.5 - up * fov.aspect / scale)


def between_deg(one: Direction, other: Direction) -> float:
    """The angle between two directions, 0 to 180; by haversine, which small angles do not upset."""
    a, b = math.radians(one.tilt_deg), math.radians(other.tilt_deg)
    pan = math.radians(one.pan_deg - other.pan_deg)
    half = math.sin((a - b) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(pan / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(min(1.0, half))))
