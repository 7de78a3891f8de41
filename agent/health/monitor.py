"""Health monitor: the machine's vitals, the health stage, the flight recorder and the restart report."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.base.clock import Clock, trusted_utc
from agent.base.health_model import DegradationLevel, HealthReport, MachineHealth
from agent.base.lockout import Lockout
from agent.base.message import Message
from agent.base.model import ClockStep
from agent.faults.registry import FaultRegistry
from agent.health import restart_report
from agent.health.clock_step import ClockStepFault
from agent.health.flight_recorder import FlightRecorder
from agent.health.health_file import LiveHealth
from agent.health.health_stage import AgentRun, HealthStage
from agent.health.machine_faults import BOARD_SUBJECT
from agent.health.stuck_cameras import StuckCameras
from agent.health.update_fault import UpdateFault
from agent.health.vitals.procfs import ProcFs
from agent.reporting.payloads import Restarted

log = logging.getLogger(__name__)

FAULT_SUBJECT = "console"


class LockoutFault:
    """Raises SVC-01 as long as the console accepts no login, and clears it."""

    def __init__(self, state_dir: Path, clock: Clock, boot: str, faults: FaultRegistry) -> None:
        self._lockout = Lockout(state_dir, clock, boot)
        self._faults = faults

    def check(self) -> None:
        """Read the file that the console writes."""
        self._lockout.reload()
        remaining_s = self._lockout.remaining_s()
        if remaining_s > 0:
            detail = Message(
                "{count} wrong answers in a row, {seconds:.0f} s to wait",
                count=self._lockout.failures,
                seconds=remaining_s,
            )
            self._faults.raise_fault("SVC-01", FAULT_SUBJECT, detail)
        else:
            self._faults.clear("SVC-01", FAULT_SUBJECT)


RESTART_FAULT_NS = 3600 * 1_000_000_000
"""An unrequested restart stays a fault for an hour."""


class HealthMonitor:
    """Builds the health stages. Thread-safe."""

    def __init__(
        self,
        run: AgentRun,
        clock: Clock,
        faults: FaultRegistry,
        *,
        read_report: Callable[[MachineHealth], HealthReport],
        level_listeners: Sequence[Callable[[DegradationLevel], None]],
        on_clock_step: Callable[[ClockStep, int], None],
        on_report: Callable[[HealthReport, int], None],
        has_update_feed: bool,
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._run = run
        self._procfs = ProcFs(run.root)
        self._started_ns = clock.boottime_ns()
        self._flight_recorder = FlightRecorder(run.state_dir, clock, run.boot, run.id)
        self._health_stage = HealthStage(
            self._flight_recorder,
            faults,
            clock,
            run=run,
            read_report=read_report,
            level_listeners=level_listeners,
            on_check=self._on_check,
            on_report=on_report,
        )
        self.stages = (self._health_stage, self._flight_recorder)
        self._update_fault = UpdateFault(run.root, faults, has_feed=has_update_feed)
        self._lockout_fault = LockoutFault(run.state_dir, clock, run.boot, faults)
        self._clock_step_fault = ClockStepFault(clock, faults, on_clock_step)

    def live_health(self) -> LiveHealth | None:
        """Return the report of the last check, at most a second ago; None before the first one."""
        return self._health_stage.live

    def report_restart(self, stuck_cameras: StuckCameras) -> Restarted | None:
        """Return the report of the previous run's end, or None if there was no run. Called once.

        `stuck_cameras` knows whether this agent has requested it.
        """
        previous_flight = self._flight_recorder.previous_flight
        if previous_flight is None:
            return None
        reboot_reason = stuck_cameras.previous_reboot_reason(
            previous_flight.last_page.boot, previous_flight.last_page.time
        )
        evidence = restart_report.collect_evidence(
            previous_flight, self._run.boot, self._run.runtime_dir, self._procfs, reboot_reason
        )
        restart = restart_report.build_restart_receipt(previous_flight, evidence)
        log.info("previous run ended: %s (%s)", restart.cause, restart.detail)
        if restart.cause != "requested":
            detail = Message("{problem}: {reason}", problem=restart.cause, reason=restart.detail)
            self._faults.raise_fault("SYS-06", BOARD_SUBJECT, detail)
        return restart

    def _on_check(self, t_ns: int) -> None:
        if t_ns - self._started_ns >= RESTART_FAULT_NS:
            self._faults.clear("SYS-06", BOARD_SUBJECT)
        self._update_fault.check(t_ns, trusted_utc(self._clock, t_ns))
        self._lockout_fault.check()
        self._clock_step_fault.check(t_ns)
