"""Health stage: evaluates the health of the whole box once per second.

The report goes to the degradation policy, to the machine's faults, to the live file that other programs
of the box read, to the flight recorder, and to `on_report`, which sends it to the centre when it is due.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.base.clock import Clock, kernel_offset_s
from agent.base.health_model import (
    ClockHealth,
    Degradation,
    DegradationLevel,
    DiskHealth,
    FlightSample,
    HealthReport,
    MachineHealth,
    Vitals,
)
from agent.faults.registry import FaultRegistry
from agent.health import health_file
from agent.health.degradation import DegradationPolicy, compute_load
from agent.health.flight_recorder import FlightRecorder
from agent.health.health_file import LiveHealth
from agent.health.machine_faults import MachineFaults
from agent.health.vitals.machine import MachineMonitor
from agent.health.vitals.procfs import DEFAULT_ROOT
from agent.runtime.pause import Pause

log = logging.getLogger(__name__)

CHECK_INTERVAL_NS = 1_000_000_000
FILE_INTERVAL_S = 6.0
"""Between two files in which neither a fault nor the level has changed: 4 kB each second are 14 MB an hour on a disk."""
STAGE_LATE_S = 5.0
MS_NS = 1_000_000
MB = 1_000_000
MAX_SAMPLE_FAULTS = 16


class AgentRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the agent. `root` contains `proc` and `sys`."""

    id: str
    boot: str
    state_dir: Path
    root: Path = DEFAULT_ROOT

    @property
    def runtime_dir(self) -> Path:
        """The folder of files that no boot outlives."""
        return health_file.get_runtime_dir(self.state_dir)


class HealthStage:
    """Calls the level listeners at each change of level, and `on_check` and `on_report` at each check."""

    name = "health"

    def __init__(
        self,
        flight_recorder: FlightRecorder,
        faults: FaultRegistry,
        clock: Clock,
        *,
        run: AgentRun,
        read_report: Callable[[MachineHealth], HealthReport],
        level_listeners: Sequence[Callable[[DegradationLevel], None]],
        on_check: Callable[[int], None],
        on_report: Callable[[HealthReport, int], None],
    ) -> None:
        """`on_report` gets the report of each check and its time."""
        self._machine_monitor = MachineMonitor(run.state_dir, run.root)
        self._flight_recorder = flight_recorder
        self._fault_registry = faults
        self._machine_faults = MachineFaults(faults)
        self._clock = clock
        self._folder = run.runtime_dir
        self._boot = run.boot
        self._read_report = read_report
        self._level_listeners = tuple(level_listeners)
        self._on_check = on_check
        self._on_report = on_report
        self._degradation_policy = DegradationPolicy(clock.boottime_ns())
        self._due_ns = clock.boottime_ns()
        self._last_fault_codes: frozenset[str] = frozenset()
        self._has_write_failed = False
        self.live: LiveHealth | None = None
        """The report of the last check, None before the first one. May be read from any thread."""
        self._file_pause = Pause()

    @property
    def disk(self) -> DiskHealth:
        """The disk's health. Thread-safe."""
        return msgspec.structs.replace(
            self._machine_monitor.disk, write_ms=self._flight_recorder.write_ms()
        )

    @property
    def degradation(self) -> Degradation:
        """The degradation level and its reason. Thread-safe."""
        return self._degradation_policy.current

    def machine_health(self) -> MachineHealth:
        """Return the health of the machine, its disk, link and clock, and the degradation level. Thread-safe."""
        trust = self._clock.trust()
        return MachineHealth(
            vitals=self._machine_monitor.vitals,
            disk=self.disk,
            link=self._machine_monitor.link,
            clock=ClockHealth(
                synced=trust.synced,
                source=trust.source,
                error_s=trust.error_s,
                offset_s=kernel_offset_s() if trust.synced else None,
            ),
            degradation=self.degradation,
        )

    def run_once(self, stopping: threading.Event) -> None:
        """Wait until the second is over, then check."""
        now_ns = self._clock.boottime_ns()
        if now_ns < self._due_ns and stopping.wait((self._due_ns - now_ns) / 1e9):
            return
        # Counted from the due time, so that the seconds do not drift; a long halt is skipped.
        self._due_ns = max(self._due_ns + CHECK_INTERVAL_NS, self._clock.boottime_ns())
        self.check()

    def check(self) -> None:
        """Read the machine, build the live report and pass it on."""
        now_ns = self._clock.boottime_ns()
        self._on_check(now_ns)
        vitals = self._machine_monitor.read(now_ns)
        previous = self._degradation_policy.current
        load = compute_load(vitals, self.disk)
        degradation = self._degradation_policy.update(now_ns, load)
        if degradation.level != previous.level:
            reason = degradation.reason or "the load is normal again"
            log.warning("degradation level: %s (%s)", degradation.level, reason)
            for listener in self._level_listeners:
                listener(degradation.level)
        self._machine_faults.update(now_ns, load, self.disk, degradation)
        # Built after the decisions: a reader finds the level, the faults and the readings of one check.
        report = self._read_report(self.machine_health())
        live = self.live = health_file.make_live(report, self._clock, self._boot)
        self._flight_recorder.add_sample(_flight_sample(report, now_ns, degradation.level))
        fault_codes = frozenset(fault.code for fault in self._fault_registry.active())
        if fault_codes != self._last_fault_codes or degradation.level != previous.level:
            self._last_fault_codes = fault_codes
            self._file_pause.end()
            self._flight_recorder.flush_soon()
        if self._file_pause.is_over(now_ns):
            self._file_pause.begin(now_ns, FILE_INTERVAL_S)
            self._write(live)
        self._on_report(report, now_ns)

    def close(self) -> None:
        """Mark the live file as that of a stopped agent, and store the disk's wear record."""
        if self.live is not None:
            stopped = health_file.make_live(self.live.report, self._clock, self._boot)
            self._write(msgspec.structs.replace(stopped, has_stopped=True))
        self._machine_monitor.close()

    def _write(self, live: LiveHealth) -> None:
        try:
            health_file.write(self._folder, live)
        except OSError as error:
            if not self._has_write_failed:
                log.warning("%s: the health file cannot be written: %s", self._folder, error)
            self._has_write_failed = True
            self._file_pause.end()
        else:
            self._has_write_failed = False


