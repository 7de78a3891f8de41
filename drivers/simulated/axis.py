"""How one motor moves: it speeds up and slows down at one rate, and ends at its stops. Pure.

A course is everything that will happen to an axis if nobody says anything more, so where it is at
a given time does not depend on how often it was asked. Places are in the axis's own unit.
"""

import math
from collections.abc import Callable, Iterable

import msgspec

NS_PER_S = 1_000_000_000
REST = 1e-9
"""Slower than this, in units a second, is rest: what is left by rounding."""


class Limb(msgspec.Struct, frozen=True, kw_only=True):
    """What an axis can do. `low` and `high` are its stops, infinite where there are none. `creep` is
    the speed at which it moves when it should rest.
    """

    low: float
    high: float
    acceleration: float
    creep: float = 0.0


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """Where an axis is, and how fast it moves there."""

    place: float
    speed: float


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """From `begin_s` until the next leg begins, an axis moves with one acceleration."""

    begin_s: float
    spot: Spot
    acceleration: float = 0.0

    def at(self, t_s: float) -> Spot:
        """Where the axis is at `t_s` seconds of its course."""
        lasted_s = t_s - self.begin_s
        speed = self.spot.speed + self.acceleration * lasted_s
        return Spot(place=self.spot.place + (self.spot.speed + speed) / 2 * lasted_s, speed=speed)


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """The legs of an axis from `begin_ns` on. After `ends_s` seconds it has done what it was told;
    infinity where it never will have.
    """

    begin_ns: int
    legs: tuple[Leg, ...]
    ends_s: float

    def at(self, t_ns: int) -> Spot:
        """Where the axis is at `t_ns`, which is not before `begin_ns`."""
        t_s = (t_ns - self.begin_ns) / NS_PER_S
        return next(leg for leg in reversed(self.legs) if leg.begin_s <= t_s).at(t_s)

    @property
    def ends_ns(self) -> int | None:
        """When it has done what it was told; None for never."""
        return (
            None if math.isinf(self.ends_s) else self.begin_ns + math.ceil(self.ends_s * NS_PER_S)
        )


def rest(begin_ns: int, place: float, ends_s: float = 0.0) -> Course:
    """Stay where it is."""
    return Course(
        begin_ns=begin_ns, legs=(Leg(begin_s=0, spot=Spot(place=place, speed=0)),), ends_s=ends_s
    )


def at_speed(limb: Limb, begin_ns: int, spot: Spot, speed: float) -> Course:
    """Move at a speed from now on, as far as the stops."""

    def plan(begin_s: float, spot: Spot) -> list[Leg]:
        ramp_s = abs(speed + limb.creep - spot.speed) / limb.acceleration
        acceleration = math.copysign(limb.acceleration, speed + limb.creep - spot.speed)
        return _joined(begin_s, spot, [(ramp_s, acceleration)], speed + limb.creep)

    legs = _between_stops(limb, plan(0.0, spot), plan)
    if speed == 0:
        ends_s = legs[min(1, len(legs) - 1)].begin_s
    else:
        ends_s = legs[-1].begin_s if abs(legs[-1].spot.speed) <= REST else math.inf
    return Course(begin_ns=begin_ns, legs=tuple(legs), ends_s=ends_s)


def to_place(limb: Limb, begin_ns: int, spot: Spot, place: float, top_speed: float) -> Course:
    """Go to a place, or to the stop before it, and rest there."""
    goal = min(max(place, limb.low), limb.high)
    arrival = Spot(place=goal, speed=limb.creep)

    def plan(begin_s: float, spot: Spot) -> list[Leg]:
        # Seen along the way that is left when the axis has braked: u is the speed, `far` the way.
        braking = spot.speed * abs(spot.speed) / (2 * limb.acceleration)
        way = math.copysign(1.0, goal - spot.place - braking)
        u, far = way * spot.speed, way * (goal - spot.place)
        peak = min(top_speed, math.sqrt(max(limb.acceleration * far + u * u / 2, 0.0)))
        up_s, down_s = abs(peak - u) / limb.acceleration, peak / limb.acceleration
        left = far - (peak + u) / 2 * up_s - peak * down_s / 2
        cruise_s = max(left, 0.0) / peak if peak > REST else 0.0
        up = math.copysign(limb.acceleration, peak - u) * way
        legs = _joined(begin_s, spot, [(up_s, up), (cruise_s, 0.0)], way * peak)
        legs[-1] = msgspec.structs.replace(legs[-1], acceleration=-way * limb.acceleration)
        return [*legs, Leg(begin_s=legs[-1].begin_s + down_s, spot=arrival)]

    legs = _between_stops(limb, plan(0.0, spot), plan)
    arrived_s = next(leg.begin_s for leg in legs if leg.spot == arrival and not leg.acceleration)
    return Course(begin_ns=begin_ns, legs=tuple(legs), ends_s=arrived_s)


def _joined(
    begin_s: float, spot: Spot, parts: Iterable[tuple[float, float]], last_speed: float
) -> list[Leg]:
    """Legs of these lengths and accelerations, and one more at `last_speed`."""
    legs = []
    for lasts_s, acceleration in parts:
        legs.append(Leg(begin_s=begin_s, spot=spot, acceleration=acceleration))
        begin_s += lasts_s
        spot = legs[-1].at(begin_s)
    spot = Spot(place=spot.place, speed=last_speed)
    return [*legs, Leg(begin_s=begin_s, spot=spot)]


def _between_stops(
    limb: Limb, legs: list[Leg], plan: Callable[[float, Spot], list[Leg]]
) -> list[Leg]:
    """The legs up to a stop, and from there what the plan makes of an axis at rest."""
    for index, leg in enumerate(legs):
        until_s = legs[index + 1].begin_s if index + 1 < len(legs) else math.inf
        for stop, outwards in ((limb.high, 1.0), (limb.low, -1.0)):
            hit_s = _passes(leg, stop, outwards, until_s - leg.begin_s)
            if hit_s is None:
                continue
            held = Spot(place=stop, speed=0.0)
            kept = [*legs[:index], *([leg] if hit_s > 0 else [])]
            onward = plan(leg.begin_s + hit_s, held)
            if outwards * (onward[0].acceleration or onward[0].spot.speed) > 0:
                return [*kept, Leg(begin_s=leg.begin_s + hit_s, spot=held)]
            return [*kept, *_between_stops(limb, onward, plan)]
    return legs


def _passes(leg: Leg, stop: float, outwards: float, lasts_s: float) -> float | None:
    """After how many seconds of a leg the axis goes past a stop."""
    if math.isinf(stop):
        return None
    room = outwards * (stop - leg.spot.place)
    speed, acceleration = outwards * leg.spot.speed, outwards * leg.acceleration
    if room <= 0 and speed < -REST:
        # It moves away from the stop, and may turn back.
        hit_s = -2 * speed / acceleration if acceleration > 0 else math.inf
    elif room <= 0:
        hit_s = 0.0 if speed > REST or acceleration > 0 else math.inf
    elif acceleration:
        root = speed * speed + 2 * acceleration * room
        if root < 0:
            return None
        # The first time that the way is all used up; this form loses no digits.
        divisor = speed + math.sqrt(root)
        if divisor <= REST:
            return None
        hit_s = 2 * room / divisor
    else:
        hit_s = room / speed if speed > REST else math.inf
    return hit_s if hit_s < lasts_s else None
