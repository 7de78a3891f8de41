"""Health reports: one for the centre, one for programs of the box, both from the same providers."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from agent.app.camera_pipeline import CameraPipeline
from agent.base.health_model import HealthReport
from agent.health.rates import CameraCounters, compute_rates

LIVE_REPORT_SAMPLES = 10
"""The live report's rates are means over this many calls, one per second."""

HealthProvider = Callable[[], dict[str, Any]]
"""Returns fields of `HealthReport` by name. Called at each report, from any thread."""


class HealthReporter:
    """Assembles the fields of the providers and the rates of the cameras. Thread-safe.

    Each field but `cameras` and `detectors` comes from one provider; `HealthReport` declares them.
    """

    def __init__(self, clock_ns: Callable[[], int], pipelines: Sequence[CameraPipeline]) -> None:
        self._clock_ns = clock_ns
        self._pipelines = tuple(pipelines)
        self._providers: tuple[HealthProvider, ...] = ()
        self._lock = threading.Lock()
        first = tuple(CameraCounters(t_ns=clock_ns()) for _ in self._pipelines)
        self._last_reported = first
        self._recent = deque([first], maxlen=LIVE_REPORT_SAMPLES)

    def set_providers(self, *providers: HealthProvider) -> None:
        """Called once, before the first report."""
        self._providers = providers

    def report_since_last(self) -> HealthReport:
        """Return the box's health; rates are means since the last call."""
        counters = self._read_counters()
        with self._lock:
            previous, self._last_reported = self._last_reported, counters
        return self._build(counters, previous)

    def live_report(self) -> HealthReport:
        """Return the box's health; rates are means of the last seconds. Called once per second."""
        counters = self._read_counters()
        with self._lock:
            previous = self._recent[0]
            self._recent.append(counters)
        return self._build(counters, previous)

    def _read_counters(self) -> tuple[CameraCounters, ...]:
        return tuple(pipeline.counters() for pipeline in self._pipelines)

    def _build(
        self, counters: Sequence[CameraCounters], previous: Sequence[CameraCounters]
    ) -> HealthReport:
        rates = [compute_rates(*pair) for pair in zip(counters, previous, strict=True)]
        pairs = list(zip(self._pipelines, rates, strict=True))
        detectors = (pipeline.detector_health(rate) for pipeline, rate in pairs)
        fields: dict[str, Any] = {}
        for read_fields in self._providers:
            fields |= read_fields()
        return HealthReport(
            cameras=tuple(pipeline.camera_health(rate) for pipeline, rate in pairs),
            detectors=tuple(health for health in detectors if health is not None),
            **fields,
        )
