"""What vehicles must not do on a carriageway: stand, and go the wrong way."""

import msgspec

from agent.base.model import Label
from agent.detection.geometry import distance, heading_difference_deg
from agent.detection.rules.road_users import TimedPosition, TrackMemory
from agent.detection.rules.zone_occupancy import ZoneVisit

VEHICLES: frozenset[Label] = frozenset({"bicycle", "motorcycle", "car", "bus", "truck"})

WRONG_WAY_MIN_DEG = 120.0
"""A way that turns this far off the lawful direction goes against it."""
WRONG_WAY_CLEAR_DEG = 90.0
"""A way that turns less than this does not."""
MIN_SPEED = 0.3
"""Own sizes a second: who is slower is going nowhere."""
MIN_TRAVEL_SIZES = 2.0
"""Own sizes: who goes back to park goes less far."""
MIN_TRAVEL = 0.15
"""In picture heights."""
MIN_STRAIGHTNESS = 0.8
"""Of the way's length: how far its end is from its begin at the least."""


def is_stopped(visit: ZoneVisit, t_ns: int) -> int | None:
    """The condition of `stopped`: since when a vehicle has been standing in the zone."""
    if visit.user.label not in VEHICLES or visit.user.is_displaced:
        return None
    since_ns = visit.user.stationary_since_ns(t_ns)
    return None if since_ns is None else max(since_ns, visit.since_ns)


class _WrongWayPath(msgspec.Struct):
    """A way against the direction: where it began, the last spot of it, its length so far."""

    start: TimedPosition
    last: TimedPosition
    length: float = 0.0
    is_confirmed: bool = False


class WrongWay:
    """The condition of `wrong_way`: a vehicle goes against the zone's direction, straight, over
    some length.

    A tracker that loses one vehicle of a column for the next one makes a track that hops
    backwards; what is far away and small, or goes back and forth, proves nothing.
    """

    def __init__(self, direction_deg: float, road_users: TrackMemory) -> None:
        self._direction_deg = direction_deg
        self._road_users = road_users
        self._paths: dict[int, _WrongWayPath] = {}

    def __call__(self, visit: ZoneVisit, t_ns: int, /) -> int | None:
        """Since when it goes against the direction."""
        user, aspect = visit.user, self._road_users.aspect
        for forgotten in self._road_users.forgotten:
            self._paths.pop(forgotten.id, None)
        path = self._paths.get(user.id)
        is_confirmed = path is not None and path.is_confirmed
        recent = user.recent_path(0 if is_confirmed else user.continuous_since_ns)
        if user.label not in VEHICLES or recent is None:
            if not is_confirmed:
                self._paths.pop(user.id, None)
            return None
        start, end = recent
        deviation_deg = heading_difference_deg(start.point, end.point, self._direction_deg, aspect)
        if (user.speed() or 0.0) < MIN_SPEED or deviation_deg < WRONG_WAY_CLEAR_DEG:
            self._paths.pop(user.id, None)
            return None
        if path is None:
            if deviation_deg < WRONG_WAY_MIN_DEG:
                return None
            path = self._paths[user.id] = _WrongWayPath(start, start)
        path.length += distance(path.last.point, end.point, aspect)
        path.last = end
        if not path.is_confirmed:
            net_distance = distance(path.start.point, end.point, aspect)
            is_far_enough = net_distance >= max(MIN_TRAVEL_SIZES * user.size, MIN_TRAVEL)
            path.is_confirmed = is_far_enough and net_distance >= MIN_STRAIGHTNESS * path.length
        return path.start.t_ns if path.is_confirmed else None
