"""agent.app.health_reporter: two windows for the rates, and every field from its provider."""

from typing import Any

from agent.app.health_reporter import LIVE_REPORT_SAMPLES, HealthReporter
from agent.base.health_model import CameraHealth, DetectorHealth, OutboxHealth, Vitals
from agent.health.rates import CameraCounters, CameraRates, compute_rates
from tests.conftest import ManualClock

S = 1_000_000_000


class Lens:
    """A camera whose counters a test moves."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.captured = 0

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


def fields() -> dict[str, Any]:
    vitals: dict[str, Any] = dict.fromkeys(Vitals.__struct_fields__)
    return {
        "uptime_s": 1.0,
        "version": "1",
        "vitals": Vitals(**vitals),
        "stages": (),
        "footage": (),
        "outbox": OutboxHealth(
            depth=0, bytes=0, oldest_age_s=None, lost=0, connected=True, centre_listening=True
        ),
    }


def test_the_live_report_has_rates_of_the_last_seconds_and_the_centres_of_its_own_span() -> None:
    clock = ManualClock()
    lens = Lens(clock)
    reporter = HealthReporter(clock.boottime_ns, [lens])  # type: ignore[list-item]
    reporter.set_providers(fields, lambda: {"faults": ()})
    for second in range(1, 61):
        clock.advance_s(1)
        lens.captured += 10 if second <= 30 else 2
        live = reporter.live_report()
    assert (live.cameras[0].stream_fps, live.cameras[0].detect_fps) == (2.0, 1.0)
    assert reporter.report_since_last().cameras[0].stream_fps == 6.0
    clock.advance_s(LIVE_REPORT_SAMPLES)
    lens.captured += 20
    assert reporter.report_since_last().cameras[0].stream_fps == 2.0


def test_the_time_of_an_inference_is_the_mean_of_its_span_and_none_without_one() -> None:
    before = CameraCounters(t_ns=0, inferences=10, inference_cpu_ns=S)
    after = CameraCounters(
        t_ns=2 * S, captured=30, detected=20, inferences=14, inference_cpu_ns=S + 40_000_000
    )
    assert compute_rates(after, before) == CameraRates(
        stream_fps=15.0, detect_fps=10.0, inferences_per_s=2.0, inference_ms=10.0
    )
    assert compute_rates(after, after).inference_ms is None
