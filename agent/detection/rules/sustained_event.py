"""Hysteresis in time: an event begins and ends only after its condition has lasted."""

from collections.abc import Mapping
from typing import Any

from agent.base.event_lifecycle import EventLifecycle, NewId
from agent.base.event_type import EventType
from agent.base.model import Event
from drivers.media import NS_PER_S

_NO_FIELDS: Mapping[str, Any] = {}


class SustainedEvent:
    """Begins when its condition has held for `after_s`, ends when it has been gone for `clear_s`.

    The end has the time at which the condition held last. The begin has the time at which it was
    certain, or with `backdated` the time at which the condition had held for `after_s`.
    """

    def __init__(
        self,
        event_type: EventType,
        camera: str,
        new_id: NewId,
        *,
        after_s: float,
        clear_s: float,
        backdated: bool = False,
    ) -> None:
        self._event_type = event_type
        self._camera = camera
        self._new_id = new_id
        self._after_ns = round(after_s * NS_PER_S)
        self._clear_ns = round(clear_s * NS_PER_S)
        self._backdated = backdated
        self._since_ns: int | None = None
        self._lifecycle: EventLifecycle | None = None
        self.last_held_ns = 0

    @property
    def open_event(self) -> Event | None:
        """The last revision of the open event, or None if none is open."""
        return None if self._lifecycle is None else self._lifecycle.last_revision

    def is_due(self, t_ns: int) -> bool:
        """Whether an event is open and its last revision is a minute old."""
        return self._lifecycle is not None and self._lifecycle.is_due(t_ns)

    def step(
        self,
        t_ns: int,
        since_ns: int | None,
        fields: Mapping[str, Any] = _NO_FIELDS,
        *,
        end_fields: Mapping[str, Any] | None = None,
        update: bool | None = None,
    ) -> Event | None:
        """Take since when the condition holds, or None if it does not hold at `t_ns`.

        `fields` are what the event says of its cause; `end_fields` replace them in the end. An
        open event is updated if `update`, or if that is None and the last revision is a minute old.
        """
        if since_ns is not None:
            self.last_held_ns = t_ns
            if self._since_ns is None:
                self._since_ns = since_ns
        if self._lifecycle is None:
            return self._begin_if_due(t_ns, fields, holds=since_ns is not None)
        if since_ns is None and t_ns - self.last_held_ns >= self._clear_ns:
            return self.end(self.last_held_ns, fields if end_fields is None else end_fields)
        if self._lifecycle.is_due(t_ns) if update is None else update:
            return self._lifecycle.update(t_ns, **fields)
        return None

    def end(self, t_ns: int, fields: Mapping[str, Any] = _NO_FIELDS) -> Event | None:
        """End the event, if one is open."""
        lifecycle, self._lifecycle, self._since_ns = self._lifecycle, None, None
        return None if lifecycle is None else lifecycle.end(t_ns, **fields)

    def flush(self, t_ns: int) -> list[Event]:
        """End the event, if one is open, as a rule's `flush` does."""
        event = self.end(t_ns)
        return [] if event is None else [event]

    def _begin_if_due(self, t_ns: int, fields: Mapping[str, Any], *, holds: bool) -> Event | None:
        if not holds:
            self._since_ns = None
        if self._since_ns is None or t_ns - self._since_ns < self._after_ns:
            return None
        begin_ns = self._since_ns + self._after_ns if self._backdated else t_ns
        self._lifecycle = EventLifecycle.begin(
            self._new_id, self._event_type, self._camera, begin_ns, self._since_ns, **fields
        )
        return self._lifecycle.last_revision
