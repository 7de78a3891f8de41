"""Paths of road users on the ground, and whether two paths of two cameras are of one road user. Pure.

The foot of a road user is on the ground, which is one for all cameras of a pole. Two paths at the same time are compared
where both were seen; if one ends before the other begins, it is continued by the mean of both velocities, which a
road user that brakes or turns follows too. A distance counts by its standard deviation: of both places, of the time of the
pictures, of the foot, which is not the same point of a vehicle in two views, and of the way between; so does a
difference of the velocities.
"""

import math
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from agent.base.model import GroundMotion, Label
from agent.detection.nms import SUPERCATEGORY
from drivers.media import NS_PER_S

SAMPLE_NS = NS_PER_S // 5
MAX_SAMPLES = 20
"""Of a path: its last four seconds."""
MAX_GAP_NS = 8 * NS_PER_S
"""Longest time from the end of a path to the begin of the next. In a longer one a vehicle stops or turns off."""
MAX_COST = 13.28
"""The square of the distance in standard deviations that 99 of 100 road users keep below, in the four dimensions of place and
velocity.
"""
MAX_ERROR_M = 4.0
"""A path whose continuation is less certain than this is not joined: several road users would fit."""
TIME_ERROR_S = 0.1
"""Standard deviation of the difference of two cameras' times: `t_ns` is that of arrival, and networks differ."""
FOOT_ERROR_M: Mapping[Label, float] = {
    "person": 0.4,
    "bicycle": 1.0,
    "motorcycle": 1.0,
    "car": 2.5,
    "bus": 5.0,
    "truck": 5.0,
}
"""Distance between the feet of a road user in two views, root mean square. Of a car that passes 4 m from the pole it is as long as
the car: each view has the end that is nearer.
"""
WAY_ERROR_RATIO = 0.1
"""Error of a continued way by its length, in addition to that by the velocities: road users do not go straight on."""
VELOCITY_ERROR_M_S, ACCELERATION_M_S2 = 1.0, 1.5
"""Difference of a road user's velocities in two views at one time, and its change each second, root mean square."""
_KM_H_PER_M_S = 3.6


class Velocity(NamedTuple):
    """A velocity on the ground, with the standard deviation of its error."""

    east_m_s: float
    north_m_s: float
    error_m_s: float


class GroundSample(NamedTuple):
    """A place on the common ground: east and north, with the error of both, and the velocity if it is known."""

    t_ns: int
    x_m: float
    y_m: float
    error_m: float
    velocity: Velocity | None


def make_sample(t_ns: int, motion: GroundMotion, offset_m: tuple[float, float]) -> GroundSample:
    """Return the sample of a motion on a ground whose origin is at `offset_m` of the common one."""
    velocity: Velocity | None = None
    if motion.speed_km_h is not None and motion.speed_error_km_h is not None:
        speed_m_s = motion.speed_km_h / _KM_H_PER_M_S
        error_m_s = motion.speed_error_km_h / _KM_H_PER_M_S
        if motion.heading_deg is None:
            velocity = Velocity(0.0, 0.0, error_m_s + speed_m_s)
        else:
            heading = math.radians(motion.heading_deg)
            velocity = Velocity(
                speed_m_s * math.sin(heading), speed_m_s * math.cos(heading), error_m_s
            )
    return GroundSample(
        t_ns=t_ns,
        x_m=motion.x_m + offset_m[0],
        y_m=motion.y_m + offset_m[1],
        error_m=motion.error_m,
        velocity=velocity,
    )


class GroundPath:
    """The last seconds of one road user in one camera."""

    __slots__ = ("begin_ns", "label", "samples")

    def __init__(self, label: Label, first: GroundSample) -> None:
        self.label = label
        self.begin_ns = first.t_ns
        self.samples: deque[GroundSample] = deque([first], maxlen=MAX_SAMPLES)

    @property
    def end_ns(self) -> int:
        """The time of the last sample."""
        return self.samples[-1].t_ns

    def is_due(self, t_ns: int) -> bool:
        """Whether a sample at a time is far enough from the last one."""
        return t_ns - self.end_ns >= SAMPLE_NS


