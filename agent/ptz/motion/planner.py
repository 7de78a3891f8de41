"""From a wish to a motion, or to the reason why not. Pure."""

import msgspec

from agent.commands.requester import CommandRejected
from agent.config.heads import HeadConfig, Sector
from agent.ptz.motion import position_servo
from agent.ptz.motion.forbidden_sectors import NOBODY_KNOWS_DEG, reach
from agent.ptz.motion.path import MotionBounds, PathBlocked, route, straight
from agent.ptz.motion.trajectory import (
    ContinuousTrajectory,
    PoseTrajectory,
    PresetTrajectory,
    Trajectory,
    allowed_s,
    velocity_of,
)
from agent.ptz.presets import Preset
from agent.ptz.requests import AbsoluteMove, ContinuousMove
from drivers.contracts import Pose, PtzAbilities, PtzPosition, Velocity

_KNOWN_DEG = 1.0
"""How well a place is known where a head remembers it itself."""


class MovePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A motion that may begin. It lasts `lasts_s` at the most. `course` is None where there is
    nothing to do but to stand.
    """

    course: Trajectory | None
    lasts_s: float


def plan_drive(
    wish: ContinuousMove,
    t_ns: int,
    position: PtzPosition | None,
    bounds: MotionBounds,
    head: "HeadLimits",
) -> MovePlan:
    """Raises Refused: `unsupported` for a zoom or a focus that is not there, `forbidden` where a
    sector is in the way at once.
    """
    config, abilities = head.config, head.abilities
    if wish.zoom and abilities.zoom_ratio <= 1:
        raise CommandRejected("unsupported", f"head {config.name!r} has no zoom")
    if wish.focus and not abilities.focus:
        raise CommandRejected("unsupported", f"head {config.name!r} has no focus")
    lasts_s = min(wish.for_s, config.longest_move_s)
    velocity = velocity_of(wish, abilities, config.dead_zone)
    if velocity == Velocity():
        return MovePlan(course=None, lasts_s=0.0)
    course = ContinuousTrajectory(velocity, t_ns + int(lasts_s * 1e9))
    if bounds.sectors:
        if position is None or bounds.steered.lost:
            raise _nobody_knows(config.name, bounds)
        clipped = course.clipped(position, bounds)
        if isinstance(clipped, Sector):
            raise _forbidden(config.name, clipped)
    return MovePlan(course=course, lasts_s=lasts_s)


class HeadLimits(msgspec.Struct, frozen=True, kw_only=True):
    """A head as it is configured, and what it can do."""

    config: HeadConfig
    abilities: PtzAbilities


def plan_point(
    wish: AbsoluteMove,
    position: PtzPosition | None,
    bounds: MotionBounds,
    head: HeadLimits,
    *,
    exactly: bool = False,
) -> MovePlan:
    """Raises Refused: `failed` where nobody knows where the head is, `forbidden` where a sector
    would be in the picture there or on each way, `unsupported` where it is too far for the longest
    move. `exactly`: a head that can be told where to go is told, however near it is.
    """
    config, abilities = head.config, head.abilities
    if position is None or bounds.error_deg >= NOBODY_KNOWS_DEG:
        raise _nobody_knows(config.name, bounds)
    target = bounds.within(wish.pose)
    if abilities.zoom_ratio <= 1:
        target = msgspec.structs.replace(target, zoom=0.0)
    told = exactly and abilities.absolute
    if not told and position_servo.arrived(position.pose, target, abilities):
        _check_target(config.name, target, bounds)
        return MovePlan(course=None, lasts_s=0.0)
    try:
        poses = route(position.pose, target, bounds)
    except PathBlocked as blocked:
        raise _forbidden(config.name, blocked.sector) from blocked
    late_s = bounds.ahead.late_s
    speed = _speed(position.pose, poses, wish.speed, late_s, head)
    needed_s = allowed_s(poses, position.pose, abilities, speed, late_s)
    lasts_s = min(needed_s, config.longest_move_s)
    going = PoseTrajectory(poses, speed, abilities, config.brake_s, bounds.error_deg)
    return MovePlan(course=going, lasts_s=lasts_s)


def plan_recall(
    preset: Preset,
    speed: float,
    position: PtzPosition | None,
    bounds: MotionBounds,
    head: HeadLimits,
    *,
    exactly: bool = False,
) -> MovePlan:
    """By the head's own memory where it remembers the place and cannot be told where to go,
    otherwise by its pose. Raises Refused as `plan_point`.

    A head that remembers goes its own way: so it is asked to only where nothing is in that way, or
    where nobody knows where it is, because nothing else would find it again.
    """
    config, abilities = head.config, head.abilities
    pose = preset.pose
    remembers = preset.number is not None and preset.number <= abilities.presets
    if preset.number is not None and remembers and not abilities.absolute:
        there = msgspec.structs.replace(bounds, error_deg=_KNOWN_DEG)
        _check_target(config.name, pose, there)
        lost = position is None or bounds.error_deg >= NOBODY_KNOWS_DEG
        if lost or position is None or straight(position.pose, pose, bounds):
            return MovePlan(course=PresetTrajectory(preset.number), lasts_s=config.longest_move_s)
    wish = AbsoluteMove(pan_deg=pose.pan_deg, tilt_deg=pose.tilt_deg, zoom=pose.zoom, speed=speed)
    return plan_point(wish, position, bounds, head, exactly=exactly)


def _speed(
    start: Pose, poses: tuple[Pose, ...], wanted: float, late_s: float, head: HeadLimits
) -> float:
    """The share of the top speed that was wanted, or as much more as arrives in time."""
    longest_s = head.config.longest_move_s
    if allowed_s(poses, start, head.abilities, wanted, late_s) <= longest_s:
        return wanted
    slowest = next(
        (
            step / 20
            for step in range(1, 21)
            if step / 20 > wanted
            and allowed_s(poses, start, head.abilities, step / 20, late_s) <= longest_s
        ),
        None,
    )
    if slowest is None:
        needed_s = allowed_s(poses, start, head.abilities, 1.0, late_s)
        raise CommandRejected(
            "unsupported",
            f"head {head.config.name!r} may need {needed_s:.0f} s for that; "
            f"allowed: longest_move_s = {longest_s:g}",
        )
    return slowest


def _check_target(name: str, target: Pose, bounds: MotionBounds) -> None:
    sector = bounds.hits(reach(target), passing=False)
    if sector is not None:
        raise _forbidden(name, sector)


def _forbidden(name: str, sector: Sector) -> CommandRejected:
    return CommandRejected("forbidden", f"head {name!r}: sector {sector.name!r} is in the way")


def _nobody_knows(name: str, bounds: MotionBounds) -> CommandRejected:
    also = " and it has sectors to keep out of" if bounds.sectors else ""
    return CommandRejected(
        "failed",
        f"head {name!r}: nobody knows where it looks{also}; recall a preset of its own memory",
    )
