"""Events of many: a queue of vehicles, a crowd of people."""

from collections.abc import Callable

import msgspec

from agent.base.model import BoundingBox, Event, EventKind
from agent.detection.geometry import hull, rounded
from agent.detection.rules.event_lifecycle import EventLifecycle, NewId
from agent.detection.rules.road_users import NS_PER_S
from agent.detection.rules.stopped_wrong_way import VEHICLES
from agent.detection.rules.zone_occupancy import ZoneOccupancy, ZoneVisit
from agent.detection.scene import Zone

QUEUE_PACE = 0.5
"""Own sizes a second, some 5 km/h for a car: who is slower waits in the queue."""
BEGIN_AFTER_S = 2.0
END_AFTER_S = 5.0
STEADY_S = 2.0
"""A new count is told once it has held for so long."""


def is_queueing(stay: ZoneVisit, t_ns: int) -> bool:
    """Whether a vehicle stands, or creeps as a queue does."""
    user = stay.user
    if user.label not in VEHICLES:
        return False
    pace = user.speed()
    return user.stands_since_ns(t_ns) is not None or (pace is not None and pace < QUEUE_PACE)


def is_person(stay: ZoneVisit, _t_ns: int) -> bool:
    """Whether it is one of a crowd."""
    return stay.user.label == "person"


class CountThreshold(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of event of many: who counts, and how many make one."""

    kind: EventKind
    counts: Callable[[ZoneVisit, int], bool]
    least: int


class CountRule:
    """Begins when enough have been there for a moment, and ends when too few have been."""

    def __init__(
        self,
        gathering: CountThreshold,
        camera: str,
        zone: Zone,
        presence: ZoneOccupancy,
        new_id: NewId,
    ) -> None:
        self._gathering = gathering
        self._camera = camera
        self._zone = zone
        self._presence = presence
        self._new_id = new_id
        self._episode: EventLifecycle | None = None
        self._enough_since_ns: int | None = None
        self._enough_ns = 0
        self._count = 0
        self._count_since_ns = 0

    def step(self, t_ns: int) -> list[Event]:
        """What the last sight changed."""
        members = [stay for stay in self._presence.stays if self._gathering.counts(stay, t_ns)]
        count = len(members)
        if count != self._count:
            self._count, self._count_since_ns = count, t_ns
        if count >= self._gathering.least:
            self._enough_ns = t_ns
            if self._enough_since_ns is None:
                self._enough_since_ns = t_ns
        elif self._episode is None:
            self._enough_since_ns = None
        event = self._begin(members, t_ns) if self._episode is None else self._go_on(members, t_ns)
        return [] if event is None else [event]

    def flush(self, t_ns: int) -> list[Event]:
        """End what is open."""
        episode, self._episode, self._enough_since_ns = self._episode, None, None
        return [] if episode is None else [episode.end(t_ns)]

    def _begin(self, members: list[ZoneVisit], t_ns: int) -> Event | None:
        since_ns = self._enough_since_ns
        if since_ns is None or t_ns - since_ns < BEGIN_AFTER_S * NS_PER_S:
            return None
        self._episode = EventLifecycle.begin(
            self._new_id,
            self._gathering.kind,
            self._camera,
            t_ns,
            since_ns,
            name=self._zone.name,
            count=len(members),
            box=_box(members),
        )
        return self._episode.last

    def _go_on(self, members: list[ZoneVisit], t_ns: int) -> Event | None:
        episode = self._episode
        if episode is None:
            return None
        if t_ns - self._enough_ns >= END_AFTER_S * NS_PER_S:
            self._episode, self._enough_since_ns = None, None
            return episode.end(self._enough_ns, count=len(members))
        steady = t_ns - self._count_since_ns >= STEADY_S * NS_PER_S
        news = (
            steady and len(members) >= self._gathering.least and len(members) != episode.last.count
        )
        if not members or not (news or episode.is_due(t_ns)):
            return None
        return episode.update(t_ns, count=len(members), box=_box(members))


def _box(members: list[ZoneVisit]) -> BoundingBox:
    return rounded(hull([stay.user.track.box for stay in members]))
