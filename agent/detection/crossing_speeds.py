"""Speeds of the road users that crossed a line, on calibrated ground. Pure.

An event of a crossing is sent at once, with the speed up to then. The counts wait until the road user has been seen for
a second behind the line: two seconds around the line are measured better than what was seen before it, and a road
user that enters the picture at the line has a speed at all.
"""

from collections.abc import Iterable

import msgspec

from agent.base.model import GroundMotion
from agent.detection.rules.line_crossing import Crossing
from agent.detection.rules.road_users import TrackMemory
from drivers.media import NS_PER_S

NEAR_LINE_NS = NS_PER_S
"""The speed is that of the road user up to this time behind the line, and if its foot was hidden then, before it."""
MAX_ERROR_RATIO = 1.5
"""A newer speed replaces one that is known better up to this factor: it is nearer to the line's."""


class CrossingSpeed(msgspec.Struct, frozen=True, kw_only=True):
    """The final speed of a crossing, and its standard deviation."""

    crossing: Crossing
    speed_km_h: float
    speed_error_km_h: float


class CrossingSpeeds:
    """Follows the road users that have crossed a line until their speed is final."""

    def __init__(self, road_users: TrackMemory) -> None:
        self._road_users = road_users
        self._open: dict[int, list[tuple[Crossing, GroundMotion | None]]] = {}

    def step(self, t_ns: int, crossings: Iterable[Crossing]) -> tuple[CrossingSpeed, ...]:
        """Take the new crossings, after `road_users` took a frame's result. Return the speeds that are final."""
        for crossing in crossings:
            self._open.setdefault(crossing.road_user, []).append((crossing, crossing.ground))
        if not self._open:
            return ()
        final = []
        for user in (*self._road_users, *self._road_users.forgotten):
            if user.id not in self._open:
                continue
            still_open = []
            for crossing, known in self._open.pop(user.id):
                motion = user.last_ground_motion(crossing.t_ns - NEAR_LINE_NS)
                best = _better(known, motion)
                if t_ns - crossing.t_ns < NEAR_LINE_NS and user.remembered_until_ns >= t_ns:
                    still_open.append((crossing, best))
                elif (speed := _speed(crossing, best)) is not None:
                    final.append(speed)
            if still_open:
                self._open[user.id] = still_open
        return tuple(final)

    def flush(self) -> tuple[CrossingSpeed, ...]:
        """Return the speeds known so far of the crossings that are left: the stream is over."""
        left, self._open = self._open, {}
        speeds = (_speed(*one) for ones in left.values() for one in ones)
        return tuple(speed for speed in speeds if speed is not None)


def _better(known: GroundMotion | None, newer: GroundMotion | None) -> GroundMotion | None:
    if newer is None or newer.speed_error_km_h is None:
        return known
    if known is None or known.speed_error_km_h is None:
        return newer
    is_worse = newer.speed_error_km_h > MAX_ERROR_RATIO * known.speed_error_km_h
    return known if is_worse else newer


def _speed(crossing: Crossing, motion: GroundMotion | None) -> CrossingSpeed | None:
    if motion is None or motion.speed_km_h is None or motion.speed_error_km_h is None:
        return None
    return CrossingSpeed(
        crossing=crossing,
        speed_km_h=motion.speed_km_h,
        speed_error_km_h=motion.speed_error_km_h,
    )
