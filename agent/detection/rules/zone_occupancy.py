"""Who is in a zone, judged by the foot: the middle of the bottom edge of the box.

Hysteresis in space and time: in or out counts once the foot is clear of the edge, and has been
for a moment. Who cannot be seen stays where he was, for as long as he is remembered.
"""

from agent.detection.geometry import edge_distance, foot, inside
from agent.detection.rules.road_users import NS_PER_S, RoadUser, TrackMemory
from agent.detection.scene import Zone

EDGE = 0.08
"""Of the road user's own size: nearer to the edge, the foot is neither in nor out."""
ENTER_NS = NS_PER_S * 3 // 10
LEAVE_NS = NS_PER_S // 2


class ZoneVisit:
    """One road user's stay in a zone. `left_ns` is None while it lasts."""

    def __init__(self, user: RoadUser, since_ns: int) -> None:
        self.user = user
        self.since_ns = since_ns
        self.inside_ns = since_ns
        self.left_ns: int | None = None


class ZoneOccupancy:
    """The stays in one zone, by road user. Who is not of the zone's labels is not there."""

    def __init__(self, zone: Zone, users: TrackMemory) -> None:
        self._zone = zone
        self._users = users
        self._inside: dict[int, ZoneVisit] = {}
        self._coming: dict[int, int] = {}
        self.left: tuple[ZoneVisit, ...] = ()
        """Who left at the last step, with `left_ns` set."""

    @property
    def stays(self) -> tuple[ZoneVisit, ...]:
        """Who is in the zone now, in the order in which they came in."""
        return tuple(self._inside.values())

    def step(self, t_ns: int) -> None:
        """Judge everybody's place anew, after `users` took a sight."""
        left: list[ZoneVisit] = []
        for user in self._users.gone:
            self._coming.pop(user.id, None)
            stay = self._inside.pop(user.id, None)
            if stay is not None:
                stay.left_ns = stay.inside_ns
                left.append(stay)
        for user in self._users:
            if not user.seen:
                continue
            stay = self._inside.get(user.id)
            if stay is None:
                self._judge_outsider(user, t_ns)
            elif self._is_out(stay, t_ns):
                stay.left_ns = stay.inside_ns
                left.append(self._inside.pop(user.id))
        self.left = tuple(left)

    def _judge_outsider(self, user: RoadUser, t_ns: int) -> None:
        if user.label not in self._zone.labels or not self._is_clear(user, within=True):
            self._coming.pop(user.id, None)
            return
        since_ns = self._coming.setdefault(user.id, t_ns)
        if t_ns - since_ns >= ENTER_NS:
            del self._coming[user.id]
            stay = self._inside[user.id] = ZoneVisit(user, since_ns)
            stay.inside_ns = t_ns

    def _is_out(self, stay: ZoneVisit, t_ns: int) -> bool:
        if self._is_clear(stay.user, within=False):
            return t_ns - stay.inside_ns >= LEAVE_NS
        stay.inside_ns = t_ns
        return False

    def _is_clear(self, user: RoadUser, *, within: bool) -> bool:
        """Whether the foot is in the zone, or out of it, and not just at its edge."""
        place = foot(user.track.box)
        if inside(self._zone.polygon, place) != within:
            return False
        aspect = self._users.aspect
        return edge_distance(self._zone.polygon, place, aspect) >= EDGE * user.size
