"""The wiring of the box: a configuration becomes lanes, hands, an outbox, a session, and their threads."""

import base64
import logging
import random
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from agent import __version__
from agent.app.actuator_deps import ActuatorDeps
from agent.app.actuator_specs import ActuatorSpecs
from agent.app.actuators import Actuators
from agent.app.camera_pipeline import BoxServices, CameraPipeline, PipelineCallbacks
from agent.app.declaration import build_declaration
from agent.app.introductions import camera_access, mounted_cameras, watched_camera
from agent.app.publisher import Publisher
from agent.app.selftest_service import SelfTestService
from agent.base.clock import Clock, boot_id, unix_ns
from agent.base.device_identity import STATE_LOST_FLAG, DeviceIdentity
from agent.base.errors import UserError
from agent.base.health_model import DegradationLevel, HealthReport
from agent.base.model import FrameResult, Segment
from agent.base.uuid7 import uuid7_factory
from agent.capture.camera_source import CameraSource
from agent.capture.preview_server import PreviewServer
from agent.commands.command import CommandHandler
from agent.config.configuration import Config
from agent.detection.image import encode_thumbnail
from agent.faults.registry import FaultRegistry
from agent.health.camera_watchdog import CameraWatchdog
from agent.health.monitor import HealthMonitor
from agent.health.reporting import HealthReporter
from agent.health.vitals.machine import soc_celsius
from agent.health.vitals.procfs import DEFAULT_ROOT
from agent.recording import owner_policy
from agent.recording.custody import receipts
from agent.recording.custody.chain import ChainHead
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.head_publisher import ChainHeadPublisher
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.export.clip_server import ClipServer
from agent.recording.mask_store import MASKS_DIR
from agent.recording.owner_policy import OwnerPolicies
from agent.recording.retention.event_holds import EventHolds
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionStage
from agent.reporting import topics
from agent.reporting.health_report import HealthInputs
from agent.reporting.mqtt.connection import BirthInputs
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.submit import MessageSubmitter
from agent.reporting.outbox.writer import OutboxError
from agent.runtime.sd_notify import Notifier
from agent.runtime.stage import Stage, StageThread
from agent.runtime.supervisor import STOP_DEADLINE_S, Supervisor
from drivers.media import Frame

log = logging.getLogger(__name__)

MAX_SNAPSHOT_WIDTH_PX = 1280
"""A picture that somebody asked for is at most so wide."""


