"""Edges on their way from the thread in which a pin tells them to the one that reads them."""

import threading
from collections import deque

from drivers.contracts import GpioEdge

MAX_EDGES = 1024


class EdgeQueue:
    """At most MOST_EDGES wait; beyond them the oldest are dropped, and counted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._edges: deque[GpioEdge] = deque(maxlen=MAX_EDGES)
        self._is_woken = False
        self.dropped = 0

    def put(self, edge: GpioEdge) -> None:
        """Never blocks for longer than a reader takes to take one."""
        with self._changed:
            self.dropped += len(self._edges) == MAX_EDGES
            self._edges.append(edge)
            self._changed.notify()

    def get(self, timeout_s: float) -> GpioEdge | None:
        """The oldest edge, None where none came within `timeout_s` seconds, or at `wake`."""
        with self._changed:
            self._changed.wait_for(lambda: self._edges or self._is_woken, timeout_s)
            self._is_woken = False
            return self._edges.popleft() if self._edges else None

    def wake(self) -> None:
        """End a wait in `get`, or the next one."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()
