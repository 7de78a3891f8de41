"""A fault of the picture that has to last before it is told, and to be over before it ends."""

from agent.base.model import Event, EventKind
from agent.detection.rules.event_lifecycle import EventLifecycle, NewId
from agent.detection.rules.road_users import NS_PER_S


class DebouncedFault:
    """Begins when a fault has held for `after_s`, ends when it has been gone for `clear_s`."""

    def __init__(
        self, kind: EventKind, camera: str, new_id: NewId, after_s: float, clear_s: float
    ) -> None:
        self._kind = kind
        self._camera = camera
        self._new_id = new_id
        self._after_ns = round(after_s * NS_PER_S)
        self._clear_ns = round(clear_s * NS_PER_S)
        self._since_ns: int | None = None
        self._last_held_ns = 0
        self._lifecycle: EventLifecycle | None = None

    @property
    def is_open(self) -> bool:
        """Whether the event has begun and not ended."""
        return self._lifecycle is not None

    def step(self, t_ns: int, since_ns: int | None) -> list[Event]:
        """Take whether the fault holds now: since when, or None where it does not."""
        if since_ns is not None:
            self._last_held_ns = t_ns
            if self._since_ns is None:
                self._since_ns = since_ns
        if self._lifecycle is None:
            return self._begin_if_due(t_ns, since_ns)
        if since_ns is None and t_ns - self._last_held_ns >= self._clear_ns:
            return self._end(self._last_held_ns)
        return [self._lifecycle.update(t_ns)] if self._lifecycle.is_due(t_ns) else []

    def flush(self, t_ns: int) -> list[Event]:
        """End what is open."""
        return self._end(t_ns) if self._lifecycle is not None else []

    def _begin_if_due(self, t_ns: int, since_ns: int | None) -> list[Event]:
        if since_ns is None:
            self._since_ns = None
        if self._since_ns is None or t_ns - self._since_ns < self._after_ns:
            return []
        self._lifecycle = EventLifecycle.begin(
            self._new_id, self._kind, self._camera, t_ns, self._since_ns
        )
        return [self._lifecycle.last_revision]

    def _end(self, t_ns: int) -> list[Event]:
        lifecycle, self._lifecycle, self._since_ns = self._lifecycle, None, None
        return [] if lifecycle is None else [lifecycle.end(t_ns)]
