"""The queue of edges from the thread of the pin library to the reader."""

import threading
from collections import deque

from drivers.contracts import GpioEdge

MAX_EDGES = 1024


class EdgeQueue:
    """At most MAX_EDGES wait; beyond them the oldest are dropped, and counted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._edges: deque[GpioEdge] = deque(maxlen=MAX_EDGES)
        self._is_woken = False
        self.dropped = 0

    def put(self, edge: GpioEdge) -> None:
        """Add an edge. Never blocks for longer than a reader takes one out."""
        with self._changed:
            self.dropped += len(self._edges) == MAX_EDGES
            self._edges.append(edge)
            self._changed.notify()

    def get(self, timeout_s: float) -> GpioEdge | None:
        """Return the oldest edge, or None if none came within `timeout_s`, or at `wake`."""
        with self._changed:
            self._changed.wait_for(lambda: self._edges or self._is_woken, timeout_s)
            self._is_woken = False
            return self._edges.popleft() if self._edges else None

    def wake(self) -> None:
        """End a wait in `get`, or the next one."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()
