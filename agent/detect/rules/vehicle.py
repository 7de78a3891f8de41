"""What vehicles must not do on a carriageway: stand, and go the wrong way."""

import msgspec

from agent.detect.geometry import distance, turn_between_deg
from agent.detect.rules.presence import Stay
from agent.detect.rules.road_users import RoadUsers, Spot
from agent.model import Label

VEHICLES: frozenset[Label] = frozenset({"bicycle", "motorcycle", "car", "bus", "truck"})

AGAINST_DEG = 120.0
"""A way that turns this far off the lawful direction goes against it."""
WITH_DEG = 90.0
"""A way that turns less than this does not."""
LEAST_PACE = 0.3
"""Own sizes a second: who is slower is going nowhere."""
LEAST_WAY = 1.5
"""Own sizes: who goes back to park goes less far."""


def stands(stay: Stay, t_ns: int) -> int | None:
    """The condition of `stopped`: since when a vehicle has been standing in the zone."""
    if stay.user.label not in VEHICLES:
        return None
    since_ns = stay.user.stands_since_ns(t_ns)
    return None if since_ns is None else max(since_ns, stay.since_ns)


class _Against(msgspec.Struct):
    since: Spot
    proven: bool = False


class GoesAgainst:
    """The condition of `wrong_way`: a vehicle goes against the zone's direction, and has done
    so over some length.
    """

    def __init__(self, direction_deg: float, users: RoadUsers) -> None:
        self._direction_deg = direction_deg
        self._users = users
        self._against: dict[int, _Against] = {}

    def __call__(self, stay: Stay, t_ns: int) -> int | None:
        """Since when it goes against the direction."""
        user, aspect = stay.user, self._users.aspect
        for gone in self._users.gone:
            self._against.pop(gone.id, None)
        way = user.way()
        if user.label not in VEHICLES or way is None:
            return None
        came, here = way
        pace = user.pace() or 0.0
        turn_deg = turn_between_deg(came.at, here.at, self._direction_deg, aspect)
        running = self._against.get(user.id)
        if pace < LEAST_PACE or turn_deg < WITH_DEG:
            self._against.pop(user.id, None)
            return None
        if running is None:
            if turn_deg < AGAINST_DEG:
                return None
            running = self._against[user.id] = _Against(came)
        running.proven = running.proven or (
            distance(running.since.at, here.at, aspect) >= LEAST_WAY * user.size
        )
        return running.since.t_ns if running.proven else None
