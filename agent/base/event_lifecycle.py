"""One event from its begin to its end, with its revisions counted. Pure."""

from collections.abc import Callable
from typing import Any

import msgspec

from agent.base.event_type import EventType
from agent.base.model import Event

NewId = Callable[[int], str]
"""From a `t_ns` to a new event id, a UUIDv7 of that moment."""

UPDATE_INTERVAL_NS = 60_000_000_000
"""An open event is sent again this often, so that the centre knows that it is still open."""


def momentary_event(
    new_id: NewId, event_type: EventType, camera: str, t_ns: int, **fields: Any
) -> Event:
    """Make an event without a length, such as the crossing of a line."""
    return _first_revision(new_id, event_type, camera, t_ns, phase="moment", **fields)


class EventLifecycle:
    """An open event. `since_ns` is when its cause began, which may be long before its begin."""

    def __init__(self, first: Event, since_ns: int) -> None:
        self.last_revision = first
        self._since_ns = since_ns

    @classmethod
    def begin(
        cls,
        new_id: NewId,
        event_type: EventType,
        camera: str,
        t_ns: int,
        since_ns: int | None = None,
        **fields: Any,
    ) -> "EventLifecycle":
        """Begin an event. Its first revision has a duration only if `since_ns` is given."""
        duration_s = None if since_ns is None else _to_seconds(t_ns - since_ns)
        first = _first_revision(
            new_id, event_type, camera, t_ns, phase="begin", duration_s=duration_s, **fields
        )
        return cls(first, t_ns if since_ns is None else since_ns)

    def is_due(self, t_ns: int) -> bool:
        """Whether the last revision is so old that an update is due."""
        return t_ns - self.last_revision.t_ns >= UPDATE_INTERVAL_NS

    def update(self, t_ns: int, **fields: Any) -> Event:
        """Make the next revision, with the fields that changed."""
        return self._revise("update", t_ns, fields)

    def end(self, t_ns: int, **fields: Any) -> Event:
        """Make the last revision. Its time is never before that of the one before."""
        return self._revise("end", t_ns, fields)

    def _revise(self, phase: str, t_ns: int, fields: dict[str, Any]) -> Event:
        t_ns = max(t_ns, self.last_revision.t_ns)
        self.last_revision = msgspec.structs.replace(
            self.last_revision,
            rev=self.last_revision.rev + 1,
            phase=phase,
            t_ns=t_ns,
            duration_s=_to_seconds(t_ns - self._since_ns),
            **fields,
        )
        return self.last_revision


def _first_revision(
    new_id: NewId, event_type: EventType, camera: str, t_ns: int, **fields: Any
) -> Event:
    return Event(
        event=new_id(t_ns),
        rev=1,
        kind=event_type.kind,
        camera=camera,
        t_ns=t_ns,
        begin_ns=t_ns,
        **fields,
    )


def _to_seconds(ns: int) -> float:
    """Round to the millisecond, which is finer than any camera."""
    return round(ns / 1e9, 3)
