"""Limit of the answers that a broker could provoke without end: to refused, repeated and stale commands, and to stops.

Each answer is written to the disk and kept until a centre has it. A flood must not wear out a card or fill the outbox,
whose replies are never shed.
"""

import threading
from collections.abc import Callable

INTERVAL_S = 60.0
MAX_ANSWERS = 60
"""In an interval, to commands that are not carried out. A person with a wrong certificate sends a few."""
MAX_STOP_ANSWERS = 240
"""In an interval, to stops, which are carried out however often they come."""


class AnswerLimit:
    """Allows the first `max_answers` of each interval. Thread-safe."""

    def __init__(self, clock_ns: Callable[[], int], max_answers: int) -> None:
        self._clock_ns = clock_ns
        self._max_answers = max_answers
        self._lock = threading.Lock()
        self._begin_ns = clock_ns()
        self._count = 0

    def allow(self) -> bool:
        """Count one more, and return whether it is answered."""
        with self._lock:
            now_ns = self._clock_ns()
            if now_ns - self._begin_ns >= INTERVAL_S * 1e9:
                self._begin_ns, self._count = now_ns, 0
            self._count += 1
            return self._count <= self._max_answers