class Agent:
    """The whole agent of one box.

    `on_sight` is shown each frame that was looked at, with what was seen, in the camera's own
    detect thread; `on_segment` each file of footage that was closed. `machine_root` is where the
    machine's `proc` and `sys` are looked for.
    """

    def __init__(
        self,
        config: Config,
        sources: Sequence[CameraSource],
        clock: Clock,
        rng: random.Random,
        *,
        specs: ActuatorSpecs = ActuatorSpecs(),  # noqa: B008 - frozen
        notifier: Notifier,
        on_frame_result: Callable[[str, Frame, FrameResult], None] | None = None,
        on_segment: Callable[[Segment], None] = lambda _segment: None,
        machine_root: Path = DEFAULT_ROOT,
    ) -> None:
        """Opens the outbox and the chain of custody; nothing else happens before `start`.

        Raises UserError where the state folder cannot be written to, or another agent uses it, or a
        certificate cannot be read.
        """
        self._clock = clock
        self._machine_root = machine_root
        self._started_ns = clock.boottime_ns()
        self._ended_cameras: set[str] = set()
        self._ended_condition = threading.Condition()
        self.faults = FaultRegistry(clock.boottime_ns)
        self._state_dir = state_dir = Path(config.box.state)
        new_id = uuid7_factory(lambda t_ns: unix_ns(self._clock.utc(t_ns)), rng)
        try:
            self.outbox = Outbox.open(
                state_dir / "outbox",
                box=config.box.id,
                boot=boot_id(),
                clock=clock,
                max_bytes=config.outbox.max_bytes,
                new_id=new_id,
                faults=self.faults,
            )
        except OutboxError as error:
            raise UserError(f"box.state = {config.box.state!r}: {error}") from error
        self._submitter = MessageSubmitter(self.outbox)
        self._public_key, self.custody = self._open_custody(config)
        boot, footage_dir = boot_id(), state_dir / config.record.folder
        self._receipt_queue = ReceiptQueue(
            self.custody.append, self.faults, self.custody.read_lines_backwards
        )
        self._chain_head_publisher = ChainHeadPublisher(
            self.custody,
            self._receipt_queue,
            clock,
            self.faults,
            self._on_chain_head,
            segment_exists=lambda camera, segment: (footage_dir / camera / segment).exists(),
        )
        owner_policies = self._store_owner_policies(footage_dir, config)
        hold_store = HoldStore(state_dir / "holds", clock, boot, new_id)
        recorded_cameras = frozenset(
            source.config.name for source in sources if source.config.record
        )
        self._publisher = Publisher(
            self._submitter,
            self._receipt_queue,
            self.custody,
            EventHolds(hold_store, config.hold, clock, boot, self.faults),
            recorded_cameras,
            clock,
        )
        self._retention_stage = RetentionStage(
            footage_dir,
            config.record,
            config.hold,
            clock,
            boot,
            self.faults,
            hold_store,
            self._receipt_queue,
            cameras=sorted(recorded_cameras),
            on_hold_broken=self._publisher.publish_hold_broken,
            policies=owner_policies,
        )
        self._recipient_ids = tuple(recipient.id for recipient in config.record.recipient)
        services = BoxServices(
            clock=clock,
            faults=self.faults,
            new_id=new_id,
            footage_dir=footage_dir,
            masks_dir=state_dir / MASKS_DIR,
            record_config=config.record,
            custody_log=self.custody,
            retention=self._retention_stage,
            box_id=config.box.id,
            config_version=topics.sha256_hex(msgspec.json.encode(config)),
        )
        callbacks = PipelineCallbacks(
            on_event=self._publisher.publish_event,
            on_traffic_counts=self._publisher.publish_traffic_counts,
            on_gap=self._publisher.publish_gap,
            on_suspended=self._publisher.publish_suspended,
            on_segment=on_segment,
            on_frame_result=partial(self._on_frame_result, on_frame_result),
            on_ended=self._on_ended,
        )
        self.pipelines = tuple(CameraPipeline(source, services, callbacks) for source in sources)
        self._declaration = build_declaration(
            config,
            owner_policies,
            [pipeline.name for pipeline in self.pipelines if pipeline.is_masked],
            self._public_key,
        )
        self.health_monitor = HealthMonitor(
            state_dir,
            clock,
            self.faults,
            boot=boot,
            run=new_id(self._started_ns),
            read_report=lambda: self._health_reporter.live_report(),  # noqa: PLW0108 - it comes last
            on_level=self._set_level,
            root=machine_root,
        )
        self.actuators = Actuators(
            specs, self._actuator_deps(config, new_id), clock, self.faults, rng
        )
        self._preview_server = PreviewServer(
            state_dir,
            {pipeline.name: camera_access(pipeline) for pipeline in self.pipelines},
            clock,
            boot,
            self.faults,
        )
        self._clip_server = ClipServer(
            state_dir,
            footage_dir,
            {
                pipeline.name: pipeline.key_ring.get
                for pipeline in self.pipelines
                if pipeline.record_stage
            },
            clock.boottime_ns,
            self._publisher.record_clip_view,
        )
        self._mqtt_session = MqttSession(
            config.broker,
            self.outbox,
            self.faults,
            self._birth_inputs,
            clock.boottime_ns,
            rng,
            self.actuators.on_command,
        )
        self._camera_watchdog = CameraWatchdog(
            [watched_camera(pipeline) for pipeline in self.pipelines],
            self.faults,
            clock,
            self._send_health,
            config.health.interval_s,
            self.health_monitor.stuck_cameras,
        )
        self._site = config.box.site
        self.supervisor = self._make_supervisor(notifier, rng)
        self._health_reporter = HealthReporter(self._health_inputs)

    def _open_custody(self, config: Config) -> tuple[str, CustodyLog]:
        """The public half of the box's key, in base64, and the chain that it signs."""
        try:
            identity = DeviceIdentity.load_or_create(self._state_dir / "identity")
            custody = CustodyLog.open(
                self._state_dir / "custody", config.box.id, boot_id(), self._clock, identity
            )
        except OSError as error:
            raise UserError(f"box.state = {config.box.state!r}: {error}") from error
        if identity.damaged_key_file:
            self.faults.raise_fault(
                "CUS-02", "identity", f"set aside as {identity.damaged_key_file}"
            )
        elif (state_lost := self._machine_root / STATE_LOST_FLAG).exists():
            reason = f"the state partition is lost: {state_lost.read_text().strip()}"
            self.faults.raise_fault("CUS-02", "identity", reason)
        return base64.b64encode(identity.public_key_raw).decode(), custody

    def _store_owner_policies(self, footage_dir: Path, config: Config) -> OwnerPolicies:
        """On whose terms footage lies here: written down beside it."""
        try:
            return owner_policy.update(self._state_dir, footage_dir, config.camera)
        except OSError as error:
            raise UserError(f"box.state = {config.box.state!r}: {error}") from error

    def start(self) -> None:
        """Start every thread and tell systemd. The first receipt says that it has started."""
        started = receipts.AgentStarted(
            public_key=self._public_key, versions=_versions(), recipients=self._recipient_ids
        )
        self._receipt_queue.enqueue(started, self._clock.boottime_ns())
        self._chain_head_publisher.flush()
        if (restart := self.health_monitor.report_restart()) is not None:
            self._publisher.publish_restart(restart)
        if self.actuators.guard is not None:
            self.actuators.guard.start_process()
        self.supervisor.start()

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """Stop the hands, then all else in data order; False where a thread would not end in time.
        The process is to end then: what has not come to rest is the guard's, who needs what it holds.
        """
        ended = self.supervisor.stop(deadline_s)
        if self.actuators.guard is not None:
            self.actuators.guard.hand_over()
        if ended:
            self.outbox.close()
        return ended

    def wait_until_ended(self, timeout_s: float) -> bool:
        """Whether every camera played to its end, within `timeout_s` seconds."""
        names = {pipeline.name for pipeline in self.pipelines}
        with self._ended_condition:
            return self._ended_condition.wait_for(lambda: self._ended_cameras == names, timeout_s)

    def health(self) -> HealthReport:
        """How the box is now; rates are over the time since the last call."""
        return self._health_reporter.report_since_last()

    def _health_inputs(self) -> HealthInputs:
        recorders = [pipeline.record_stage for pipeline in self.pipelines if pipeline.record_stage]
        return HealthInputs(
            t_ns=self._clock.boottime_ns(),
            started_ns=self._started_ns,
            version=__version__,
            vitals=self.health_monitor.vitals,
            stages=self.supervisor.health(),
            cameras=tuple(pipeline.camera_counts() for pipeline in self.pipelines),
            footage=tuple(recorder.footage_health() for recorder in recorders),
            outbox=self._mqtt_session.health(),
            faults=self.faults.active(),
            commands=self.actuators.commands_health(),
            pins=self.actuators.pins_health(),
            heads=self.actuators.heads_health(),
            disk=self.health_monitor.disk,
            clock=self.health_monitor.clock(),
            link=self.health_monitor.link(self._mqtt_session.round_trip_ms()),
            degradation=self.health_monitor.degradation,
        )

    def _actuator_deps(self, config: Config, new_id: Callable[[int], str]) -> ActuatorDeps:
        """What the hands are told of the cameras, and how what they do gets out."""
        pipelines = {pipeline.name: pipeline for pipeline in self.pipelines}
        access_by_camera = {name: camera_access(pipeline) for name, pipeline in pipelines.items()}
        return ActuatorDeps(
            state_dir=self._state_dir,
            access_by_camera=access_by_camera,
            mounted_cameras=mounted_cameras(config, pipelines, access_by_camera),
            new_id=new_id,
            on_event=self._publisher.publish_event,
            read_celsius=partial(soc_celsius, self._machine_root),
            read_night_mode=lambda name: pipelines[name].read_night_mode(),
            encode_jpeg=lambda frame, max_bytes: encode_thumbnail(
                frame, MAX_SNAPSHOT_WIDTH_PX, max_bytes
            ),
            snapshot_sink=self._publisher,
            send_reply=self._publisher.publish_reply,
            handlers=(self._make_selftest_handler(new_id),),
            should_suspend_tours=lambda: (
                self.health_monitor.degradation.level in ("record_only", "heartbeat")
            ),
        )

    def _make_selftest_handler(self, new_id: Callable[[int], str]) -> CommandHandler:
        service = SelfTestService(
            self._state_dir,
            self.outbox,
            self._publisher.publish_event,
            new_id,
            self._clock,
            self.faults,
        )
        return service.handler

    def _on_chain_head(self, head: ChainHead, t_ns: int) -> None:
        self._publisher.publish_chain_head(head, t_ns)

    def _set_level(self, level: DegradationLevel) -> None:
        for pipeline in self.pipelines:
            pipeline.set_level(level)

    def _cameras_needing_restart(self) -> tuple[str, ...]:
        """The cameras for which the agent is to start anew."""
        wants_restart = self.health_monitor.stuck_cameras.wants_restart
        return tuple(
            pipeline.name
            for pipeline in self.pipelines
            if pipeline.counts().is_stuck and wants_restart(pipeline.name)
        )

    def _on_frame_result(
        self,
        observer: Callable[[str, Frame, FrameResult], None] | None,
        name: str,
        frame: Frame,
        result: FrameResult,
    ) -> None:
        self.actuators.on_frame_result(name, frame, result)
        self._preview_server.offer(name, frame)
        if observer is not None:
            observer(name, frame, result)

    def _make_supervisor(self, notifier: Notifier, rng: random.Random) -> Supervisor:
        """Of all threads: the hands, their guard, the others in data order. What keeps footage is vital,
        the rest may be late and is reported.
        """

        def make_threads(stages: Sequence[Stage], *, vital: bool) -> list[StageThread]:
            return [
                StageThread(stage, self._clock.boottime_ns, rng, vital=vital) for stage in stages
            ]

        stages_by_kind = [pipeline.stages for pipeline in self.pipelines]
        onvif_stages = [pipeline.onvif_stage for pipeline in self.pipelines if pipeline.onvif_stage]
        guard = self.actuators.guard
        captures = [stage for kinds in stages_by_kind for stage in kinds[0]]
        recorders = [stage for kinds in stages_by_kind for stage in kinds[1]]
        detectors = [stage for kinds in stages_by_kind for stage in kinds[2]]
        groups = [
            make_threads([guard] if guard else [], vital=False),
            make_threads(captures, vital=True),
            make_threads(recorders, vital=True),
            make_threads(detectors, vital=False),
            make_threads(onvif_stages, vital=False),
            make_threads([self._retention_stage], vital=False),
            make_threads([self._clip_server] if self._recipient_ids else [], vital=False),
            make_threads([self._preview_server], vital=False),
            make_threads([self._camera_watchdog], vital=False),
            make_threads(self.health_monitor.stages, vital=False),
            make_threads([self._chain_head_publisher], vital=False),
            make_threads([self._mqtt_session], vital=False),
        ]
        actuator_threads = make_threads(self.actuators.stages, vital=False)
        return Supervisor(
            groups,
            notifier,
            self._clock.boottime_ns,
            actuator_stages=actuator_threads,
            stuck_devices=self._cameras_needing_restart,
        )

    def _birth_inputs(self) -> BirthInputs:
        return BirthInputs(
            site=self._site,
            public_key=self._public_key,
            versions=_versions(),
            cameras=tuple(pipeline.capabilities() for pipeline in self.pipelines),
            declaration=self._declaration,
            heads=self.actuators.head_capabilities(),
            pins=self.actuators.pin_capabilities(),
        )

    def _on_ended(self, camera: str) -> None:
        with self._ended_condition:
            self._ended_cameras.add(camera)
            self._ended_condition.notify_all()

    def _send_health(self) -> None:
        self._submitter.resubmit_failed()
        self._mqtt_session.send_unstored(
            topics.build_health_message(self.health(), self._clock.boottime_ns())
        )


def _versions() -> dict[str, str]:
    return {"vigie": __version__}
