"""Plan the motion for a move request, or reject it with the reason. Pure."""

import msgspec

from agent.commands.requester import CommandRejected
from agent.config.heads import ForbiddenSector, HeadConfig
from agent.ptz.motion import position_servo
from agent.ptz.motion.forbidden_sectors import UNKNOWN_POSITION_DEG, blocked_text, swept_area
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
"""How well the position of a preset in the head's own memory is known."""


class MovePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A motion that may begin. `trajectory` is None if the head is there already, or is to rest."""

    trajectory: Trajectory | None
    max_duration_s: float


def plan_continuous(
    request: ContinuousMove,
    t_ns: int,
    position: PtzPosition | None,
    bounds: MotionBounds,
    limits: "HeadLimits",
) -> MovePlan:
    """Plan a motion at a velocity.

    Raises: CommandRejected `unsupported` if the head lacks the zoom or focus that is asked for,
    `failed` if sectors are configured and the position is unknown, `forbidden` if a sector is in
    the way at once.
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
    """The configuration of a head, and its capabilities."""

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
    """Plan the way to a pose. With `always_send` an absolute head is sent, however near it is.

    Raises: CommandRejected `failed` if the position is unknown, `forbidden` if a sector would be
    in the picture there or on every path, `unsupported` if the way takes longer than `max_move_s`.
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
    """Plan the way to a preset: by the head's own memory if it takes no positions, else by pose.

    A head that goes to its own preset chooses the path: so it is used only if nothing is in the
    way, or if the position is unknown, because nothing else would find the head again.

    Raises: CommandRejected as `plan_absolute`.
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
    """Return the requested share of the top speed, or the lowest above it that arrives in time."""
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
    return CommandRejected("forbidden", f"head {name!r}: {blocked_text(sector)}")


def _unknown_position_rejection(name: str, bounds: MotionBounds) -> CommandRejected:
    sector_note = " and it has sectors to keep out of" if bounds.sectors else ""
    return CommandRejected(
        "failed",
        f"head {name!r}: its position is unknown{sector_note}; send it to a preset of its own memory",
    )
