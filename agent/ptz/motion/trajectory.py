"""Trajectories: one motion of a head from its begin to its end. Pure.

Time and position come in, orders go out. A trajectory is queried for its next step, at the
latest after `next_step_s`, until a step has a result; then the motion controller stops the head.
"""

from collections import deque
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from agent.base.message import Message
from agent.config.heads import ForbiddenSector
from agent.ptz.motion import position_servo
from agent.ptz.motion.forbidden_sectors import blocked_text, swept_area
from agent.ptz.motion.overshoot import POLL_INTERVAL_S
from agent.ptz.motion.path_planner import MotionBounds, clip_velocity
from agent.ptz.requests import ContinuousMove
from drivers.contracts import Pose, PtzCapabilities, PtzPosition, Velocity

FREE_POLL_INTERVAL_S = 0.3
"""The interval for a motion that only its time ends: the line stays free for urgent orders."""
NEAR_DEG = 1.0
NEAR_ZOOM = 0.05
"""A head that rests this near its target has arrived: the rest is the play of its gears."""
TIME_FACTOR = 1.5
TIME_MARGIN_S = 2.0
"""A motion may take half as long again as its speeds say, and this for its bus and its ramps."""
LATENCY_FACTOR, SERVO_LATENCY_FACTOR = 2, 6
"""And this many of its latencies, until its arrival is seen. A servo comes nearer by a share of the
way in each.
"""
ZOOM_TRAVEL_S = 4.0
"""The longest time that is allowed for a lens from one end to the other."""


class MoveTo(msgspec.Struct, frozen=True, kw_only=True):
    """Send an absolute head to a pose."""

    pose: Pose
    speed: float


class RecallDevicePreset(msgspec.Struct, frozen=True, kw_only=True):
    """Send the head to a preset of its own memory."""

    number: int


DriverOrder: TypeAlias = Velocity | MoveTo | RecallDevicePreset
MoveOutcome = Literal["expired", "arrived", "timed_out", "forbidden"]
"""How a motion ended.

expired    its time is over, or its lease, or its head was lost
arrived    it is at its target
timed_out  it did not arrive in time
forbidden  a sector would come into the picture
"""


class MoveResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a motion ended. With `at_rest` the head is known to rest, and need not be stopped."""

    outcome: MoveOutcome
    message: Message
    at_rest: bool = False


class MotionStep(msgspec.Struct, frozen=True, kw_only=True):
    """The order to send now, if any, and when to ask again. The last step has a `result`."""

    order: DriverOrder | None = None
    next_step_s: float = POLL_INTERVAL_S
    result: MoveResult | None = None


class Trajectory(Protocol):
    """The steps of a motion, over time."""

    def step(self, t_ns: int, position: PtzPosition | None, bounds: MotionBounds) -> MotionStep:
        """Return the next step; `position` is None if it is unknown."""
        ...


def time_limit_s(
    poses: Sequence[Pose],
    start: Pose | None,
    capabilities: PtzCapabilities,
    speed: float,
    latency_s: float,
) -> float:
    """Return how long a head with this latency may take over these poses, one after the other.

    From an unknown start it may have to go all the way round.
    """
    total_s = 0.0
    latency_s *= LATENCY_FACTOR if capabilities.absolute else SERVO_LATENCY_FACTOR
    for pose in poses:
        if start is None:
            pan_range = capabilities.pan_deg
            pan = 360.0 if pan_range is None else pan_range.high - pan_range.low
            tilt = capabilities.tilt_deg.high - capabilities.tilt_deg.low
            zoom = 1.0
        else:
            pan = abs(
                position_servo.pan_delta_deg(start.pan_deg, pose.pan_deg, capabilities.pan_deg)
            )
            tilt, zoom = abs(pose.tilt_deg - start.tilt_deg), abs(pose.zoom - start.zoom)
        needed_s = max(pan / capabilities.pan_max_deg_s, tilt / capabilities.tilt_max_deg_s) / speed
        zoom_s = zoom * ZOOM_TRAVEL_S if capabilities.zoom_ratio > 1 else 0.0
        total_s += max(needed_s * TIME_FACTOR, zoom_s) + TIME_MARGIN_S + latency_s
        start = pose
    return total_s


class ContinuousTrajectory:
    """Move at a velocity until its time is over, slower or not at all towards a sector."""

    def __init__(self, velocity: Velocity, deadline_ns: int) -> None:
        self._velocity = velocity
        self._deadline_ns = deadline_ns
        self._sent_velocity: Velocity | None = None

    def step(self, t_ns: int, position: PtzPosition | None, bounds: MotionBounds) -> MotionStep:
        """Return the next step; see `Trajectory`."""
        remaining_s = (self._deadline_ns - t_ns) / 1e9
        if remaining_s <= 0:
            return MotionStep(
                result=MoveResult(outcome="expired", message=Message("its time is over"))
            )
        velocity = self.clipped_velocity(position, bounds)
        if isinstance(velocity, ForbiddenSector):
            return _forbidden_step(velocity)
        order = None if velocity == self._sent_velocity else velocity
        self._sent_velocity = velocity
        return MotionStep(
            order=order,
            next_step_s=min(
                remaining_s, POLL_INTERVAL_S if bounds.sectors else FREE_POLL_INTERVAL_S
            ),
        )

    def clipped_velocity(
        self, position: PtzPosition | None, bounds: MotionBounds
    ) -> Velocity | ForbiddenSector:
        """Return as much of the velocity as leads into no sector, or the sector if none does."""
        if not bounds.sectors:
            return self._velocity
        if position is None:
            return bounds.sectors[0]
        return clip_velocity(self._velocity, position.pose, bounds.for_steering)


def to_velocity(
    request: ContinuousMove, capabilities: PtzCapabilities, dead_zone: float
) -> Velocity:
    """Return the velocity of a request; shares within the dead zone are zero."""
    pan, tilt, zoom, focus = (
        share if abs(share) > dead_zone else 0.0
        for share in (request.pan, request.tilt, request.zoom, request.focus)
    )
    return Velocity(
        pan_deg_s=pan * capabilities.pan_max_deg_s,
        tilt_deg_s=tilt * capabilities.tilt_max_deg_s,
        zoom=zoom,
        focus=focus,
    )


class PoseTrajectory:
    """Go to poses, one after the other: by their position, or by speed alone.

    `error_deg` is the error of the position when the path was found to be free. While an absolute
    head moves, its error is the age of its answers, and lies along the path. So only a head whose
    position is estimated is held to the error that it has on the way.
    """

    def __init__(
        self,
        poses: Sequence[Pose],
        speed: float,
        capabilities: PtzCapabilities,
        brake_s: float,
        error_deg: float,
    ) -> None:
        self._poses = deque(poses)
        self._speed = speed
        self._capabilities = capabilities
        self._brake_s = brake_s
        self._error_deg = error_deg
        self._leg_deadline_ns: int | None = None
        self._was_inside_sector: bool | None = None

    def step(self, t_ns: int, position: PtzPosition | None, bounds: MotionBounds) -> MotionStep:
        """Return the next step; see `Trajectory`."""
        if position is None:
            return MotionStep()
        entered_sector = self._entered_sector(position, bounds)
        if entered_sector is not None:
            return _forbidden_step(entered_sector)
        if self._leg_deadline_ns is None:
            return self._begin_leg(t_ns, position, bounds)
        is_late = t_ns >= self._leg_deadline_ns
        if self._has_arrived(position, bounds, is_late=is_late):
            return self._next_leg(t_ns, position, bounds)
        if is_late:
            return MotionStep(
                result=MoveResult(
                    outcome="timed_out", message=_late_message(position, self._poses[0])
                )
            )
        return MotionStep() if self._capabilities.absolute else self._servo(position, bounds)

    def _entered_sector(
        self, position: PtzPosition, bounds: MotionBounds
    ) -> ForbiddenSector | None:
        """Return a sector that came into the picture if none was in it before."""
        if self._capabilities.absolute and bounds.error_deg > self._error_deg:
            bounds = msgspec.structs.replace(bounds, error_deg=self._error_deg)
        visible_sector = bounds.visible_sector(swept_area(position.pose), passing=True)
        is_allowed = self._was_inside_sector is None or self._was_inside_sector
        self._was_inside_sector = visible_sector is not None and is_allowed
        return None if is_allowed else visible_sector

    def _next_leg(self, t_ns: int, position: PtzPosition, bounds: MotionBounds) -> MotionStep:
        self._poses.popleft()
        if self._poses:
            return self._begin_leg(t_ns, position, bounds)
        at_rest = self._capabilities.absolute and not position.moving
        return MotionStep(
            result=MoveResult(outcome="arrived", message=Message("it has arrived"), at_rest=at_rest)
        )

    def _begin_leg(self, t_ns: int, position: PtzPosition, bounds: MotionBounds) -> MotionStep:
        target, latency_s = self._poses[0], bounds.overshoot.latency_s
        max_duration_s = time_limit_s(
            (target,), position.pose, self._capabilities, self._speed, latency_s
        )
        self._leg_deadline_ns = t_ns + int(max_duration_s * 1e9)
        if self._capabilities.absolute:
            return MotionStep(order=MoveTo(pose=target, speed=self._speed))
        return self._servo(position, bounds)

    def _has_arrived(self, position: PtzPosition, bounds: MotionBounds, *, is_late: bool) -> bool:
        if not self._capabilities.absolute:
            tolerance_deg = position_servo.arrival_tolerance_deg(
                self._capabilities, POLL_INTERVAL_S + bounds.overshoot.latency_s
            )
            return position_servo.has_arrived(
                position.pose, self._poses[0], self._capabilities, min(tolerance_deg, NEAR_DEG)
            )
        counts_as_rest = is_late or not position.moving
        return counts_as_rest and position_servo.is_at_pose(
            position.pose, self._poses[0], self._capabilities, NEAR_DEG, NEAR_ZOOM
        )

    def _servo(self, position: PtzPosition, bounds: MotionBounds) -> MotionStep:
        slowing_s = self._brake_s + bounds.overshoot.latency_s
        servo_step = position_servo.next_servo_step(
            position.pose, self._poses[0], self._capabilities, self._speed, slowing_s
        )
        if servo_step is None:
            return MotionStep(order=Velocity(), next_step_s=0.0)
        # The path was found free as far as the target: a head that answers late may go further.
        velocity = (
            servo_step.velocity
            if self._was_inside_sector
            else clip_velocity(servo_step.velocity, position.pose, bounds)
        )
        if isinstance(velocity, ForbiddenSector):
            return _forbidden_step(velocity)
        return MotionStep(order=velocity, next_step_s=min(servo_step.for_s, POLL_INTERVAL_S))


class PresetTrajectory:
    """Go to a preset of the head's own memory, until its driver reports that it rests."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._sent_ns: int | None = None

    def step(self, t_ns: int, position: PtzPosition | None, bounds: MotionBounds) -> MotionStep:
        """Return the next step; see `Trajectory`."""
        if self._sent_ns is None:
            self._sent_ns = t_ns
            return MotionStep(order=RecallDevicePreset(number=self._number))
        if position is None or position.t_ns <= self._sent_ns or position.moving:
            return MotionStep()
        message = Message("it has had the time to arrive")
        return MotionStep(result=MoveResult(outcome="arrived", message=message, at_rest=True))


def _forbidden_step(sector: ForbiddenSector) -> MotionStep:
    return MotionStep(result=MoveResult(outcome="forbidden", message=blocked_text(sector)))


def _late_message(position: PtzPosition, target: Pose) -> Message:
    pose = position.pose
    return Message(
        "sent to pan {pan:.1f} tilt {tilt:.1f} and found at pan {found_pan:.1f} tilt {found_tilt:.1f}",
        pan=target.pan_deg,
        tilt=target.tilt_deg,
        found_pan=pose.pan_deg,
        found_tilt=pose.tilt_deg,
    )
