"""The agent: builds the services, pipelines, actuators and stages of a configuration, and runs them."""

import base64
import logging
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent import __version__
from agent.app.actuator_specs import ActuatorSpecs
from agent.app.actuators import Actuators
from agent.app.birth import BirthBuilder
from agent.app.box_services import BoxServices
from agent.app.camera_pipeline import CameraPipeline
from agent.app.care_commands import CareCommands, MakeAddedCommands, no_added_commands
from agent.app.clip_service import ClipService, open_link_budget
from agent.app.clip_workers import make_clip_workers
from agent.app.config_wiring import ConfigSource, config_topics, make_config_stage
from agent.app.custody import open_custody, start_receipts
from agent.app.footage_commands import FootageCommands
from agent.app.health_reporter import HealthReporter
from agent.app.incidents import make_incident_stage
from agent.app.live_service import LiveService
from agent.app.open_authority import open_authority, topic_handlers
from agent.app.publisher import Publisher
from agent.app.selftest_service import SelfTestService
from agent.app.start_config import StartConfig
from agent.app.state_folder import set_damaged_aside
from agent.base.clock import Clock, boot_id, unix_ns
from agent.base.health_model import HealthReport, OutboxHealth
from agent.base.sha256 import sha256_hex
from agent.base.state_inventory import StateInventory
from agent.base.uuid7 import uuid7_factory
from agent.capture.camera_source import CameraSource
from agent.capture.jpeg import shrink_jpeg
from agent.commands.command import CommandHandler
from agent.config.configuration import Config
from agent.config.recording import FOOTAGE_DIR
from agent.faults.registry import FaultRegistry
from agent.health.camera_watchdog import CameraWatchdog
from agent.health.monitor import HealthMonitor
from agent.health.vitals.procfs import DEFAULT_ROOT
from agent.recording import owner_policy
from agent.recording.custody.damage_reporter import DamageReporter
from agent.recording.custody.head_publisher import ChainHeadPublisher
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.retention.event_holds import EventHolds
from agent.recording.retention.hold_store import HOLDS_DIR, HoldStore
from agent.recording.retention.retention_stage import RetentionStage
from agent.reporting import outgoing_messages
from agent.reporting.mqtt.downlink import Downlink
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.submit import MessageSubmitter
from agent.runtime.sd_notify import Notifier
from agent.runtime.stage import Stage
from agent.runtime.supervisor import STOP_DEADLINE_S, Order, Supervisor

log = logging.getLogger(__name__)