def _flight_sample(report: HealthReport, t_ns: int, level: DegradationLevel) -> FlightSample:
    """Return the flight recorder's extract of a report. It is rounded, because noise does not compress.

    Fields that FlightSample shares with Vitals are copied by name.
    """
    vitals = {
        name: _rounded(name, getattr(report.vitals, name))
        for name in FlightSample.__struct_fields__
        if name in Vitals.__struct_fields__
    }
    return FlightSample(
        t_ns=t_ns // MS_NS * MS_NS,
        level=level,
        write_ms=_rounded("write_ms", report.disk and report.disk.write_ms),
        round_trip_ms=_rounded("round_trip_ms", report.link and report.link.round_trip_ms),
        connected=report.outbox.connected,
        outbox_depth=report.outbox.depth,
        stream_fps={camera.name: round(camera.stream_fps, 1) for camera in report.cameras},
        detect_fps={
            camera.name: round(camera.detect_fps, 1)
            for camera in report.cameras
            if camera.detect_fps is not None
        },
        faults=tuple(
            f"{fault.code} {fault.subject}" for fault in report.faults[:MAX_SAMPLE_FAULTS]
        ),
        stalled_stages=tuple(
            stage.name for stage in report.stages if stage.heartbeat_age_s > STAGE_LATE_S
        ),
        **vitals,
    )


def _rounded(field: str, value: Any) -> Any:
    """Round a reading by the unit in its field's name; None and flags stay as they are."""
    if value is None or isinstance(value, bool):
        return value
    if field.endswith("_bytes"):
        return value // MB * MB
    return round(value, 0 if field.endswith("_ms") else 2 if field.endswith("_pressure") else 1)
