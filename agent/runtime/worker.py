"""A stage that handles items one after the other in a thread of its own."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from agent.runtime.stage import IDLE_WAIT_S

T = TypeVar("T")


class Worker(Generic[T]):
    """Waits for nothing but its own items. At most `max_queued` of them wait; more are refused.

    With `drops_at_close` those that wait at the stop are dropped: each takes longer than a stop may.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[T], None],
        max_queued: int,
        *,
        drops_at_close: bool = False,
    ) -> None:
        self.name = name
        self._handle = handle
        self._max_queued = max_queued
        self._drops_at_close = drops_at_close
        self._changed = threading.Condition()
        self._queue: deque[T] = deque()

    def put(self, item: T) -> bool:
        """Queue an item, or return False if the queue is full. Thread-safe; never blocks."""
        with self._changed:
            if len(self._queue) >= self._max_queued:
                return False
            self._queue.append(item)
            self._changed.notify()
            return True

    def run_once(self, stopping: threading.Event) -> None:
        """Handle one item, or return after waiting for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or stopping.is_set(), IDLE_WAIT_S)
            if not self._queue:
                return
            item = self._queue.popleft()
        self._handle(item)

    def wake(self) -> None:
        """End the wait of `run_once` if it is to stop. Thread-safe; never blocks."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Handle the items that still wait, unless they are dropped: a stop of a head must not be lost."""
        while self._queue and not self._drops_at_close:
            self._handle(self._queue.popleft())
