"""Rates of a camera and its detector, from counters that only grow. Pure."""

import msgspec


class CameraCounters(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one camera at `t_ns`, since the agent started.

    `captured` counts the frames of the recorded stream, or those decoded for detection if nothing is
    recorded; `detected` those that detection has processed with a model.
    """

    t_ns: int
    captured: int = 0
    detected: int = 0
    inferences: int = 0
    inference_cpu_ns: int = 0


class CameraRates(msgspec.Struct, frozen=True, kw_only=True):
    """Rates between two readings of the counters. `inference_ms` is None without an inference."""

    stream_fps: float
    detect_fps: float
    inferences_per_s: float
    inference_ms: float | None


def compute_rates(current: CameraCounters, previous: CameraCounters) -> CameraRates:
    """Return the mean rates from `previous` to `current`."""
    span_s = max((current.t_ns - previous.t_ns) / 1e9, 1e-3)
    inferences = current.inferences - previous.inferences
    cpu_ns = current.inference_cpu_ns - previous.inference_cpu_ns
    return CameraRates(
        stream_fps=round((current.captured - previous.captured) / span_s, 2),
        detect_fps=round((current.detected - previous.detected) / span_s, 2),
        inferences_per_s=round(inferences / span_s, 2),
        inference_ms=round(cpu_ns / inferences / 1e6, 3) if inferences else None,
    )