class Agent:
    """The whole agent of one box. `machine_root` is the folder that contains `proc` and `sys`.

    With a `config_source` it takes the centre's configuration.
    """

    def __init__(  # noqa: PLR0913 - one seam to the command line, all but the first four by name
        self,
        config: Config,
        sources: Sequence[CameraSource],
        clock: Clock,
        rng: random.Random,
        *,
        specs: ActuatorSpecs = ActuatorSpecs(),  # noqa: B008 - frozen
        notifier: Notifier,
        machine_root: Path = DEFAULT_ROOT,
        stop_agent: Callable[[], None] | None = None,
        make_added_commands: MakeAddedCommands = no_added_commands,
        config_source: ConfigSource | None = None,
    ) -> None:
        """Open the outbox and the custody log. No thread starts before `start`.

        `stop_agent` has the agent stopped, and started again by its service manager, if it has one.
        Raises: UserError if the state folder cannot be written or is in use by another agent, or if a
        certificate cannot be read.
        """
        self._config = config
        self._clock = clock
        self._started_ns = clock.boottime_ns()
        self.faults = FaultRegistry(clock.boottime_ns)
        state_dir = Path(config.box.state)
        mended = () if config_source is None else config_source.start.mended
        set_damaged_aside(state_dir)
        self._new_id = uuid7_factory(lambda t_ns: unix_ns(clock.utc(t_ns)), rng)
        self.outbox = Outbox.open(
            state_dir / "outbox",
            box=config.box.id,
            boot=boot_id(),
            clock=clock,
            max_bytes=config.outbox.max_bytes,
            new_id=self._new_id,
            faults=self.faults,
            centres=config.broker.centres,
        )
        self._submitter = MessageSubmitter(self.outbox)
        identity, self.custody = open_custody(
            config.box, state_dir, machine_root, clock, self.faults
        )
        public_key = base64.b64encode(identity.public_key_raw).decode()
        self._receipt_queue = ReceiptQueue(
            self.custody.append, self.faults, self.custody.read_lines_backwards
        )
        for receipt in start_receipts(identity, mended):
            self._receipt_queue.enqueue(receipt, self._started_ns)
        hold_store = HoldStore(
            state_dir / HOLDS_DIR, clock, boot_id(), self._new_id, StateInventory(state_dir)
        )
        recorded_cameras = frozenset(
            source.config.name
            for source in sources
            if source.config.record and source.scene_error is None
        )
        start = None if config_source is None else config_source.start
        rules, before = config.footage_rules, None if start is None else start.rules_before
        event_holds = EventHolds(
            hold_store,
            rules.hold,
            clock,
            self.faults,
            None if before is None else rules.during_trial(before).hold,
        )
        self._publisher = Publisher(
            self._submitter,
            self._receipt_queue,
            self.custody,
            event_holds,
            recorded_cameras,
            clock,
            self._new_id,
        )
        self._authority = open_authority(config, clock)
        services = self._open_services(state_dir, machine_root, hold_store, recorded_cameras, start)
        self._retention = services.retention
        self.pipelines = tuple(CameraPipeline(source, services) for source in sources)
        self._births = BirthBuilder(config, public_key, self._owner_policies, self.pipelines)
        selftest = SelfTestService(
            state_dir, self.outbox, self._publisher.publish_event, self._new_id, clock, self.faults
        )
        self._live = LiveService(
            self.pipelines, self._publisher, config.link, services.link_budget, clock
        )
        self._clips = ClipService(
            config, services, self._owner_policies, rng, self._publisher, self._outbox_health
        )
        self._care = CareCommands(
            config,
            machine_root,
            clock,
            self.faults,
            rng,
            self._clips,
            self._publisher.record_service_action,
            self._births,
            stop_agent=stop_agent,
            make_added_commands=make_added_commands,
        )
        self._footage_commands = FootageCommands(
            config, services, hold_store, self._owner_policies, recorded_cameras
        )
        handlers: list[CommandHandler] = [
            selftest.handler,
            self._live.handler,
            *self._care.handlers,
            *self._footage_commands.handlers,
            self._clips.handler,
        ]
        self.actuators = Actuators(specs, services, self._publisher, self.pipelines, rng, handlers)
        self._care.resume(self.actuators.resume_command)
        self._clips.resume(self.actuators.resume_command)
        self._incident_stage = make_incident_stage(
            config,
            services,
            hold_store,
            self._owner_policies,
            self.pipelines,
            self._publisher,
            self.actuators,
        )
        self._care.obstacles.append(self._incident_stage.find_obstacle)

        def end_trial() -> None:
            self._retention.end_trial()
            event_holds.end_trial()

        self._config_stage = make_config_stage(
            config_source,
            services,
            self.pipelines,
            self.actuators,
            self._receipt_queue,
            end_trial,
            lambda: self._mqtt_session.request_reports(changed_only=True),
            stop_agent,
        )
        self._mqtt_session = MqttSession(
            config.broker,
            self.outbox,
            self.faults,
            lambda: self._births.build_birth(self.actuators, self._config_stage),
            clock,
            rng,
            Downlink(
                on_command=self.actuators.on_command,
                submit_reply=self._submitter.submit,
                authority=self._authority,
                topic_handlers={
                    **topic_handlers(self._authority),
                    **config_topics(config.box.id, self._config_stage),
                },
                on_incident=self._incident_stage.receive,
            ),
            shrink_jpeg,
        )
        self._live.set_session(self._mqtt_session)
        self._care.set_session(self._mqtt_session)
        self._health_reporter = HealthReporter(clock.boottime_ns, self.pipelines)
        self.health_monitor = HealthMonitor(
            state_dir,
            clock,
            self.faults,
            boot=boot_id(),
            run=self._new_id(self._started_ns),
            read_report=self._health_reporter.live_report,
            level_listeners=[
                *(pipeline.set_level for pipeline in self.pipelines),
                self.actuators.set_level,
                self._clips.stage.set_level,
            ],
            on_clock_step=self._publisher.publish_clock_step,
            has_update_feed=config.update is not None,
            root=machine_root,
        )
        self._chain_head_publisher = ChainHeadPublisher(
            self.custody,
            self._receipt_queue,
            clock,
            self.faults,
            self._publisher.publish_chain_head,
            lambda camera, segment: (services.footage_dir / camera / segment).exists(),
            DamageReporter(state_dir, self._receipt_queue, self.faults, clock),
        )
        self.supervisor = Supervisor(
            self._stages(services),
            notifier,
            clock.boottime_ns,
            rng,
            stuck_devices=self._cameras_needing_restart,
        )
        self._health_reporter.set_providers(
            self._health_fields,
            self.health_monitor.health_fields,
            self.actuators.health_fields,
            self._live.health_fields,
        )

    def start(self) -> None:
        """Write the receipt of the start, start every thread, and notify systemd."""
        started = self._births.build_started_receipt(self._config_stage)
        self._receipt_queue.enqueue(started, self._clock.boottime_ns())
        self._chain_head_publisher.flush()
        if (restart := self.health_monitor.report_restart()) is not None:
            self._publisher.publish_restart(restart)
        if self.actuators.guard is not None:
            self.actuators.guard.start_process()
        self.supervisor.start()

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """Stop all stages in order. Return False if a thread still runs after the deadline.

        The process must end then: the guard stops what still moves, and needs its devices free.
        """
        ended = self.supervisor.stop(deadline_s)
        if self.actuators.guard is not None:
            self.actuators.guard.hand_over()
        if ended:
            self.outbox.close()
        return ended

    def wait_until_ended(self, timeout_s: float) -> bool:
        """Wait until every camera has played to its end. Return False after `timeout_s` seconds."""
        deadline_s = time.monotonic() + timeout_s
        return all(
            pipeline.ended.wait(max(0.0, deadline_s - time.monotonic()))
            for pipeline in self.pipelines
        )

    def health(self) -> HealthReport:
        """Return the box's health; rates are means since the last call."""
        return self._health_reporter.report_since_last()

    def _open_services(
        self,
        state_dir: Path,
        machine_root: Path,
        hold_store: HoldStore,
        recorded_cameras: frozenset[str],
        start: StartConfig | None,
    ) -> BoxServices:
        config, clock = self._config, self._clock
        footage_dir = state_dir / FOOTAGE_DIR
        self._owner_policies = owner_policy.update(state_dir, footage_dir, config.camera)
        retention = RetentionStage(
            footage_dir,
            config.record,
            config.hold,
            clock,
            boot_id(),
            self.faults,
            hold_store,
            self._receipt_queue,
            cameras=sorted(recorded_cameras),
            on_hold_broken=self._publisher.publish_hold_broken,
            policies=self._owner_policies,
            own_settings=None
            if start is None or start.own_rules is None
            else start.own_rules.record,
            before=None if start is None else start.rules_before,
        )
        return BoxServices(
            state_dir=state_dir,
            clock=clock,
            faults=self.faults,
            new_id=self._new_id,
            publisher=self._publisher,
            record_config=config.record,
            custody_log=self.custody,
            retention=retention,
            link_budget=open_link_budget(config.link, state_dir),
            box_id=config.box.id,
            config_version=sha256_hex(msgspec.json.encode(config)),
            authority=self._authority,
            control=config.control,
            machine_root=machine_root,
        )

    def _stages(self, services: BoxServices) -> dict[Order, Sequence[Stage]]:
        """Return every stage of the agent; `Order` says when it starts and stops."""
        pipelines, guard = self.pipelines, self.actuators.guard
        control_socket = self.actuators.control_socket
        return {
            Order.ACTUATORS: self.actuators.stages,
            Order.GUARD: [guard] if guard else [],
            Order.CAPTURE: [stage for pipeline in pipelines for stage in pipeline.capture_stages],
            Order.RECORD: [
                pipeline.record_stage for pipeline in pipelines if pipeline.record_stage
            ],
            Order.DETECT: [
                pipeline.detect_stage for pipeline in pipelines if pipeline.detect_stage
            ],
            Order.ONVIF_EVENTS: [
                pipeline.onvif_stage for pipeline in pipelines if pipeline.onvif_stage
            ],
            Order.RETENTION: [self._retention],
            Order.CLIPS: make_clip_workers(
                pipelines, services, control_socket, self._publisher.record_clip_view
            ),
            Order.FOOTAGE: self._footage_commands.stages,
            Order.INCIDENTS: [self._incident_stage],
            Order.UPLOADS: [self._clips.stage],
            Order.PREVIEW: [self._live.make_preview_worker(control_socket)],
            Order.LIVE: [self._live.stage],
            Order.CARE: self._care.stages,
            Order.CONFIGURATION: [self._config_stage] if self._config_stage else [],
            Order.CAMERA_WATCHDOG: [
                CameraWatchdog(
                    [pipeline.watch_spec() for pipeline in pipelines],
                    self.faults,
                    self._clock,
                    self._send_health,
                    self._config.health.interval_s,
                    self.health_monitor.stuck_cameras,
                )
            ],
            Order.HEALTH: self.health_monitor.stages,
            Order.CUSTODY: [self._chain_head_publisher],
            Order.MQTT: [self._mqtt_session],
        }

    def _health_fields(self) -> dict[str, Any]:
        recorders = [pipeline.record_stage for pipeline in self.pipelines if pipeline.record_stage]
        return {
            "uptime_s": (self._clock.boottime_ns() - self._started_ns) / 1e9,
            "version": __version__,
            "stages": self.supervisor.health(),
            "footage": tuple(recorder.footage_health() for recorder in recorders),
            "outbox": self._outbox_health(),
            "faults": self.faults.active(),
            "control": None if self._authority is None else self._authority.health(),
            "link": self.health_monitor.link(self._mqtt_session.round_trip_ms()),
        }

    def _outbox_health(self) -> OutboxHealth:
        return self._mqtt_session.health()

    def _cameras_needing_restart(self) -> tuple[str, ...]:
        """Return the cameras that only a restart of the agent may free."""
        wants_restart = self.health_monitor.stuck_cameras.wants_restart
        return tuple(
            pipeline.name
            for pipeline in self.pipelines
            if pipeline.counts().is_stuck and wants_restart(pipeline.name)
        )

    def _send_health(self) -> None:
        self._submitter.resubmit_failed()
        self._mqtt_session.unstored.put(
            outgoing_messages.build_health_message(self.health(), self._clock.boottime_ns())
        )
