"""How the box is: counters that only grow become rates, and all parts one report."""

from collections.abc import Sequence

import msgspec

from agent.base.health_model import (
    CameraHealth,
    ClockHealth,
    CommandHealth,
    Degradation,
    DetectorHealth,
    DiskHealth,
    Fault,
    FootageHealth,
    HeadHealth,
    HealthReport,
    LinkHealth,
    OutboxHealth,
    PinHealth,
    StageHealth,
    Vitals,
)
from drivers.contracts import CameraReadings


class CameraCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What one camera has given, and its detector has done, since the agent began.

    `media` counts what its frame rate is told by: frames, or packets where none are wanted.
    `model` is None where nothing is detected, and the detector's numbers are then 0.
    """

    name: str
    open: bool
    media_count: int
    last_ns: int | None
    reconnects: int
    frames_replaced: int
    packets_dropped: int
    last_error: str | None
    is_detecting: bool
    model: str | None
    inferences: int
    inference_cpu_ns: int
    tracks: int
    readings: CameraReadings | None = None
    target_fps: float | None = None


class HealthInputs(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report is made of, as it stands at `t_ns`."""

    t_ns: int
    started_ns: int
    version: str
    vitals: Vitals
    stages: tuple[StageHealth, ...]
    cameras: tuple[CameraCounts, ...]
    footage: tuple[FootageHealth, ...]
    outbox: OutboxHealth
    faults: tuple[Fault, ...]
    commands: CommandHealth | None = None
    pins: PinHealth | None = None
    heads: tuple[HeadHealth, ...] = ()
    disk: DiskHealth | None = None
    clock: ClockHealth | None = None
    link: LinkHealth | None = None
    degradation: Degradation | None = None


def build_report(inputs: HealthInputs, previous_inputs: HealthInputs) -> HealthReport:
    """The report of `parts`; rates are over the span since `before`, of the same cameras."""
    span_s = max((inputs.t_ns - previous_inputs.t_ns) / 1e9, 1e-3)
    pairs = list(zip(inputs.cameras, previous_inputs.cameras, strict=True))
    return HealthReport(
        uptime_s=(inputs.t_ns - inputs.started_ns) / 1e9,
        version=inputs.version,
        vitals=inputs.vitals,
        stages=inputs.stages,
        cameras=tuple(
            _camera_health(current, previous, inputs.t_ns, span_s) for current, previous in pairs
        ),
        detectors=_detector_health(pairs, span_s),
        footage=inputs.footage,
        outbox=inputs.outbox,
        faults=inputs.faults,
        commands=inputs.commands,
        pins=inputs.pins,
        heads=inputs.heads,
        disk=inputs.disk,
        clock=inputs.clock,
        link=inputs.link,
        degradation=inputs.degradation,
    )


def _camera_health(
    current: CameraCounts, previous: CameraCounts, t_ns: int, span_s: float
) -> CameraHealth:
    return CameraHealth(
        name=current.name,
        open=current.open,
        fps=round((current.media_count - previous.media_count) / span_s, 2),
        age_s=None if current.last_ns is None else max(0.0, (t_ns - current.last_ns) / 1e9),
        reconnects=current.reconnects,
        frames_replaced=current.frames_replaced,
        packets_dropped=current.packets_dropped,
        last_error=current.last_error,
        readings=current.readings,
        target_fps=current.target_fps,
    )


def _detector_health(
    pairs: Sequence[tuple[CameraCounts, CameraCounts]], span_s: float
) -> tuple[DetectorHealth, ...]:
    found: list[DetectorHealth] = []
    for current, previous in pairs:
        if not current.is_detecting:
            continue
        inferences = current.inferences - previous.inferences
        cpu_ns = current.inference_cpu_ns - previous.inference_cpu_ns
        found.append(
            DetectorHealth(
                camera=current.name,
                model=current.model,
                inferences_per_s=round(inferences / span_s, 2),
                inference_ms=round(cpu_ns / inferences / 1e6, 3) if inferences else None,
                tracks=current.tracks,
            )
        )
    return tuple(found)
