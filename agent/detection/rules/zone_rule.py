"""Events of one road user in one zone: what `zone`, `dwell`, `stopped` and others have in common."""

from typing import Any, Protocol

import msgspec

from agent.base.event_type import EventType
from agent.base.model import Event, FrameResult
from agent.detection.geometry import round_box
from agent.detection.rules.rule import RuleContext
from agent.detection.rules.sustained_event import SustainedEvent
from agent.detection.rules.zone_occupancy import ZoneVisit
from agent.detection.scene import Zone
from drivers.media import NS_PER_S


class ZoneCondition(Protocol):
    """A condition on a road user's visit to a zone."""

    def __call__(self, visit: ZoneVisit, t_ns: int, /) -> int | None:
        """Return since when the condition holds, or None if it does not."""
        ...


class ZoneRule:
    """Emits an event for each visit to a zone in which a condition holds for `after_s`.

    The event ends if the condition has not held for `clear_s`, or if the visit ends, with the time
    at which the condition held last. With `outlasts_visits` it waits for `clear_s` after the visit too, and another visit
    of the road user in that time continues it.
    """

    def __init__(
        self,
        event_type: EventType,
        zone: Zone,
        context: RuleContext,
        condition: ZoneCondition,
        *,
        after_s: float,
        clear_s: float,
        outlasts_visits: bool = False,
    ) -> None:
        self._event_type = event_type
        self._zone = zone
        self._context = context
        self._condition = condition
        self._after_s, self._clear_s = after_s, clear_s
        self._occupancy = context.occupancies[zone.name]
        self._outlast_ns = round(clear_s * NS_PER_S) if outlasts_visits else 0
        self._events: dict[int, SustainedEvent] = {}
        self._ended_visits: dict[int, ZoneVisit] = {}
        """The last visits of the road users that have left, by their ids, as long as their events are open."""

    def step(self, result: FrameResult) -> list[Event]:
        """Return what this frame begins, updates and ends."""
        t_ns = result.t_ns
        found: list[Event | None] = []
        self._ended_visits |= {visit.user.id: visit for visit in self._occupancy.ended_visits}
        for visit in self._occupancy.visits:
            self._ended_visits.pop(visit.user.id, None)
        for visit in tuple(self._ended_visits.values()):
            event = self._events.get(visit.user.id)
            open_event = None if event is None else event.open_event
            if open_event is not None and t_ns - visit.last_inside_ns < self._outlast_ns:
                continue
            del self._ended_visits[visit.user.id]
            self._events.pop(visit.user.id, None)
            if event is not None and open_event is not None:
                # Not before a begin: a hidden vehicle may have been seen in the zone for the last time before that.
                end_ns = max(open_event.t_ns, min(event.last_held_ns, visit.last_inside_ns))
                found.append(event.end(end_ns, self._fields(visit)))
        found += [self._evaluate(visit, t_ns) for visit in self._occupancy.visits]
        return [event for event in found if event is not None]

    def flush(self, t_ns: int) -> list[Event]:
        """End the open events."""
        events = [event for sustained in self._events.values() for event in sustained.flush(t_ns)]
        self._events.clear()
        self._ended_visits.clear()
        return events

    def _evaluate(self, visit: ZoneVisit, t_ns: int) -> Event | None:
        since_ns = self._condition(visit, t_ns)
        event = self._events.get(visit.user.id)
        if since_ns is None and (event is None or event.open_event is None):
            self._events.pop(visit.user.id, None)
            return None
        if event is None:
            event = self._events[visit.user.id] = SustainedEvent(
                self._event_type,
                self._context.camera,
                self._context.new_id,
                after_s=self._after_s,
                clear_s=self._clear_s,
                backdated=True,
            )
        if since_ns is not None:
            since_ns = max(since_ns, self._context.hours_begin_ns)
        # Nothing begins for a road user that is only remembered.
        if since_ns is not None and event.open_event is None and not visit.user.is_present:
            return None
        return event.step(t_ns, since_ns, self._fields(visit))

    def _fields(self, visit: ZoneVisit) -> dict[str, Any]:
        track = visit.user.track
        return {
            "name": self._zone.name,
            "label": track.label,
            "track": track.id,
            "score": round(track.score, 4),
            "box": round_box(visit.user.box),
            "ground": visit.user.ground_motion() or msgspec.UNSET,
        }


def while_present(visit: ZoneVisit, _t_ns: int) -> int | None:
    """Hold as long as the visit lasts."""
    return visit.since_ns
