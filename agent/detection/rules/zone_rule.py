"""Events of one road user in one zone: what they have in common, and the plain ones."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from agent.base.model import Event, EventKind, Track
from agent.detection.geometry import round_box
from agent.detection.rules.event_lifecycle import EventLifecycle, NewId
from agent.detection.rules.road_users import NS_PER_S
from agent.detection.rules.zone_occupancy import ZoneOccupancy, ZoneVisit
from agent.detection.scene import Zone


class ZoneCondition(Protocol):
    """What has to hold of a stay in the zone."""

    def __call__(self, visit: ZoneVisit, t_ns: int, /) -> int | None:
        """Since when it holds, or None where it does not."""
        ...


class EventTiming(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of event and its hysteresis: it begins when its condition has held for `after_s`,
    and ends when the condition has not held for `grace_s`, as of the moment it last did.
    """

    kind: EventKind
    after_s: float
    grace_s: float


class _OpenEvent(msgspec.Struct):
    lifecycle: EventLifecycle
    last_held_ns: int


class ZoneRule:
    """Watches each stay in a zone for one condition."""

    def __init__(
        self,
        timing: EventTiming,
        camera: str,
        zone: Zone,
        occupancy: ZoneOccupancy,
        new_id: NewId,
        condition: ZoneCondition,
    ) -> None:
        self._timing = timing
        self._after_ns = round(timing.after_s * NS_PER_S)
        self._grace_ns = round(timing.grace_s * NS_PER_S)
        self._camera = camera
        self._zone = zone
        self._occupancy = occupancy
        self._new_id = new_id
        self._condition = condition
        self._open_events: dict[int, _OpenEvent] = {}

    def step(self, t_ns: int) -> list[Event]:
        """What the last sight changed."""
        events = []
        for visit in self._occupancy.ended_visits:
            open_event = self._open_events.pop(visit.user.id, None)
            if open_event is not None:
                left_ns = visit.last_inside_ns if visit.left_ns is None else visit.left_ns
                events.append(
                    self._revise(
                        open_event.lifecycle.end, visit, min(open_event.last_held_ns, left_ns)
                    )
                )
        for visit in self._occupancy.visits:
            event = self._evaluate(visit, t_ns)
            if event is not None:
                events.append(event)
        return events

    def flush(self, t_ns: int) -> list[Event]:
        """End what is open."""
        events = [open_event.lifecycle.end(t_ns) for open_event in self._open_events.values()]
        self._open_events.clear()
        return events

    def _evaluate(self, visit: ZoneVisit, t_ns: int) -> Event | None:
        since_ns = self._condition(visit, t_ns)
        open_event = self._open_events.get(visit.user.id)
        if open_event is None:
            # Nothing begins for who is only expected back.
            has_held = since_ns is not None and t_ns - since_ns >= self._after_ns
            if since_ns is None or not has_held or not visit.user.is_tracked:
                return None
            return self._begin(visit, since_ns, t_ns)
        if since_ns is not None:
            open_event.last_held_ns = t_ns
        elif t_ns - open_event.last_held_ns >= self._grace_ns:
            del self._open_events[visit.user.id]
            return self._revise(open_event.lifecycle.end, visit, open_event.last_held_ns)
        if open_event.lifecycle.is_due(t_ns):
            return self._revise(open_event.lifecycle.update, visit, t_ns)
        return None

    def _begin(self, visit: ZoneVisit, since_ns: int, t_ns: int) -> Event:
        lifecycle = EventLifecycle.begin(
            self._new_id,
            self._timing.kind,
            self._camera,
            since_ns + self._after_ns,
            since_ns,
            name=self._zone.name,
            **_track_fields(visit.user.track),
        )
        self._open_events[visit.user.id] = _OpenEvent(lifecycle, t_ns)
        return lifecycle.last_revision

    def _revise(self, revise: Callable[..., Event], visit: ZoneVisit, t_ns: int) -> Event:
        return revise(t_ns, **_track_fields(visit.user.track))


def _track_fields(track: Track) -> dict[str, Any]:
    """What an event says of a track."""
    return {
        "label": track.label,
        "track": track.id,
        "score": round(track.score, 4),
        "box": round_box(track.box),
    }


def always(visit: ZoneVisit, _t_ns: int) -> int | None:
    """The condition that always holds: of enter and leave, and of dwell."""
    return visit.since_ns
