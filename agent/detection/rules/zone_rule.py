"""Events of one road user in one zone: what they have in common, and the plain ones."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from agent.base.model import Event, EventKind, Track
from agent.detection.geometry import rounded
from agent.detection.rules.event_lifecycle import EventLifecycle, NewId
from agent.detection.rules.road_users import NS_PER_S
from agent.detection.rules.zone_occupancy import ZoneOccupancy, ZoneVisit
from agent.detection.scene import Zone


class ZoneCondition(Protocol):
    """What has to hold of a stay in the zone."""

    def __call__(self, stay: ZoneVisit, t_ns: int, /) -> int | None:
        """Since when it holds, or None where it does not."""
        ...


class EventTiming(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of event and its hysteresis: it begins when its condition has held for `after_s`,
    and ends when the condition has not held for `grace_s`, as of the moment it last did.
    """

    kind: EventKind
    after_s: float
    grace_s: float


class _Open(msgspec.Struct):
    episode: EventLifecycle
    held_ns: int


class ZoneRule:
    """Watches each stay in a zone for one condition."""

    def __init__(
        self,
        ruling: EventTiming,
        camera: str,
        zone: Zone,
        presence: ZoneOccupancy,
        new_id: NewId,
        condition: ZoneCondition,
    ) -> None:
        self._ruling = ruling
        self._after_ns = round(ruling.after_s * NS_PER_S)
        self._grace_ns = round(ruling.grace_s * NS_PER_S)
        self._camera = camera
        self._zone = zone
        self._presence = presence
        self._new_id = new_id
        self._condition = condition
        self._open: dict[int, _Open] = {}

    def step(self, t_ns: int) -> list[Event]:
        """What the last sight changed."""
        events = []
        for stay in self._presence.left:
            over = self._open.pop(stay.user.id, None)
            if over is not None:
                left_ns = stay.inside_ns if stay.left_ns is None else stay.left_ns
                events.append(self._told(over.episode.end, stay, min(over.held_ns, left_ns)))
        for stay in self._presence.stays:
            event = self._judge(stay, t_ns)
            if event is not None:
                events.append(event)
        return events

    def flush(self, t_ns: int) -> list[Event]:
        """End what is open."""
        events = [over.episode.end(t_ns) for over in self._open.values()]
        self._open.clear()
        return events

    def _judge(self, stay: ZoneVisit, t_ns: int) -> Event | None:
        since_ns = self._condition(stay, t_ns)
        running = self._open.get(stay.user.id)
        if running is None:
            # Nothing begins for who is only expected back.
            held = since_ns is not None and t_ns - since_ns >= self._after_ns
            if since_ns is None or not held or not stay.user.present:
                return None
            return self._begin(stay, since_ns, t_ns)
        if since_ns is not None:
            running.held_ns = t_ns
        elif t_ns - running.held_ns >= self._grace_ns:
            del self._open[stay.user.id]
            return self._told(running.episode.end, stay, running.held_ns)
        if running.episode.is_due(t_ns):
            return self._told(running.episode.update, stay, t_ns)
        return None

    def _begin(self, stay: ZoneVisit, since_ns: int, t_ns: int) -> Event:
        episode = EventLifecycle.begin(
            self._new_id,
            self._ruling.kind,
            self._camera,
            since_ns + self._after_ns,
            since_ns,
            name=self._zone.name,
            **_of(stay.user.track),
        )
        self._open[stay.user.id] = _Open(episode, t_ns)
        return episode.last

    def _told(self, tell: Callable[..., Event], stay: ZoneVisit, t_ns: int) -> Event:
        return tell(t_ns, **_of(stay.user.track))


def _of(track: Track) -> dict[str, Any]:
    """What an event says of a track."""
    return {
        "label": track.label,
        "track": track.id,
        "score": round(track.score, 4),
        "box": rounded(track.box),
    }


def always(stay: ZoneVisit, _t_ns: int) -> int | None:
    """The condition that always holds: of enter and leave, and of dwell."""
    return stay.since_ns
