"""A thread for what cannot wait: the stops of one head."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

TURN_S = 1.0
WAITING_MOST = 16
T = TypeVar("T")


class PriorityWorker(Generic[T]):
    """A stage that does what it is given, one after the other, and nothing else: so it waits for
    nobody but its own device. Beyond WAITING_MOST it takes no more; what would be added is what
    waits already.
    """

    def __init__(self, name: str, do: Callable[[T], None]) -> None:
        self.name = name
        self._do = do
        self._changed = threading.Condition()
        self._waiting: deque[T] = deque()

    def put(self, item: T) -> bool:
        """Give it something; never blocks. False where there is no room."""
        with self._changed:
            if len(self._waiting) >= WAITING_MOST:
                return False
            self._waiting.append(item)
            self._changed.notify()
            return True

    def run_once(self, stopping: threading.Event) -> None:
        """Do one thing, or wait a second for one."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, TURN_S):
                return
            item = self._waiting.popleft()
        self._do(item)

    def close(self) -> None:
        """Do what still waits: a stop is due to the last."""
        while self._waiting:
            self._do(self._waiting.popleft())
