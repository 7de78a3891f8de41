"""A thread for what cannot wait: the stops of one head."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

POLL_TIMEOUT_S = 1.0
MAX_QUEUED = 16
T = TypeVar("T")


class PriorityWorker(Generic[T]):
    """A stage that does what it is given, one after the other, and nothing else: so it waits for
    nobody but its own device. Beyond WAITING_MOST it takes no more; what would be added is what
    waits already.
    """

    def __init__(self, name: str, handle: Callable[[T], None]) -> None:
        self.name = name
        self._handle = handle
        self._changed = threading.Condition()
        self._queue: deque[T] = deque()

    def put(self, item: T) -> bool:
        """Give it something; never blocks. False where there is no room."""
        with self._changed:
            if len(self._queue) >= MAX_QUEUED:
                return False
            self._queue.append(item)
            self._changed.notify()
            return True

    def run_once(self, stopping: threading.Event) -> None:
        """Do one thing, or wait a second for one."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._queue, POLL_TIMEOUT_S):
                return
            item = self._queue.popleft()
        self._handle(item)

    def close(self) -> None:
        """Do what still waits: a stop is due to the last."""
        while self._queue:
            self._handle(self._queue.popleft())
