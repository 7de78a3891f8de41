"""Health of the box: the reports for the centre and for programs of the box, and the stages that check it."""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from agent import __version__
from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.app.foundation import Uplink
from agent.base.clock import Clock
from agent.base.health_model import (
    CommandHealth,
    ControlHealth,
    DegradationLevel,
    Fault,
    HeadHealth,
    HealthReport,
    LiveHealth,
    MachineHealth,
    OutboxHealth,
    PinHealth,
    StageHealth,
)
from agent.config.configuration import Config
from agent.health.camera_watchdog import CameraWatchdog
from agent.health.health_file import get_runtime_dir
from agent.health.health_stage import AgentRun
from agent.health.monitor import HealthMonitor
from agent.health.rates import CameraCounters, compute_rates
from agent.health.report_schedule import ReportSchedule
from agent.health.stuck_cameras import StuckCameras
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.reporting import outgoing_messages
from agent.reporting.payloads import Restarted
from agent.runtime.pause import Pause
from agent.runtime.supervisor import Order

RATE_SAMPLES = 10
"""Rates are means over this many reports, one per second."""
RESUBMIT_INTERVAL_S = 30.0


class HealthSources(msgspec.Struct, frozen=True, kw_only=True):
    """The source of each field of `HealthReport` of that name. Called at each report.

    The cameras and the machine have their own.
    """

    stages: Callable[[], tuple[StageHealth, ...]]
    faults: Callable[[], tuple[Fault, ...]]
    outbox: Callable[[], OutboxHealth]
    round_trip_ms: Callable[[], float | None]
    commands: Callable[[], CommandHealth]
    control: Callable[[], ControlHealth | None]
    heads: Callable[[], tuple[HeadHealth, ...]]
    pins: Callable[[], PinHealth | None]
    live: Callable[[], LiveHealth]


class HealthReporter:
    """Builds the reports, with the rates of the cameras. Used by the health stage's thread."""

    def __init__(
        self, clock: Clock, pipelines: Sequence[CameraPipeline], sources: HealthSources
    ) -> None:
        self._clock = clock
        self._started_ns = clock.boottime_ns()
        self._pipelines = tuple(pipelines)
        self._sources = sources
        first = tuple(CameraCounters(t_ns=clock.boottime_ns()) for _ in self._pipelines)
        self._recent = deque([first], maxlen=RATE_SAMPLES)

    def report(self, machine: MachineHealth) -> HealthReport:
        """Return the box's health; rates are means of the last seconds. Called once per second."""
        counters = tuple(pipeline.counters() for pipeline in self._pipelines)
        previous = self._recent[0]
        self._recent.append(counters)
        rates = [compute_rates(*pair) for pair in zip(counters, previous, strict=True)]
        pairs = list(zip(self._pipelines, rates, strict=True))
        detectors = (pipeline.detector_health(rate) for pipeline, rate in pairs)
        sources = self._sources
        return HealthReport(
            uptime_s=(self._clock.boottime_ns() - self._started_ns) / 1e9,
            version=__version__,
            vitals=machine.vitals,
            stages=sources.stages(),
            cameras=tuple(pipeline.camera_health(rate) for pipeline, rate in pairs),
            detectors=tuple(health for health in detectors if health is not None),
            footage=tuple(
                pipeline.record_stage.footage_health()
                for pipeline in self._pipelines
                if pipeline.record_stage
            ),
            outbox=sources.outbox(),
            faults=sources.faults(),
            commands=sources.commands(),
            control=sources.control(),
            pins=sources.pins(),
            heads=sources.heads(),
            disk=machine.disk,
            clock=machine.clock,
            link=msgspec.structs.replace(machine.link, round_trip_ms=sources.round_trip_ms()),
            degradation=machine.degradation,
            live=sources.live(),
        )


class Health:
    """The health stages of a box. `feature` has them."""

    def __init__(
        self,
        box: BoxContext,
        uplink: Uplink,
        pipelines: Sequence[CameraPipeline],
        sources: HealthSources,
        stuck_cameras: StuckCameras,
        level_listeners: Sequence[Callable[[DegradationLevel], None]],
        config: Config,
    ) -> None:
        """`level_listeners` are called at each change of the degradation level."""
        self._uplink = uplink
        self._schedule = ReportSchedule(config.health.interval_s, box.clock.boottime_ns())
        self._interval_s = config.health.interval_s
        self._resubmit_pause = Pause()
        self._stuck_cameras = stuck_cameras
        self.monitor = HealthMonitor(
            AgentRun(
                id=box.new_id(box.clock.boottime_ns()),
                boot=box.boot,
                state_dir=box.state_dir,
                root=box.machine_root,
            ),
            box.clock,
            box.faults,
            read_report=HealthReporter(box.clock, pipelines, sources).report,
            level_listeners=level_listeners,
            on_clock_step=uplink.publisher.publish_clock_step,
            on_report=self._send_if_due,
            has_update_feed=config.update is not None,
        )
        watchdog = CameraWatchdog(
            [pipeline.watch_spec() for pipeline in pipelines],
            box.faults,
            box.clock,
            self._stuck_cameras,
        )
        self.feature = Feature(
            stages={Order.CAMERA_WATCHDOG: [watchdog], Order.HEALTH: self.monitor.stages}
        )

    def report_restart(self) -> Restarted | None:
        """Return the report of the previous run's end, or None if there was no run. Called once."""
        return self.monitor.report_restart(self._stuck_cameras)

    def _send_if_due(self, report: HealthReport, t_ns: int) -> None:
        if self._resubmit_pause.is_over(t_ns):
            self._resubmit_pause.begin(t_ns, RESUBMIT_INTERVAL_S)
            self._uplink.submitter.resubmit_failed()
        session = self._uplink.session
        if self._schedule.is_due(report, session.online_session(), t_ns):
            session.unstored.put(
                outgoing_messages.build_health_message(report, t_ns, self._interval_s)
            )


def open_stuck_cameras(box: BoxContext) -> StuckCameras:
    """Return the restarts and reboots for cameras that the kernel holds."""
    return StuckCameras(box.state_dir, get_runtime_dir(box.state_dir), box.clock, box.boot)


def cameras_needing_restart(
    pipelines: Sequence[CameraPipeline], stuck_cameras: StuckCameras
) -> tuple[str, ...]:
    """Return the cameras that only a restart of the agent may free."""
    return tuple(
        pipeline.name
        for pipeline in pipelines
        if pipeline.counts().is_stuck and stuck_cameras.wants_restart(pipeline.name)
    )
