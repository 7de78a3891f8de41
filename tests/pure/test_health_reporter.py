"""agent.app.health: reports with two windows for the rates."""

from typing import Any

from agent.app.health import HealthReporter, HealthSources
from agent.base.health_model import (
    CameraHealth,
    ClockHealth,
    CommandHealth,
    Degradation,
    DetectorHealth,
    DiskHealth,
    LinkHealth,
    LiveHealth,
    MachineHealth,
    OutboxHealth,
    Vitals,
)
from agent.health.rates import CameraCounters, CameraRates, compute_rates
from tests.conftest import ManualClock

S = 1_000_000_000


class Lens:
    """A camera whose counters a test moves."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.captured = 0
        self.record_stage = None

    def counters(self) -> CameraCounters:
        return CameraCounters(
            t_ns=self._clock.now_ns, captured=self.captured, detected=self.captured // 2
        )

    def camera_health(self, rates: CameraRates) -> CameraHealth:
        camera: dict[str, Any] = dict.fromkeys(CameraHealth.__struct_fields__)
        return CameraHealth(
            **camera
            | {
                "name": "north",
                "stream_fps": rates.stream_fps,
                "detect_fps": rates.detect_fps,
            }
        )

    def detector_health(self, rates: CameraRates) -> DetectorHealth | None:
        return None


def sources() -> HealthSources:
    """Sources of a box with nothing but a camera."""
    outbox = OutboxHealth(
        depth=0, bytes=0, oldest_age_s=None, lost=0, connected=True, centre_listening=True
    )
    return HealthSources(
        stages=tuple,
        faults=tuple,
        outbox=lambda: outbox,
        round_trip_ms=lambda: 12.5,
        commands=lambda: CommandHealth(waiting=0, running=0, done=0, refused=0, dropped=0),
        control=lambda: None,
        heads=tuple,
        pins=lambda: None,
        live=lambda: LiveHealth(looks=0, pictures_sent=0, pictures_skipped=0, packets_dropped=0),
    )


def machine() -> MachineHealth:
    vitals: dict[str, Any] = dict.fromkeys(Vitals.__struct_fields__)
    return MachineHealth(
        vitals=Vitals(**vitals),
        disk=DiskHealth(),
        link=LinkHealth(adapter="eth0"),
        clock=ClockHealth(synced=False, source="none", error_s=None, offset_s=None),
        degradation=Degradation(level="full", reason="", since_ns=0),
    )


def test_a_report_has_rates_of_the_last_seconds() -> None:
    clock = ManualClock()
    lens = Lens(clock)
    reporter = HealthReporter(clock, [lens], sources())  # type: ignore[list-item]
    for second in range(1, 61):
        clock.advance_s(1)
        lens.captured += 10 if second <= 30 else 2
        report = reporter.report(machine())
    assert report.link == LinkHealth(adapter="eth0", round_trip_ms=12.5)
    assert (report.cameras[0].stream_fps, report.cameras[0].detect_fps) == (2.0, 1.0)


def test_the_time_of_an_inference_is_the_mean_of_its_span_and_none_without_one() -> None:
    before = CameraCounters(t_ns=0, inferences=10, inference_cpu_ns=S)
    after = CameraCounters(
        t_ns=2 * S, captured=30, detected=20, inferences=14, inference_cpu_ns=S + 40_000_000
    )
    assert compute_rates(after, before) == CameraRates(
        stream_fps=15.0, detect_fps=10.0, inferences_per_s=2.0, inference_ms=10.0
    )
    assert compute_rates(after, after).inference_ms is None
