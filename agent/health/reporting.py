"""Reports of health out of what the parts of the box say: one for the centre, one for the box itself."""

import threading
from collections import deque
from collections.abc import Callable

from agent.base.health_model import HealthReport
from agent.reporting.health_report import HealthInputs, build_report

LIVE_REPORT_SAMPLES = 10
"""Rates of the live report are over so many looks, a second each."""


class HealthReporter:
    """`parts` gives how the parts are now. Any thread may ask."""

    def __init__(self, read_inputs: Callable[[], HealthInputs]) -> None:
        self._read_inputs = read_inputs
        self._lock = threading.Lock()
        first_inputs = read_inputs()
        self._last_reported = first_inputs
        self._recent: deque[HealthInputs] = deque([first_inputs], maxlen=LIVE_REPORT_SAMPLES)

    def report_since_last(self) -> HealthReport:
        """How the box is now; rates are over the time since the last call."""
        inputs = self._read_inputs()
        with self._lock:
            previous, self._last_reported = self._last_reported, inputs
        return build_report(inputs, previous)

    def live_report(self) -> HealthReport:
        """How the box is now; rates are over the last seconds. Called once a second."""
        inputs = self._read_inputs()
        with self._lock:
            previous = self._recent[0]
            self._recent.append(inputs)
        return build_report(inputs, previous)
