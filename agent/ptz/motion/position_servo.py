"""Going to a pose by speed alone, for a head that cannot be told where to go. Pure.

The place is the driver's reckoning, so the head arrives within that reckoning's own error. Each
step is a velocity and how long it may last at most: a step that is not followed by another one in
time must not overshoot.
"""

import math

import msgspec

from drivers.angles import wrap_deg
from drivers.contracts import Pose, PtzAbilities, Range, Velocity

ARRIVED_DEG = 0.25
"""Nearer than this is there. It is the dead zone of places too: so small a correction is worth no
start of a motor."""
ZOOM_ARRIVED = 0.02
SLOWING_S = 0.4
"""So long before it arrives a head begins to slow down, at least."""
SLOWEST_SHARE = 0.05
"""Of the top speed; slower, many motors only hum."""
ZOOM_SLOWEST = 0.3
ZOOM_FULL_FROM = 0.15
LONGEST_STEP_S = 0.25


class ServoStep(msgspec.Struct, frozen=True, kw_only=True):
    """Move at this velocity for `for_s` at the most."""

    velocity: Velocity
    for_s: float


def way_deg(from_deg: float, to_deg: float, span: Range | None) -> float:
    """How far to turn to the right: the nearer way round, or the only one where there are stops."""
    return wrap_deg(to_deg - from_deg) if span is None else to_deg - from_deg


def arrived(
    pose: Pose, target: Pose, abilities: PtzAbilities, within_deg: float = ARRIVED_DEG
) -> bool:
    """Whether a pose is as good as the target."""
    pan = way_deg(pose.pan_deg, target.pan_deg, abilities.pan_deg)
    tilt = target.tilt_deg - pose.tilt_deg
    zoom = (target.zoom - pose.zoom) if abilities.zoom_ratio > 1 else 0.0
    return math.hypot(pan, tilt) <= within_deg and abs(zoom) <= ZOOM_ARRIVED


def nearest_deg(abilities: PtzAbilities, turn_s: float) -> float:
    """How near a head comes for certain that is told at each turn of so long: it goes no slower than
    it can, and to and fro.
    """
    slowest_deg_s = SLOWEST_SHARE * max(abilities.pan_max_deg_s, abilities.tilt_max_deg_s)
    return max(ARRIVED_DEG, slowest_deg_s * turn_s / 2)


def chase(
    pose: Pose, target: Pose, abilities: PtzAbilities, speed: float, slowing_s: float = SLOWING_S
) -> ServoStep | None:
    """The next step towards the target at a share of the top speed, None where it is reached."""
    if arrived(pose, target, abilities):
        return None
    slowing_s = max(slowing_s, SLOWING_S)
    pan, pan_s = _axis(
        way_deg(pose.pan_deg, target.pan_deg, abilities.pan_deg),
        abilities.pan_max_deg_s,
        speed,
        slowing_s,
    )
    tilt, tilt_s = _axis(
        target.tilt_deg - pose.tilt_deg, abilities.tilt_max_deg_s, speed, slowing_s
    )
    zoom = target.zoom - pose.zoom if abilities.zoom_ratio > 1 else 0.0
    zoom_share = 0.0
    if abs(zoom) > ZOOM_ARRIVED:
        zoom_share = math.copysign(1.0 if abs(zoom) > ZOOM_FULL_FROM else ZOOM_SLOWEST, zoom)
    lasting = [each_s for each_s in (pan_s, tilt_s) if each_s > 0]
    return ServoStep(
        velocity=Velocity(pan_deg_s=pan, tilt_deg_s=tilt, zoom=zoom_share),
        for_s=min([*lasting, LONGEST_STEP_S]),
    )


def _axis(far_deg: float, top_deg_s: float, share: float, slowing_s: float) -> tuple[float, float]:
    """The speed of one axis, and how long until it is where it should be."""
    # The two axes share the tolerance, which is of their distance.
    if abs(far_deg) <= ARRIVED_DEG / 2:
        return 0.0, 0.0
    slowest = top_deg_s * min(SLOWEST_SHARE, share)
    speed = max(slowest, min(top_deg_s * share, abs(far_deg) / slowing_s))
    return math.copysign(speed, far_deg), abs(far_deg) / speed
