"""Reports of health out of what the parts of the box say: one for the centre, one for the box itself."""

import threading
from collections import deque
from collections.abc import Callable

from agent.base.health_model import HealthReport
from agent.reporting.health_report import HealthInputs, assemble

LIVE_SPAN = 10
"""Rates of the live report are over so many looks, a second each."""


class HealthReporter:
    """`parts` gives how the parts are now. Any thread may ask."""

    def __init__(self, parts: Callable[[], HealthInputs]) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        first = parts()
        self._sent = first
        self._recent: deque[HealthInputs] = deque([first], maxlen=LIVE_SPAN)

    def report_since_last(self) -> HealthReport:
        """How the box is now; rates are over the time since the last call."""
        parts = self._parts()
        with self._lock:
            before, self._sent = self._sent, parts
        return assemble(parts, before)

    def live_report(self) -> HealthReport:
        """How the box is now; rates are over the last seconds. Called once a second."""
        parts = self._parts()
        with self._lock:
            before = self._recent[0]
            self._recent.append(parts)
        return assemble(parts, before)