def match_cost(before: GroundPath, after: GroundPath) -> float | None:
    """Return how badly `after`, which begins later, fits as the path of the same road user, or None if it does not.

    It is the square of their distance in standard deviations, in place and velocity.
    """
    if SUPERCATEGORY[before.label] != SUPERCATEGORY[after.label]:
        return None
    old, new = _velocity(before, before.end_ns), _velocity(after, after.begin_ns)
    gap_s = (after.begin_ns - before.end_ns) / NS_PER_S
    found = _overlap(before, after, new or old) if gap_s <= 0 else _gap(before, after, old, new)
    if found is None or found.variance_m2 > MAX_ERROR_M**2:
        return None
    foot_m = max(FOOT_ERROR_M[before.label], FOOT_ERROR_M[after.label])
    # The variance is of a distance: half of it is of each of the two dimensions.
    cost = found.distance_m**2 / ((found.variance_m2 + foot_m**2) / 2)
    cost += _velocity_cost(old, new, max(0.0, gap_s))
    return cost if cost <= MAX_COST else None


class _Distance(NamedTuple):
    distance_m: float
    variance_m2: float


def _velocity(path: GroundPath, near_ns: int) -> Velocity | None:
    """Return the velocity that is known best within a second of a path's end or begin, or None without one."""
    found = [
        one.velocity
        for one in path.samples
        if one.velocity is not None and abs(one.t_ns - near_ns) <= NS_PER_S
    ]
    return min(found, key=lambda velocity: velocity.error_m_s, default=None)


def _velocity_cost(old: Velocity | None, new: Velocity | None, gap_s: float) -> float:
    """Return the part of the cost that the velocities have, 0 if one of them is not known."""
    if old is None or new is None:
        return 0.0
    variance = VELOCITY_ERROR_M_S**2 + (ACCELERATION_M_S2 * gap_s) ** 2
    variance += old.error_m_s**2 + new.error_m_s**2
    change_m_s = math.hypot(new.east_m_s - old.east_m_s, new.north_m_s - old.north_m_s)
    return change_m_s**2 / (variance / 2)


def _overlap(before: GroundPath, after: GroundPath, moving: Velocity | None) -> _Distance | None:
    """Return the mean distance at the times at which both were seen; None without such a time."""
    apart: list[tuple[float, float]] = []
    variance_m2 = 0.0
    old = list(before.samples)
    at = 0
    for one in after.samples:
        while at + 1 < len(old) and old[at + 1].t_ns < one.t_ns:
            at += 1
        if at + 1 == len(old) or one.t_ns < old[at].t_ns:
            continue
        start, end = old[at], old[at + 1]
        share = (one.t_ns - start.t_ns) / (end.t_ns - start.t_ns)
        x_m = start.x_m + (end.x_m - start.x_m) * share
        y_m = start.y_m + (end.y_m - start.y_m) * share
        apart.append((one.x_m - x_m, one.y_m - y_m))
        variance_m2 += one.error_m**2 + end.error_m**2
    if not apart:
        return None
    speed_m_s = 0.0 if moving is None else math.hypot(moving.east_m_s, moving.north_m_s)
    count = len(apart)
    mean_m = math.hypot(sum(x for x, _ in apart) / count, sum(y for _, y in apart) / count)
    return _Distance(mean_m, variance_m2 / count + (speed_m_s * TIME_ERROR_S) ** 2)


def _gap(
    before: GroundPath, after: GroundPath, old: Velocity | None, new: Velocity | None
) -> _Distance | None:
    """Return how far `after` begins from where the way of `before` leads; None if a velocity is not known, or too late."""
    if old is None or new is None:
        return None
    start, end = before.samples[-1], after.samples[0]
    gap_ns = end.t_ns - start.t_ns
    if gap_ns > MAX_GAP_NS:
        return None
    gap_s = gap_ns / NS_PER_S
    old_weight, new_weight = (
        1 / (one.error_m_s**2 + VELOCITY_ERROR_M_S**2 / 2) for one in (old, new)
    )
    weight = old_weight + new_weight
    vx = (old.east_m_s * old_weight + new.east_m_s * new_weight) / weight
    vy = (old.north_m_s * old_weight + new.north_m_s * new_weight) / weight
    speed_m_s = math.hypot(vx, vy)
    away_m = math.hypot(end.x_m - start.x_m - vx * gap_s, end.y_m - start.y_m - vy * gap_s)
    way_errors_m = (
        speed_m_s * TIME_ERROR_S,
        gap_s / math.sqrt(weight),
        WAY_ERROR_RATIO * speed_m_s * gap_s,
    )
    errors_m = (start.error_m, end.error_m, *way_errors_m)
    return _Distance(away_m, sum(error_m**2 for error_m in errors_m))
