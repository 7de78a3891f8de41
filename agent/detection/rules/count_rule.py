"""Events of a number of road users in one zone: what a queue and a crowd have in common."""

from collections.abc import Callable
from typing import Any

from agent.base.event_type import EventType
from agent.base.model import Event, FrameResult
from agent.detection.geometry import covered_ratio, enclosing_box, round_box
from agent.detection.rules.rule import RuleContext
from agent.detection.rules.sustained_event import SustainedEvent
from agent.detection.rules.zone_occupancy import ZoneVisit
from agent.detection.scene import Zone
from drivers.media import NS_PER_S

BEGIN_AFTER_S = 2.0
END_AFTER_S = 5.0
COUNT_STABLE_S = 2.0
"""A new count is sent once it has held for this long."""
SAME_MIN_OVERLAP = 0.3
"""Part of a remembered road user that one which is seen covers, from which both are the same."""


class CountRule:
    """Begins if at least `min_count` road users of a zone match, and ends if fewer do."""

    def __init__(
        self,
        event_type: EventType,
        zone: Zone,
        context: RuleContext,
        matches: Callable[[ZoneVisit, int], bool],
        min_count: int,
    ) -> None:
        self._occupancy = context.occupancies[zone.name]
        self._zone = zone
        self._matches = matches
        self._min_count = min_count
        self._event = SustainedEvent(
            event_type,
            context.camera,
            context.new_id,
            after_s=BEGIN_AFTER_S,
            clear_s=END_AFTER_S,
        )
        self._count = 0
        self._count_since_ns = 0

    def step(self, result: FrameResult) -> list[Event]:
        """Return the begin, update or end that this frame makes."""
        t_ns = result.t_ns
        members = _without_copies(
            [visit for visit in self._occupancy.visits if self._matches(visit, t_ns)]
        )
        count = len(members)
        if count != self._count:
            self._count, self._count_since_ns = count, t_ns
        is_enough = count >= self._min_count
        event = self._event.step(
            t_ns,
            t_ns if is_enough else None,
            self._fields(members),
            end_fields={"count": count},
            update=bool(members)
            and (self._event.is_due(t_ns) or (is_enough and self._has_changed(t_ns))),
        )
        return [] if event is None else [event]

    def flush(self, t_ns: int) -> list[Event]:
        """End the open event."""
        return self._event.flush(t_ns)

    def _has_changed(self, t_ns: int) -> bool:
        """Whether the count differs from the one sent last, and has done so for a moment."""
        open_event = self._event.open_event
        is_stable = t_ns - self._count_since_ns >= COUNT_STABLE_S * NS_PER_S
        return open_event is not None and is_stable and self._count != open_event.count

    def _fields(self, members: list[ZoneVisit]) -> dict[str, Any]:
        if not members:
            return {}
        box = round_box(enclosing_box([visit.user.box for visit in members]))
        return {
            "name": self._zone.name,
            "count": len(members),
            "box": box,
        }


def _without_copies(members: list[ZoneVisit]) -> list[ZoneVisit]:
    """Leave out those that are only remembered where another is seen: a road user with a new track is both."""
    seen = [visit.user.box for visit in members if visit.user.is_present]
    return [
        visit
        for visit in members
        if visit.user.is_present
        or not any(covered_ratio(box, visit.user.box) >= SAME_MIN_OVERLAP for box in seen)
    ]
