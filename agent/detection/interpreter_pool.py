"""The interpreters of one model, shared by the cameras that use it.

An interpreter of the default model takes 18 MB. One serves all cameras as long as they seldom wait for it; then the pool
grows, up to the number of cores.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WINDOW_NS = 10_000_000_000
MAX_WAIT_RATIO = 0.1
"""Share of a window for which cameras may wait, all together, before the pool grows."""


class _Ticket:
    """A thread's place in the queue."""

    def __init__(self) -> None:
        self.is_served = threading.Event()
        self.interpreter: Any = None


class InterpreterPool:
    """Lends an interpreter to one thread at a time, in the order of requests: no camera starves. Thread-safe."""

    def __init__(
        self,
        open_interpreter: Callable[[], Any],
        max_size: int = 1,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Open the first interpreter. Raises: what `open_interpreter` raises, here and in `borrowed`."""
        self._open_interpreter = open_interpreter
        self._max_size = max_size
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._free = [open_interpreter()]
        self._size = 1
        self._queue: deque[_Ticket] = deque()
        self._window_begin_ns = clock_ns()
        self._waited_ns = 0

    @property
    def size(self) -> int:
        """Number of interpreters."""
        return self._size

    @property
    def waiting(self) -> int:
        """Number of threads that wait for one."""
        return len(self._queue)

    @contextmanager
    def borrowed(self) -> Iterator[Any]:
        """Lend an interpreter; wait for it if all are in use."""
        interpreter = self._take()
        try:
            yield interpreter
        finally:
            self._give_back(interpreter)

    def _take(self) -> Any:
        with self._lock:
            if self._free:
                return self._free.pop()
            is_growing = self._size < self._max_size and self._has_waited_long()
            if is_growing:
                self._size += 1
            else:
                ticket = _Ticket()
                self._queue.append(ticket)
        if is_growing:
            try:
                return self._open_interpreter()
            except BaseException:
                with self._lock:
                    self._size -= 1
                raise
        began_ns = self._clock_ns()
        ticket.is_served.wait()
        with self._lock:
            self._waited_ns += self._clock_ns() - began_ns
        return ticket.interpreter

    def _give_back(self, interpreter: Any) -> None:
        with self._lock:
            if self._queue:
                ticket = self._queue.popleft()
                ticket.interpreter = interpreter
                ticket.is_served.set()
            else:
                self._free.append(interpreter)

    def _has_waited_long(self) -> bool:
        """Return whether cameras have waited too long in this window. The lock is held."""
        now_ns = self._clock_ns()
        if self._waited_ns > MAX_WAIT_RATIO * WINDOW_NS:
            self._window_begin_ns, self._waited_ns = now_ns, 0
            return True
        if now_ns - self._window_begin_ns >= WINDOW_NS:
            self._window_begin_ns, self._waited_ns = now_ns, 0
        return False
