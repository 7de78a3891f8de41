"""One event from its begin to its end, with its revisions counted."""

from collections.abc import Callable
from typing import Any

import msgspec

from agent.base.model import Event, EventKind

NewId = Callable[[int], str]
"""From a `t_ns` to a new event id, a UUIDv7 of that moment."""

UPDATE_INTERVAL_NS = 60_000_000_000
"""What goes on is told again this often, so that the centre knows that it does."""


class EventLifecycle:
    """An event that has begun. `since_ns` is when what it tells of began, maybe long before."""

    def __init__(self, first: Event, since_ns: int) -> None:
        self.last_revision = first
        self._since_ns = since_ns

    @classmethod
    def begin(
        cls, new_id: NewId, kind: EventKind, camera: str, t_ns: int, since_ns: int, **fields: Any
    ) -> "EventLifecycle":
        """Begin an event; `what` are the fields of Event that say what it is about."""
        first = Event(
            event=new_id(t_ns),
            rev=1,
            kind=kind,
            phase="begin",
            camera=camera,
            t_ns=t_ns,
            begin_ns=t_ns,
            duration_s=_to_seconds(t_ns - since_ns),
            **fields,
        )
        return cls(first, since_ns)

    def is_due(self, t_ns: int) -> bool:
        """Whether nothing has been told for so long that an update is due."""
        return t_ns - self.last_revision.t_ns >= UPDATE_INTERVAL_NS

    def update(self, t_ns: int, **fields: Any) -> Event:
        """News: the same event with fields that changed."""
        return self._revise("update", t_ns, fields)

    def end(self, t_ns: int, **fields: Any) -> Event:
        """The last revision. It never lies before the one that was told last."""
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


def _to_seconds(ns: int) -> float:
    """To the millisecond, which is finer than any camera."""
    return round(ns / 1e9, 3)
