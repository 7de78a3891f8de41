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
    media: int
    last_ns: int | None
    reopened: int
    frames_replaced: int
    packets_dropped: int
    last_error: str | None
    watched: bool
    model: str | None
    passes: int
    pass_cpu_ns: int
    tracks: int
    readings: CameraReadings | None = None
    fps_wanted: float | None = None


class HealthInputs(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report is made of, as it stands at `t_ns`."""

    t_ns: int
    began_ns: int
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


def assemble(parts: HealthInputs, before: HealthInputs) -> HealthReport:
    """The report of `parts`; rates are over the span since `before`, of the same cameras."""
    span_s = max((parts.t_ns - before.t_ns) / 1e9, 1e-3)
    pairs = list(zip(parts.cameras, before.cameras, strict=True))
    return HealthReport(
        uptime_s=(parts.t_ns - parts.began_ns) / 1e9,
        version=parts.version,
        vitals=parts.vitals,
        stages=parts.stages,
        cameras=tuple(_camera(now, then, parts.t_ns, span_s) for now, then in pairs),
        detectors=_detectors(pairs, span_s),
        footage=parts.footage,
        outbox=parts.outbox,
        faults=parts.faults,
        commands=parts.commands,
        pins=parts.pins,
        heads=parts.heads,
        disk=parts.disk,
        clock=parts.clock,
        link=parts.link,
        degradation=parts.degradation,
    )


def _camera(now: CameraCounts, then: CameraCounts, t_ns: int, span_s: float) -> CameraHealth:
    return CameraHealth(
        name=now.name,
        open=now.open,
        fps=round((now.media - then.media) / span_s, 2),
        age_s=None if now.last_ns is None else max(0.0, (t_ns - now.last_ns) / 1e9),
        reopened=now.reopened,
        frames_replaced=now.frames_replaced,
        packets_dropped=now.packets_dropped,
        last_error=now.last_error,
        readings=now.readings,
        fps_wanted=now.fps_wanted,
    )


def _detectors(
    pairs: Sequence[tuple[CameraCounts, CameraCounts]], span_s: float
) -> tuple[DetectorHealth, ...]:
    found: list[DetectorHealth] = []
    for now, then in pairs:
        if not now.watched:
            continue
        passes = now.passes - then.passes
        cpu_ns = now.pass_cpu_ns - then.pass_cpu_ns
        found.append(
            DetectorHealth(
                camera=now.name,
                model=now.model,
                passes_per_s=round(passes / span_s, 2),
                pass_ms=round(cpu_ns / passes / 1e6, 3) if passes else None,
                tracks=now.tracks,
            )
        )
    return tuple(found)
