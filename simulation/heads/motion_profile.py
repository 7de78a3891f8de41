"""The motion profile of one motor, with one acceleration and end stops. Pure.

A profile is the whole motion of an axis without further orders, so its position at a time does not
depend on how often it is queried. Positions are in the axis's own unit.
"""

import math
from collections.abc import Callable, Iterable

import msgspec

from drivers.media import NS_PER_S

REST_SPEED = 1e-9
"""Slower than this, in units a second, is rest: what is left by rounding."""


class MotorLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of an axis. `low` and `high` are its end stops, infinite if it has none.

    `creep_speed` is the speed at which it moves when it should rest.
    """

    low: float
    high: float
    acceleration: float
    creep_speed: float = 0.0


class AxisPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The position and the speed of an axis."""

    position: float
    speed: float


class MotionPhase(msgspec.Struct, frozen=True, kw_only=True):
    """A phase with one acceleration, from `begin_s` until the next phase."""

    begin_s: float
    start: AxisPoint
    acceleration: float = 0.0

    def at(self, t_s: float) -> AxisPoint:
        """Return the axis at `t_s` seconds of its profile."""
        elapsed_s = t_s - self.begin_s
        speed = self.start.speed + self.acceleration * elapsed_s
        return AxisPoint(
            position=self.start.position + (self.start.speed + speed) / 2 * elapsed_s, speed=speed
        )


class MotionProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The phases of an axis from `begin_ns` on, done after `duration_s`, which may be infinite."""

    begin_ns: int
    phases: tuple[MotionPhase, ...]
    duration_s: float

    def at(self, t_ns: int) -> AxisPoint:
        """Return the axis at `t_ns`, which is not before `begin_ns`."""
        t_s = (t_ns - self.begin_ns) / NS_PER_S
        return next(leg for leg in reversed(self.phases) if leg.begin_s <= t_s).at(t_s)

    @property
    def end_ns(self) -> int | None:
        """When the order is done; None for never."""
        return (
            None
            if math.isinf(self.duration_s)
            else self.begin_ns + math.ceil(self.duration_s * NS_PER_S)
        )


def plan_rest(begin_ns: int, position: float, duration_s: float = 0.0) -> MotionProfile:
    """Plan to rest at a position."""
    return MotionProfile(
        begin_ns=begin_ns,
        phases=(MotionPhase(begin_s=0, start=AxisPoint(position=position, speed=0)),),
        duration_s=duration_s,
    )


def plan_velocity(
    limits: MotorLimits, begin_ns: int, start: AxisPoint, speed: float
) -> MotionProfile:
    """Plan to move at a speed, as far as the end stops."""

    def plan(begin_s: float, point: AxisPoint) -> list[MotionPhase]:
        ramp_s = abs(speed + limits.creep_speed - point.speed) / limits.acceleration
        acceleration = math.copysign(limits.acceleration, speed + limits.creep_speed - point.speed)
        return _chain_phases(begin_s, point, [(ramp_s, acceleration)], speed + limits.creep_speed)

    phases = _apply_limits(limits, plan(0.0, start), plan)
    if speed == 0:
        duration_s = phases[min(1, len(phases) - 1)].begin_s
    else:
        duration_s = phases[-1].begin_s if abs(phases[-1].start.speed) <= REST_SPEED else math.inf
    return MotionProfile(begin_ns=begin_ns, phases=tuple(phases), duration_s=duration_s)


def plan_move(
    limits: MotorLimits, begin_ns: int, start: AxisPoint, target: float, top_speed: float
) -> MotionProfile:
    """Plan to go to a position, or to the end stop before it, and rest there."""
    goal = min(max(target, limits.low), limits.high)
    arrival_point = AxisPoint(position=goal, speed=limits.creep_speed)

    def plan(begin_s: float, point: AxisPoint) -> list[MotionPhase]:
        # In the direction of the way that is left when the axis has braked.
        braking_distance = point.speed * abs(point.speed) / (2 * limits.acceleration)
        direction = math.copysign(1.0, goal - point.position - braking_distance)
        start_speed, distance = direction * point.speed, direction * (goal - point.position)
        peak = min(
            top_speed,
            math.sqrt(max(limits.acceleration * distance + start_speed * start_speed / 2, 0.0)),
        )
        up_s, down_s = abs(peak - start_speed) / limits.acceleration, peak / limits.acceleration
        cruise_distance = distance - (peak + start_speed) / 2 * up_s - peak * down_s / 2
        cruise_s = max(cruise_distance, 0.0) / peak if peak > REST_SPEED else 0.0
        ramp_acceleration = math.copysign(limits.acceleration, peak - start_speed) * direction
        phases = _chain_phases(
            begin_s, point, [(up_s, ramp_acceleration), (cruise_s, 0.0)], direction * peak
        )
        phases[-1] = msgspec.structs.replace(
            phases[-1], acceleration=-direction * limits.acceleration
        )
        return [*phases, MotionPhase(begin_s=phases[-1].begin_s + down_s, start=arrival_point)]

    phases = _apply_limits(limits, plan(0.0, start), plan)
    arrival_s = next(
        leg.begin_s for leg in phases if leg.start == arrival_point and not leg.acceleration
    )
    return MotionProfile(begin_ns=begin_ns, phases=tuple(phases), duration_s=arrival_s)


def _chain_phases(
    begin_s: float, point: AxisPoint, ramps: Iterable[tuple[float, float]], last_speed: float
) -> list[MotionPhase]:
    """Return phases of these durations and accelerations, and one more at `last_speed`."""
    phases = []
    for duration_s, acceleration in ramps:
        phases.append(MotionPhase(begin_s=begin_s, start=point, acceleration=acceleration))
        begin_s += duration_s
        point = phases[-1].at(begin_s)
    point = AxisPoint(position=point.position, speed=last_speed)
    return [*phases, MotionPhase(begin_s=begin_s, start=point)]


def _apply_limits(
    limits: MotorLimits,
    phases: list[MotionPhase],
    plan: Callable[[float, AxisPoint], list[MotionPhase]],
) -> list[MotionPhase]:
    """Return the phases up to an end stop, and from there those planned for an axis at rest."""
    for index, phase in enumerate(phases):
        phase_end_s = phases[index + 1].begin_s if index + 1 < len(phases) else math.inf
        for limit, direction in ((limits.high, 1.0), (limits.low, -1.0)):
            hit_s = _limit_hit_time_s(phase, limit, direction, phase_end_s - phase.begin_s)
            if hit_s is None:
                continue
            stopped = AxisPoint(position=limit, speed=0.0)
            before = [*phases[:index], *([phase] if hit_s > 0 else [])]
            after = plan(phase.begin_s + hit_s, stopped)
            if direction * (after[0].acceleration or after[0].start.speed) > 0:
                return [*before, MotionPhase(begin_s=phase.begin_s + hit_s, start=stopped)]
            return [*before, *_apply_limits(limits, after, plan)]
    return phases


def _limit_hit_time_s(
    phase: MotionPhase, limit: float, direction: float, duration_s: float
) -> float | None:
    """Return after how many seconds of a phase the axis passes an end stop, or None."""
    if math.isinf(limit):
        return None
    distance = direction * (limit - phase.start.position)
    speed, acceleration = direction * phase.start.speed, direction * phase.acceleration
    if distance <= 0 and speed < -REST_SPEED:
        # It moves away from the end stop, and may turn back.
        hit_s = -2 * speed / acceleration if acceleration > 0 else math.inf
    elif distance <= 0:
        hit_s = 0.0 if speed > REST_SPEED or acceleration > 0 else math.inf
    elif acceleration:
        root = speed * speed + 2 * acceleration * distance
        if root < 0:
            return None
        # The first root; this form loses no digits.
        divisor = speed + math.sqrt(root)
        if divisor <= REST_SPEED:
            return None
        hit_s = 2 * distance / divisor
    else:
        hit_s = distance / speed if speed > REST_SPEED else math.inf
    return hit_s if hit_s < duration_s else None
