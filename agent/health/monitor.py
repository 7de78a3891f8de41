"""The wiring of the box's own condition: the machine, its pulse, its flight recorder, how it came to start."""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.base.clock import Clock, kernel_offset_s
from agent.base.health_model import (
    ClockHealth,
    Degradation,
    DiskHealth,
    HealthReport,
    Level,
    LinkHealth,
    Vitals,
)
from agent.faults.registry import FaultRegistry
from agent.health import restart_report
from agent.health.flight_recorder import FlightRecorder
from agent.health.health_file import runtime_folder
from agent.health.health_stage import HealthStage
from agent.health.machine_faults import BOARD
from agent.health.stuck_cameras import StuckCameras
from agent.health.update_fault import UpdateFault
from agent.health.vitals.machine import MachineMonitor
from agent.health.vitals.procfs import ROOT, ProcFs
from agent.reporting.payloads import Restarted

log = logging.getLogger(__name__)

RESTART_TOLD_NS = 3600 * 1_000_000_000
"""A restart that nobody asked for stays a fault for so long."""


class HealthMonitor:
    """How the machine is, and what follows from it.

    `run` names this run of the agent. `root` is where `proc` and `sys` are looked for.
    """

    def __init__(
        self,
        state: Path,
        clock: Clock,
        faults: FaultRegistry,
        *,
        boot: str,
        run: str,
        report: Callable[[], HealthReport],
        on_level: Callable[[Level], None],
        root: Path = ROOT,
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._boot = boot
        self._tree = ProcFs(root)
        self._began_ns = clock.boottime_ns()
        self._runtime = runtime_folder(state)
        self._machine = MachineMonitor(state, root)
        self._flight = FlightRecorder(state, clock, boot, run)
        self._pulse = HealthStage(
            self._machine,
            self._flight,
            faults,
            clock,
            folder=self._runtime,
            boot=boot,
            report=report,
            on_level=on_level,
            on_look=self._on_look,
        )
        self.stages = (self._pulse, self._flight)
        self._update_watch = UpdateFault(root, faults)
        self.stuck_cameras = StuckCameras(state, self._runtime, clock, boot)

    @property
    def vitals(self) -> Vitals:
        """Of the last second."""
        return self._machine.vitals

    @property
    def disk(self) -> DiskHealth:
        """The disk, and how long it takes for a write."""
        return msgspec.structs.replace(self._machine.disk, write_ms=self._flight.write_ms())

    @property
    def degradation(self) -> Degradation:
        """How much the box does."""
        return self._pulse.degradation

    def link(self, round_trip_ms: float | None) -> LinkHealth:
        """The way to the broker, with what a message takes there and back."""
        return msgspec.structs.replace(self._machine.link, round_trip_ms=round_trip_ms)

    def clock(self) -> ClockHealth:
        """Who sets the clock, and how well."""
        trust = self._clock.trust()
        return ClockHealth(
            synced=trust.synced,
            source=trust.source,
            error_s=trust.error_s,
            offset_s=kernel_offset_s() if trust.synced else None,
        )

    def restarted(self) -> Restarted | None:
        """What is to be told of the run before, None where there was none. Asked once, at the start."""
        before = self._flight.before
        if before is None:
            return None
        asked = self.stuck_cameras.reboot_before(before.last.boot, before.last.time)
        evidence = restart_report.collect_evidence(
            before, self._boot, self._runtime, self._tree, asked
        )
        told = restart_report.restarted(before, evidence)
        log.info("the run before: %s (%s)", told.cause, told.detail)
        if told.cause != "asked":
            self._faults.raise_fault("SYS-06", BOARD, f"{told.cause}: {told.detail}")
        return told

    def _on_look(self, t_ns: int) -> None:
        if t_ns - self._began_ns >= RESTART_TOLD_NS:
            self._faults.clear("SYS-06", BOARD)
        self._update_watch.check(t_ns)
