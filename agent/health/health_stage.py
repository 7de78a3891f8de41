"""The pulse: once a second the box is looked at as a whole, and what it finds is kept and acted upon.

What it does has four ends: the ladder, which says how much the box may do; the machine's faults; the
file that other programs of the box read; the flight recorder.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from agent.base.clock import Clock
from agent.base.health_model import Degradation, FlightSample, HealthReport, Level
from agent.faults.registry import FaultRegistry
from agent.health import health_file
from agent.health.degradation import DegradationPolicy
from agent.health.flight_recorder import FlightRecorder
from agent.health.machine_faults import MachineFaults
from agent.health.strain import strain
from agent.health.vitals.machine import MachineMonitor

log = logging.getLogger(__name__)

PULSE_NS = 1_000_000_000
LATE_S = 5.0
MS_NS = 1_000_000
MB = 1_000_000
FAULTS_MOST = 16


class HealthStage:
    """The stage. `report` gives how the box is now, `on_level` is told how much it may do, and
    `on_look` the time of each look.
    """

    name = "health"

    def __init__(
        self,
        machine: MachineMonitor,
        flight: FlightRecorder,
        faults: FaultRegistry,
        clock: Clock,
        *,
        folder: Path,
        boot: str,
        report: Callable[[], HealthReport],
        on_level: Callable[[Level], None],
        on_look: Callable[[int], None],
    ) -> None:
        self._machine = machine
        self._flight = flight
        self._board = faults
        self._faults = MachineFaults(faults)
        self._clock = clock
        self._folder = folder
        self._boot = boot
        self._report = report
        self._on_level = on_level
        self._on_look = on_look
        self._ladder = DegradationPolicy(clock.boottime_ns())
        self._due_ns = clock.boottime_ns()
        self._codes: frozenset[str] = frozenset()
        self._unwritten = False

    @property
    def degradation(self) -> Degradation:
        """How much the box does, and why. Any thread may ask."""
        return self._ladder.now

    def run_once(self, stopping: threading.Event) -> None:
        """Wait until the second is over, and look."""
        now_ns = self._clock.boottime_ns()
        if now_ns < self._due_ns and stopping.wait((self._due_ns - now_ns) / 1e9):
            return
        # From the time that it was due, so that the seconds do not drift; a long halt is left out.
        self._due_ns = max(self._due_ns + PULSE_NS, self._clock.boottime_ns())
        self.check()

    def check(self) -> None:
        """One look, now."""
        now_ns = self._clock.boottime_ns()
        self._on_look(now_ns)
        vitals = self._machine.read(now_ns)
        before = self._ladder.now
        report = self._report()
        disk = report.disk or self._machine.disk
        strained = strain(vitals, disk)
        degradation = self._ladder.update(now_ns, strained)
        if degradation.level != before.level:
            log.warning("does from now on: %s (%s)", degradation.level, degradation.why or "calm")
            self._on_level(degradation.level)
        self._faults.look(now_ns, strained, disk, report.cameras, degradation)
        self._write(report)
        self._flight.put(_sample(report, now_ns, degradation.level))
        codes = frozenset(fault.code for fault in self._board.active())
        if codes != self._codes or degradation.level != before.level:
            self._codes = codes
            self._flight.flush_soon()

    def close(self) -> None:
        """Keep what was counted."""
        self._machine.close()

    def _write(self, report: HealthReport) -> None:
        try:
            health_file.write(self._folder, report, self._clock, self._boot)
        except OSError as error:
            if not self._unwritten:
                log.warning("%s: health cannot be written: %s", self._folder, error)
            self._unwritten = True
        else:
            self._unwritten = False


def _sample(report: HealthReport, t_ns: int, level: Level) -> FlightSample:
    """What the flight recorder keeps of a report. It is coarser, because noise cannot be compressed."""
    vitals = report.vitals
    return FlightSample(
        t_ns=t_ns // MS_NS * MS_NS,
        level=level,
        soc_celsius=_rounded(vitals.soc_celsius, 1),
        under_voltage=vitals.under_voltage,
        throttled=vitals.throttled,
        load_1min=_rounded(vitals.load_1min, 1),
        memory_available_bytes=_megabytes(vitals.memory_available_bytes),
        agent_rss_bytes=_megabytes(vitals.agent_rss_bytes),
        memory_pressure=_rounded(vitals.memory_pressure, 2),
        disk_pressure=_rounded(vitals.disk_pressure, 2),
        disk_free_bytes=_megabytes(vitals.disk_free_bytes),
        write_ms=None if report.disk is None else _rounded(report.disk.write_ms, 0),
        round_trip_ms=None if report.link is None else _rounded(report.link.round_trip_ms, 0),
        connected=report.outbox.connected,
        outbox_depth=report.outbox.depth,
        fps={camera.name: round(camera.fps, 1) for camera in report.cameras},
        faults=tuple(f"{fault.code} {fault.subject}" for fault in report.faults[:FAULTS_MOST]),
        late=tuple(stage.name for stage in report.stages if stage.beat_age_s > LATE_S),
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _megabytes(value: int | None) -> int | None:
    return None if value is None else value // MB * MB
