"""Zone occupancy by the foot of a road user: the middle of the bottom edge of its box.

Hysteresis in space and time: a road user is in or out once its foot has been clear of the edge for a
moment. A hidden road user stays where it was, as long as it is remembered.
"""

from agent.base.model import BoundingBox
from agent.detection.geometry import bottom_centre, edge_distance, is_inside
from agent.detection.rules.road_users import RoadUser, TrackMemory
from agent.detection.scene import Zone
from drivers.media import NS_PER_S

EDGE_MARGIN = 0.08
"""By the road user's own size: nearer to the edge, the foot is neither in nor out."""
ENTER_AFTER_NS = NS_PER_S * 3 // 10
LEAVE_AFTER_NS = NS_PER_S // 2


class ZoneVisit:
    """One road user's stay in a zone."""

    def __init__(self, user: RoadUser, since_ns: int) -> None:
        self.user = user
        self.since_ns = since_ns
        self.last_inside_ns = since_ns


class ZoneOccupancy:
    """The visits to one zone by road users of the zone's labels."""

    def __init__(self, zone: Zone, road_users: TrackMemory) -> None:
        self._zone = zone
        self._road_users = road_users
        self._visits: dict[int, ZoneVisit] = {}
        self._entering_since_ns: dict[int, int] = {}
        self.begun_visits: tuple[ZoneVisit, ...] = ()
        """The visits that the last step made certain, as of their `since_ns`."""
        self.ended_visits: tuple[ZoneVisit, ...] = ()
        """The visits that ended at the last step, as of their `last_inside_ns`."""

    @property
    def visits(self) -> tuple[ZoneVisit, ...]:
        """The visits that last, in the order of their begin."""
        return tuple(self._visits.values())

    def step(self, t_ns: int) -> None:
        """Update the visits, after the road users took the result of a frame."""
        begun: list[ZoneVisit] = []
        ended: list[ZoneVisit] = []
        for user in self._road_users.forgotten:
            self._entering_since_ns.pop(user.id, None)
            visit = self._visits.pop(user.id, None)
            if visit is not None:
                ended.append(visit)
        for user in self._road_users:
            if not (user.is_shown or user.is_visible):
                continue
            visit = self._visits.get(user.id)
            if visit is None:
                visit = self._begin_visit(user, t_ns)
                if visit is not None:
                    begun.append(visit)
            elif self._has_left(visit, t_ns):
                ended.append(self._visits.pop(user.id))
        self.begun_visits, self.ended_visits = tuple(begun), tuple(ended)

    def _begin_visit(self, user: RoadUser, t_ns: int) -> ZoneVisit | None:
        is_clearly_inside = self._is_clear(user.box, user.size, within=True)
        if user.label not in self._zone.labels or not is_clearly_inside:
            self._entering_since_ns.pop(user.id, None)
            return None
        since_ns = self._entering_since_ns.setdefault(user.id, t_ns)
        if t_ns - since_ns < ENTER_AFTER_NS:
            return None
        del self._entering_since_ns[user.id]
        visit = self._visits[user.id] = ZoneVisit(user, since_ns)
        visit.last_inside_ns = t_ns
        return visit

    def _has_left(self, visit: ZoneVisit, t_ns: int) -> bool:
        user = visit.user
        box = user.box if user.is_shown else user.track.box
        if not self._is_clear(box, user.size, within=False):
            visit.last_inside_ns = t_ns
        return not user.is_held and t_ns - visit.last_inside_ns >= LEAVE_AFTER_NS

    def _is_clear(self, box: BoundingBox, size: float, *, within: bool) -> bool:
        """Whether the foot of a box is in the zone, or out of it, and not just at its edge."""
        ground_point = bottom_centre(box)
        if is_inside(self._zone.polygon, ground_point) != within:
            return False
        aspect = self._road_users.aspect
        return edge_distance(self._zone.polygon, ground_point, aspect) >= EDGE_MARGIN * size
