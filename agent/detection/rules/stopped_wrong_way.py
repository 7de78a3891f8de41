"""What vehicles must not do on a carriageway: stand, and go the wrong way."""

import msgspec

from agent.base.model import Label
from agent.detection.geometry import distance, turn_between_deg
from agent.detection.rules.road_users import TimedPosition, TrackMemory
from agent.detection.rules.zone_occupancy import ZoneVisit

VEHICLES: frozenset[Label] = frozenset({"bicycle", "motorcycle", "car", "bus", "truck"})

AGAINST_DEG = 120.0
"""A way that turns this far off the lawful direction goes against it."""
WITH_DEG = 90.0
"""A way that turns less than this does not."""
LEAST_PACE = 0.3
"""Own sizes a second: who is slower is going nowhere."""
LEAST_WAY = 2.0
"""Own sizes: who goes back to park goes less far."""
LEAST_DISTANCE = 0.15
"""In picture heights."""
STRAIGHT = 0.8
"""Of the way's length: how far its end is from its begin at the least."""


def is_stopped(stay: ZoneVisit, t_ns: int) -> int | None:
    """The condition of `stopped`: since when a vehicle has been standing in the zone."""
    if stay.user.label not in VEHICLES or stay.user.is_lost:
        return None
    since_ns = stay.user.stands_since_ns(t_ns)
    return None if since_ns is None else max(since_ns, stay.since_ns)


class _Against(msgspec.Struct):
    """A way against the direction: where it began, the last spot of it, its length so far."""

    since: TimedPosition
    last: TimedPosition
    length: float = 0.0
    proven: bool = False


class WrongWay:
    """The condition of `wrong_way`: a vehicle goes against the zone's direction, straight, over
    some length.

    A tracker that loses one vehicle of a column for the next one makes a track that hops
    backwards; what is far away and small, or goes back and forth, proves nothing.
    """

    def __init__(self, direction_deg: float, users: TrackMemory) -> None:
        self._direction_deg = direction_deg
        self._users = users
        self._against: dict[int, _Against] = {}

    def __call__(self, stay: ZoneVisit, t_ns: int, /) -> int | None:
        """Since when it goes against the direction."""
        user, aspect = stay.user, self._users.aspect
        for gone in self._users.gone:
            self._against.pop(gone.id, None)
        running = self._against.get(user.id)
        proven = running is not None and running.proven
        way = user.heading(0 if proven else user.unbroken_since_ns)
        if user.label not in VEHICLES or way is None:
            if not proven:
                self._against.pop(user.id, None)
            return None
        came, here = way
        turn_deg = turn_between_deg(came.at, here.at, self._direction_deg, aspect)
        if (user.speed() or 0.0) < LEAST_PACE or turn_deg < WITH_DEG:
            self._against.pop(user.id, None)
            return None
        if running is None:
            if turn_deg < AGAINST_DEG:
                return None
            running = self._against[user.id] = _Against(came, came)
        running.length += distance(running.last.at, here.at, aspect)
        running.last = here
        if not running.proven:
            gone_by = distance(running.since.at, here.at, aspect)
            far = gone_by >= max(LEAST_WAY * user.size, LEAST_DISTANCE)
            running.proven = far and gone_by >= STRAIGHT * running.length
        return running.since.t_ns if running.proven else None
