"""From a wish to a motion, or to the reason why not. Pure."""

import msgspec

from agent.commands.requester import CommandRejected
from agent.config.heads import ForbiddenSector, HeadConfig
from agent.ptz.motion import position_servo
from agent.ptz.motion.forbidden_sectors import UNKNOWN_POSITION_DEG, swept_area
from agent.ptz.motion.path_planner import MotionBounds, PathBlocked, is_direct_path_clear, plan_path
from agent.ptz.motion.trajectory import (
    ContinuousTrajectory,
    PoseTrajectory,
    PresetTrajectory,
    Trajectory,
    time_limit_s,
    to_velocity,
)
from agent.ptz.preset_store import Preset
from agent.ptz.requests import AbsoluteMove, ContinuousMove
from drivers.contracts import Pose, PtzCapabilities, PtzPosition, Velocity

_DEVICE_PRESET_ERROR_DEG = 1.0
"""How well a place is known where a head remembers it itself."""


class MovePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A motion that may begin. It lasts `lasts_s` at the most. `course` is None where there is
    nothing to do but to stand.
    """

    trajectory: Trajectory | None
    max_duration_s: float


def plan_continuous(
    request: ContinuousMove,
    t_ns: int,
    position: PtzPosition | None,
    bounds: MotionBounds,
    limits: "HeadLimits",
) -> MovePlan:
    """Raises CommandRejected: `unsupported` for a zoom or a focus that is not there, `forbidden` where a
    sector is in the way at once.
    """
    config, capabilities = limits.config, limits.capabilities
    if request.zoom and capabilities.zoom_ratio <= 1:
        raise CommandRejected("unsupported", f"head {config.name!r} has no zoom")
    if request.focus and not capabilities.focus:
        raise CommandRejected("unsupported", f"head {config.name!r} has no focus")
    max_duration_s = min(request.for_s, config.max_move_s)
    velocity = to_velocity(request, capabilities, config.dead_zone)
    if velocity == Velocity():
        return MovePlan(trajectory=None, max_duration_s=0.0)
    trajectory = ContinuousTrajectory(velocity, t_ns + int(max_duration_s * 1e9))
    if bounds.sectors:
        if position is None or bounds.for_steering.is_position_unknown:
            raise _unknown_position_rejection(config.name, bounds)
        velocity_or_sector = trajectory.clipped_velocity(position, bounds)
        if isinstance(velocity_or_sector, ForbiddenSector):
            raise _sector_rejection(config.name, velocity_or_sector)
    return MovePlan(trajectory=trajectory, max_duration_s=max_duration_s)


class HeadLimits(msgspec.Struct, frozen=True, kw_only=True):
    """A head as it is configured, and what it can do."""

    config: HeadConfig
    capabilities: PtzCapabilities


def plan_absolute(
    request: AbsoluteMove,
    position: PtzPosition | None,
    bounds: MotionBounds,
    limits: HeadLimits,
    *,
    always_send: bool = False,
) -> MovePlan:
    """Raises CommandRejected: `failed` where nobody knows where the head is, `forbidden` where a sector
    would be in the picture there or on each way, `unsupported` where it is too far for the longest
    move. `exactly`: a head that can be told where to go is told, however near it is.
    """
    config, capabilities = limits.config, limits.capabilities
    if position is None or bounds.error_deg >= UNKNOWN_POSITION_DEG:
        raise _unknown_position_rejection(config.name, bounds)
    target = bounds.clamp(request.pose)
    if capabilities.zoom_ratio <= 1:
        target = msgspec.structs.replace(target, zoom=0.0)
    must_send = always_send and capabilities.absolute
    if not must_send and position_servo.has_arrived(position.pose, target, capabilities):
        _check_target(config.name, target, bounds)
        return MovePlan(trajectory=None, max_duration_s=0.0)
    try:
        poses = plan_path(position.pose, target, bounds)
    except PathBlocked as path_blocked:
        raise _sector_rejection(config.name, path_blocked.sector) from path_blocked
    latency_s = bounds.overshoot.latency_s
    speed = _choose_speed(position.pose, poses, request.speed, latency_s, limits)
    needed_s = time_limit_s(poses, position.pose, capabilities, speed, latency_s)
    max_duration_s = min(needed_s, config.max_move_s)
    trajectory = PoseTrajectory(poses, speed, capabilities, config.brake_s, bounds.error_deg)
    return MovePlan(trajectory=trajectory, max_duration_s=max_duration_s)


def plan_preset(
    preset: Preset,
    speed: float,
    position: PtzPosition | None,
    bounds: MotionBounds,
    limits: HeadLimits,
    *,
    always_send: bool = False,
) -> MovePlan:
    """By the head's own memory where it remembers the place and cannot be told where to go,
    otherwise by its pose. Raises CommandRejected as `plan_point`.

    A head that remembers goes its own way: so it is asked to only where nothing is in that way, or
    where nobody knows where it is, because nothing else would find it again.
    """
    config, capabilities = limits.config, limits.capabilities
    pose = preset.pose
    is_on_device = preset.number is not None and preset.number <= capabilities.presets
    if preset.number is not None and is_on_device and not capabilities.absolute:
        preset_bounds = msgspec.structs.replace(bounds, error_deg=_DEVICE_PRESET_ERROR_DEG)
        _check_target(config.name, pose, preset_bounds)
        is_position_unknown = position is None or bounds.error_deg >= UNKNOWN_POSITION_DEG
        if (
            is_position_unknown
            or position is None
            or is_direct_path_clear(position.pose, pose, bounds)
        ):
            return MovePlan(
                trajectory=PresetTrajectory(preset.number), max_duration_s=config.max_move_s
            )
    request = AbsoluteMove(
        pan_deg=pose.pan_deg, tilt_deg=pose.tilt_deg, zoom=pose.zoom, speed=speed
    )
    return plan_absolute(request, position, bounds, limits, always_send=always_send)


def _choose_speed(
    start: Pose,
    poses: tuple[Pose, ...],
    requested_speed: float,
    latency_s: float,
    limits: HeadLimits,
) -> float:
    """The share of the top speed that was wanted, or as much more as arrives in time."""
    max_duration_s = limits.config.max_move_s
    if (
        time_limit_s(poses, start, limits.capabilities, requested_speed, latency_s)
        <= max_duration_s
    ):
        return requested_speed
    slowest = next(
        (
            step / 20
            for step in range(1, 21)
            if step / 20 > requested_speed
            and time_limit_s(poses, start, limits.capabilities, step / 20, latency_s)
            <= max_duration_s
        ),
        None,
    )
    if slowest is None:
        needed_s = time_limit_s(poses, start, limits.capabilities, 1.0, latency_s)
        raise CommandRejected(
            "unsupported",
            f"head {limits.config.name!r} may need {needed_s:.0f} s for that; "
            f"allowed: max_move_s = {max_duration_s:g}",
        )
    return slowest


def _check_target(name: str, target: Pose, bounds: MotionBounds) -> None:
    sector = bounds.visible_sector(swept_area(target), passing=False)
    if sector is not None:
        raise _sector_rejection(name, sector)


def _sector_rejection(name: str, sector: ForbiddenSector) -> CommandRejected:
    return CommandRejected("forbidden", f"head {name!r}: sector {sector.name!r} is in the way")


def _unknown_position_rejection(name: str, bounds: MotionBounds) -> CommandRejected:
    sector_note = " and it has sectors to keep out of" if bounds.sectors else ""
    return CommandRejected(
        "failed",
        f"head {name!r}: nobody knows where it looks{sector_note}; recall a preset of its own memory",
    )
