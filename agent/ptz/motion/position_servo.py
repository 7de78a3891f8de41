"""Go to a pose by speed alone, for a head that takes no positions. Pure.

The position is the driver's estimate, so the head arrives within the estimate's error. Each step
is a velocity and its longest duration: a step that no other follows in time must not overshoot.
"""

import math

import msgspec

from drivers.angles import wrap_deg
from drivers.contracts import Pose, PtzCapabilities, Range, Velocity
from drivers.pan_range import unwrap_pan_deg

ARRIVED_DEG = 0.25
"""Nearer than this is there. It is the dead zone of positions too: so small a correction is worth
no start of a motor."""
ARRIVED_ZOOM = 0.02
MIN_SLOWING_S = 0.4
"""A head begins to slow down this long before it arrives, at least."""
MIN_SPEED_SHARE = 0.05
"""Of the top speed; slower, many motors only hum."""
MIN_ZOOM_SPEED = 0.3
FULL_ZOOM_SPEED_ABOVE = 0.15
MAX_STEP_S = 0.25


class ServoStep(msgspec.Struct, frozen=True, kw_only=True):
    """Move at this velocity for `for_s` at most."""

    velocity: Velocity
    for_s: float


def pan_delta_deg(from_deg: float, to_deg: float, pan_range: Range | None) -> float:
    """Return the way to the right: the shorter one, or the only one if there are end stops."""
    if pan_range is None:
        return wrap_deg(to_deg - from_deg)
    return unwrap_pan_deg(to_deg, pan_range) - unwrap_pan_deg(from_deg, pan_range)


def is_at_pose(
    pose: Pose,
    target: Pose,
    capabilities: PtzCapabilities,
    tolerance_deg: float,
    tolerance_zoom: float,
) -> bool:
    """Return whether a pose is the target, within the tolerance of each axis."""
    # The ends of a full turn are one direction, however long the way between them.
    pan = wrap_deg(target.pan_deg - pose.pan_deg)
    zoom_differs = capabilities.zoom_ratio > 1 and abs(pose.zoom - target.zoom) > tolerance_zoom
    return (
        abs(pan) <= tolerance_deg
        and abs(target.tilt_deg - pose.tilt_deg) <= tolerance_deg
        and not zoom_differs
    )


def has_arrived(
    pose: Pose, target: Pose, capabilities: PtzCapabilities, tolerance_deg: float = ARRIVED_DEG
) -> bool:
    """Return whether the servo is done: pan and tilt share the tolerance."""
    pan = wrap_deg(target.pan_deg - pose.pan_deg)
    tilt = target.tilt_deg - pose.tilt_deg
    zoom = (target.zoom - pose.zoom) if capabilities.zoom_ratio > 1 else 0.0
    return math.hypot(pan, tilt) <= tolerance_deg and abs(zoom) <= ARRIVED_ZOOM


def arrival_tolerance_deg(capabilities: PtzCapabilities, interval_s: float) -> float:
    """Return how near a head surely comes that gets an order every `interval_s`.

    It moves no slower than it can, and to and fro.
    """
    min_speed_deg_s = MIN_SPEED_SHARE * max(capabilities.pan_max_deg_s, capabilities.tilt_max_deg_s)
    return max(ARRIVED_DEG, min_speed_deg_s * interval_s / 2)


def next_servo_step(
    pose: Pose,
    target: Pose,
    capabilities: PtzCapabilities,
    speed: float,
    slowing_s: float = MIN_SLOWING_S,
) -> ServoStep | None:
    """Return the next step towards the target at a share of the top speed, or None if it is there."""
    if has_arrived(pose, target, capabilities):
        return None
    slowing_s = max(slowing_s, MIN_SLOWING_S)
    pan, pan_s = _axis_speed(
        pan_delta_deg(pose.pan_deg, target.pan_deg, capabilities.pan_deg),
        capabilities.pan_max_deg_s,
        speed,
        slowing_s,
    )
    tilt, tilt_s = _axis_speed(
        target.tilt_deg - pose.tilt_deg, capabilities.tilt_max_deg_s, speed, slowing_s
    )
    zoom = target.zoom - pose.zoom if capabilities.zoom_ratio > 1 else 0.0
    zoom_speed = 0.0
    if abs(zoom) > ARRIVED_ZOOM:
        zoom_speed = math.copysign(
            1.0 if abs(zoom) > FULL_ZOOM_SPEED_ABOVE else MIN_ZOOM_SPEED, zoom
        )
    durations_s = [duration_s for duration_s in (pan_s, tilt_s) if duration_s > 0]
    return ServoStep(
        velocity=Velocity(pan_deg_s=pan, tilt_deg_s=tilt, zoom=zoom_speed),
        for_s=min([*durations_s, MAX_STEP_S]),
    )


def _axis_speed(
    distance_deg: float, max_speed_deg_s: float, speed_share: float, slowing_s: float
) -> tuple[float, float]:
    """Return the speed of one axis, and how long until it is at the target."""
    # The two axes share the tolerance, which is of their distance.
    if abs(distance_deg) <= ARRIVED_DEG / 2:
        return 0.0, 0.0
    min_speed_deg_s = max_speed_deg_s * min(MIN_SPEED_SHARE, speed_share)
    speed_deg_s = max(
        min_speed_deg_s, min(max_speed_deg_s * speed_share, abs(distance_deg) / slowing_s)
    )
    return math.copysign(speed_deg_s, distance_deg), abs(distance_deg) / speed_deg_s
