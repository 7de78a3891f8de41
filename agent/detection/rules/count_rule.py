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

END_AFTER_S = 5.0
COUNT_STABLE_S = 2.0
"""A new count is sent once it has held for this long."""
SAME_MIN_OVERLAP = 0.3
"""Part of a road user without a track that another covers, from which both are the same."""


class CountRule:
    """Begins if at least `min_count` road users of a zone match, and ends if fewer do."""

    def __init__(
        self,
        event_type: EventType,
        zone: Zone,
        context: RuleContext,
        matches: Callable[[ZoneVisit, int], bool],
        min_count: int,
        begin_after_s: float,
    ) -> None:
        self._occupancy = context.occupancies[zone.name]
        self._zone = zone
        self._matches = matches
        self._min_count = min_count
        self._event = SustainedEvent(
            event_type,
            context.camera,
            context.new_id,
            after_s=begin_after_s,
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
    """Leave out those without a track where another is: one whose track was lost and found again has two places."""
    kept: list[ZoneVisit] = []
    for visit in sorted(members, key=_uncertainty):
        box = visit.user.box
        if visit.user.is_tracked_there or not any(
            other.user.is_present and covered_ratio(other.user.box, box) >= SAME_MIN_OVERLAP
            for other in kept
        ):
            kept.append(visit)
    return kept


def _uncertainty(visit: ZoneVisit) -> tuple[bool, bool]:
    """Return a key that sorts those with a track first, and those that are only remembered last."""
    return not visit.user.is_tracked_there, not visit.user.is_shown
