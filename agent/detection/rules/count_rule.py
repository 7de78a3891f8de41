"""Events of many: a queue of vehicles, a crowd of people."""

from collections.abc import Callable

import msgspec

from agent.base.model import BoundingBox, Event, EventKind
from agent.detection.geometry import enclosing_box, round_box
from agent.detection.rules.event_lifecycle import EventLifecycle, NewId
from agent.detection.rules.road_users import NS_PER_S
from agent.detection.rules.stopped_wrong_way import VEHICLES
from agent.detection.rules.zone_occupancy import ZoneOccupancy, ZoneVisit
from agent.detection.scene import Zone

QUEUE_MAX_SPEED = 0.5
"""Own sizes a second, some 5 km/h for a car: who is slower waits in the queue."""
BEGIN_AFTER_S = 2.0
END_AFTER_S = 5.0
COUNT_STABLE_S = 2.0
"""A new count is told once it has held for so long."""


def is_queueing(visit: ZoneVisit, t_ns: int) -> bool:
    """Whether a vehicle stands, or creeps as a queue does."""
    user = visit.user
    if user.label not in VEHICLES:
        return False
    speed = user.speed()
    return user.stationary_since_ns(t_ns) is not None or (
        speed is not None and speed < QUEUE_MAX_SPEED
    )


def is_person(visit: ZoneVisit, _t_ns: int) -> bool:
    """Whether it is one of a crowd."""
    return visit.user.label == "person"


class CountThreshold(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of event of many: who counts, and how many make one."""

    kind: EventKind
    matches: Callable[[ZoneVisit, int], bool]
    min_count: int


class CountRule:
    """Begins when enough have been there for a moment, and ends when too few have been."""

    def __init__(
        self,
        threshold: CountThreshold,
        camera: str,
        zone: Zone,
        occupancy: ZoneOccupancy,
        new_id: NewId,
    ) -> None:
        self._threshold = threshold
        self._camera = camera
        self._zone = zone
        self._occupancy = occupancy
        self._new_id = new_id
        self._lifecycle: EventLifecycle | None = None
        self._above_since_ns: int | None = None
        self._last_above_ns = 0
        self._count = 0
        self._count_since_ns = 0

    def step(self, t_ns: int) -> list[Event]:
        """What the last sight changed."""
        members = [
            visit for visit in self._occupancy.visits if self._threshold.matches(visit, t_ns)
        ]
        count = len(members)
        if count != self._count:
            self._count, self._count_since_ns = count, t_ns
        if count >= self._threshold.min_count:
            self._last_above_ns = t_ns
            if self._above_since_ns is None:
                self._above_since_ns = t_ns
        elif self._lifecycle is None:
            self._above_since_ns = None
        event = (
            self._begin(members, t_ns) if self._lifecycle is None else self._update(members, t_ns)
        )
        return [] if event is None else [event]

    def flush(self, t_ns: int) -> list[Event]:
        """End what is open."""
        lifecycle, self._lifecycle, self._above_since_ns = self._lifecycle, None, None
        return [] if lifecycle is None else [lifecycle.end(t_ns)]

    def _begin(self, members: list[ZoneVisit], t_ns: int) -> Event | None:
        since_ns = self._above_since_ns
        if since_ns is None or t_ns - since_ns < BEGIN_AFTER_S * NS_PER_S:
            return None
        self._lifecycle = EventLifecycle.begin(
            self._new_id,
            self._threshold.kind,
            self._camera,
            t_ns,
            since_ns,
            name=self._zone.name,
            count=len(members),
            box=_members_box(members),
        )
        return self._lifecycle.last_revision

    def _update(self, members: list[ZoneVisit], t_ns: int) -> Event | None:
        lifecycle = self._lifecycle
        if lifecycle is None:
            return None
        if t_ns - self._last_above_ns >= END_AFTER_S * NS_PER_S:
            self._lifecycle, self._above_since_ns = None, None
            return lifecycle.end(self._last_above_ns, count=len(members))
        is_stable = t_ns - self._count_since_ns >= COUNT_STABLE_S * NS_PER_S
        has_changed = (
            is_stable
            and len(members) >= self._threshold.min_count
            and len(members) != lifecycle.last_revision.count
        )
        if not members or not (has_changed or lifecycle.is_due(t_ns)):
            return None
        return lifecycle.update(t_ns, count=len(members), box=_members_box(members))


def _members_box(members: list[ZoneVisit]) -> BoundingBox:
    return round_box(enclosing_box([visit.user.track.box for visit in members]))
