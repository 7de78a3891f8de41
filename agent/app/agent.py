"""The wiring of the box: a configuration becomes lanes, hands, an outbox, a session, and their threads."""

import base64
import logging
import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec

from agent import __version__
from agent.app.actuator_deps import ActuatorDeps
from agent.app.actuator_specs import ActuatorSpecs
from agent.app.actuators import Actuators
from agent.app.camera_pipeline import BoxServices, CameraPipeline, PipelineCallbacks
from agent.app.declaration import declaration
from agent.app.introductions import access, mounted_cameras, watch_spec
from agent.app.publisher import Publisher
from agent.app.selftest_service import SelfTestService
from agent.base.clock import Clock, boot_id
from agent.base.device_identity import STATE_LOST, DeviceIdentity
from agent.base.errors import UserError
from agent.base.health_model import HealthReport, Level
from agent.base.model import FrameResult, Segment
from agent.base.uuid7 import uuid7_maker
from agent.capture.camera_source import CameraSource
from agent.capture.preview_server import PreviewServer
from agent.commands.command import CommandHandler
from agent.config.configuration import Config
from agent.detection.image import thumbnail
from agent.faults.registry import FaultRegistry
from agent.health.camera_watchdog import CameraWatchdog
from agent.health.monitor import HealthMonitor
from agent.health.reporting import HealthReporter
from agent.health.vitals.machine import soc_celsius
from agent.health.vitals.procfs import ROOT
from agent.recording import owner_policy
from agent.recording.custody import receipts
from agent.recording.custody.chain import ChainHead
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.head_publisher import ChainHeadPublisher
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.export.clip_server import ClipServer
from agent.recording.mask_store import MASKS
from agent.recording.owner_policy import Terms
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

SNAPSHOT_PX = 1280
"""A picture that somebody asked for is at most so wide."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        fittings: ActuatorSpecs = ActuatorSpecs(),  # noqa: B008 - frozen
        notifier: Notifier,
        on_sight: Callable[[str, Frame, FrameResult], None] | None = None,
        on_segment: Callable[[Segment], None] = lambda _segment: None,
        machine_root: Path = ROOT,
    ) -> None:
        """Opens the outbox and the chain of custody; nothing else happens before `start`.

        Raises BadInput where the state folder cannot be written to, or another agent uses it, or a
        certificate cannot be read.
        """
        self._clock = clock
        self._machine_root = machine_root
        self._began_ns = clock.boottime_ns()
        self._ended: set[str] = set()
        self._ended_changed = threading.Condition()
        self.faults = FaultRegistry(clock.boottime_ns)
        self._state = state = Path(config.box.state)
        new_id = uuid7_maker(self._unix_ns, rng)
        try:
            self.outbox = Outbox.open(
                state / "outbox",
                box=config.box.id,
                boot=boot_id(),
                clock=clock,
                max_bytes=config.outbox.max_bytes,
                new_id=new_id,
                faults=self.faults,
            )
        except OutboxError as error:
            raise UserError(f"box.state = {config.box.state!r}: {error}") from error
        self._intake = MessageSubmitter(self.outbox)
        self._public_key, self.custody = self._open_custody(config)
        boot, footage = boot_id(), state / config.record.folder
        self._attest = ChainHeadPublisher(
            self.custody,
            clock,
            self.faults,
            self._on_head,
            is_there=lambda camera, segment: (footage / camera / segment).exists(),
        )
        lent = self._keep_terms(footage, config)
        holds = HoldStore(state / "holds", clock, boot, new_id)
        recorded = frozenset(source.config.name for source in sources if source.config.record)
        self._dispatch = Publisher(
            self._intake,
            self._attest,
            self.custody.append,
            EventHolds(holds, config.hold, clock, boot, self.faults),
            recorded,
            clock,
        )
        self._keeper = RetentionStage(
            footage,
            config.record,
            config.hold,
            clock,
            boot,
            self.faults,
            holds,
            ReceiptQueue(self.custody.append, self.faults, self.custody.read_back),
            cameras=sorted(recorded),
            on_broken=self._dispatch.publish_hold_broken,
            terms=lent,
        )
        self._recipients = tuple(recipient.id for recipient in config.record.recipient)
        commons = BoxServices(
            clock=clock,
            faults=self.faults,
            new_id=new_id,
            footage=footage,
            masks=state / MASKS,
            record=config.record,
            custody=self.custody,
            keeper=self._keeper,
            box=config.box.id,
            config_version=topics.sha256_hex(msgspec.json.encode(config)),
        )
        outlets = PipelineCallbacks(
            event=self._dispatch.publish_event,
            flow=self._dispatch.publish_traffic_counts,
            gap=self._dispatch.publish_gap,
            rested=self._dispatch.publish_suspended,
            segment=on_segment,
            sight=partial(self._on_sight, on_sight),
            ended=self._on_ended,
        )
        self.lanes = tuple(CameraPipeline(source, commons, outlets) for source in sources)
        self._declaration = declaration(
            config,
            lent,
            [lane.name for lane in self.lanes if lane.is_masked],
            self._public_key,
        )
        self.condition = HealthMonitor(
            state,
            clock,
            self.faults,
            boot=boot,
            run=new_id(self._began_ns),
            report=lambda: self._reporting.live_report(),  # noqa: PLW0108 - it comes last
            on_level=self._shed,
            root=machine_root,
        )
        self.hands = Actuators(fittings, self._ties(config, new_id), clock, self.faults, rng)
        self._service_desk = PreviewServer(
            state, {lane.name: access(lane) for lane in self.lanes}, clock, boot, self.faults
        )
        self._clip_desk = ClipServer(
            state,
            footage,
            {lane.name: lane.keys.get for lane in self.lanes if lane.record},
            clock.boottime_ns,
            self._dispatch.record_clip_view,
        )
        self._session = MqttSession(
            config.broker,
            self.outbox,
            self.faults,
            self._birth,
            clock.boottime_ns,
            rng,
            self.hands.on_command,
        )
        self._rounds = CameraWatchdog(
            [watch_spec(lane) for lane in self.lanes],
            self.faults,
            clock,
            self._send_health,
            config.health.every_s,
            self.condition.stuck_cameras,
        )
        self._site = config.box.site
        self.supervisor = self._supervisor(notifier, rng)
        self._reporting = HealthReporter(self._parts)

    def _open_custody(self, config: Config) -> tuple[str, CustodyLog]:
        """The public half of the box's key, in base64, and the chain that it signs."""
        try:
            identity = DeviceIdentity.load_or_make(self._state / "identity")
            custody = CustodyLog.open(
                self._state / "custody", config.box.id, boot_id(), self._clock, identity
            )
        except OSError as error:
            raise UserError(f"box.state = {config.box.state!r}: {error}") from error
        if identity.set_aside:
            self.faults.raise_fault("CUS-02", "identity", f"set aside as {identity.set_aside}")
        elif (lost := self._machine_root / STATE_LOST).exists():
            why = f"the state partition is lost: {lost.read_text().strip()}"
            self.faults.raise_fault("CUS-02", "identity", why)
        return base64.b64encode(identity.public_key_raw).decode(), custody

    def _keep_terms(self, footage: Path, config: Config) -> Terms:
        """On whose terms footage lies here: written down beside it."""
        try:
            return owner_policy.keep(self._state, footage, config.camera)
        except OSError as error:
            raise UserError(f"box.state = {config.box.state!r}: {error}") from error

    def start(self) -> None:
        """Start every thread and tell systemd. The first receipt says that it has started."""
        started = receipts.Started(
            public_key=self._public_key, versions=_versions(), recipients=self._recipients
        )
        self._attest.enqueue(started, self._clock.boottime_ns())
        self._attest.flush()
        if (told := self.condition.restarted()) is not None:
            self._dispatch.publish_restart(told)
        if self.hands.guard is not None:
            self.hands.guard.start_process()
        self.supervisor.start()

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """Stop the hands, then all else in data order; False where a thread would not end in time.
        The process is to end then: what has not come to rest is the guard's, who needs what it holds.
        """
        ended = self.supervisor.stop(deadline_s)
        if self.hands.guard is not None:
            self.hands.guard.hand_over()
        if ended:
            self.outbox.close()
        return ended

    def wait_ended(self, timeout_s: float) -> bool:
        """Whether every camera played to its end, within `timeout_s` seconds."""
        names = {lane.name for lane in self.lanes}
        with self._ended_changed:
            return self._ended_changed.wait_for(lambda: self._ended == names, timeout_s)

    def health(self) -> HealthReport:
        """How the box is now; rates are over the time since the last call."""
        return self._reporting.report_since_last()

    def _parts(self) -> HealthInputs:
        recorders = [lane.record for lane in self.lanes if lane.record]
        return HealthInputs(
            t_ns=self._clock.boottime_ns(),
            began_ns=self._began_ns,
            version=__version__,
            vitals=self.condition.vitals,
            stages=self.supervisor.health(),
            cameras=tuple(lane.camera_counts() for lane in self.lanes),
            footage=tuple(recorder.footage() for recorder in recorders),
            outbox=self._session.health(),
            faults=self.faults.active(),
            commands=self.hands.commands_health(),
            pins=self.hands.pins_health(),
            heads=self.hands.heads_health(),
            disk=self.condition.disk,
            clock=self.condition.clock(),
            link=self.condition.link(self._session.round_trip_ms()),
            degradation=self.condition.degradation,
        )

    def _ties(self, config: Config, new_id: Callable[[int], str]) -> ActuatorDeps:
        """What the hands are told of the cameras, and how what they do gets out."""
        lanes = {lane.name: lane for lane in self.lanes}
        cameras = {name: access(lane) for name, lane in lanes.items()}
        return ActuatorDeps(
            state=self._state,
            cameras=cameras,
            carried=mounted_cameras(config, lanes, cameras),
            new_id=new_id,
            event=self._dispatch.publish_event,
            celsius=partial(soc_celsius, self._machine_root),
            night=lambda name: lanes[name].is_night(),
            encode=lambda frame, max_bytes: thumbnail(frame, SNAPSHOT_PX, max_bytes),
            gallery=self._dispatch,
            reply=self._dispatch.publish_reply,
            verbs=(self._selftest_verb(new_id),),
            tours_rest=lambda: self.condition.degradation.level in ("record_only", "heartbeat"),
        )

    def _selftest_verb(self, new_id: Callable[[int], str]) -> CommandHandler:
        door = SelfTestService(
            self._state, self.outbox, self._dispatch.publish_event, new_id, self._clock, self.faults
        )
        return door.verb

    def _on_head(self, head: ChainHead, t_ns: int) -> None:
        self._dispatch.publish_chain_head(head, t_ns)

    def _shed(self, level: Level) -> None:
        for lane in self.lanes:
            lane.set_level(level)

    def _stuck(self) -> tuple[str, ...]:
        """The cameras for which the agent is to start anew."""
        again = self.condition.stuck_cameras.wants_restart
        return tuple(lane.name for lane in self.lanes if lane.counts().stuck and again(lane.name))

    def _on_sight(
        self,
        shown: Callable[[str, Frame, FrameResult], None] | None,
        name: str,
        frame: Frame,
        sight: FrameResult,
    ) -> None:
        self.hands.on_sight(name, frame, sight)
        self._service_desk.offer(name, frame)
        if shown is not None:
            shown(name, frame, sight)

    def _supervisor(self, notifier: Notifier, rng: random.Random) -> Supervisor:
        """Of all threads: the hands, their guard, the others in data order. What keeps footage is vital,
        the rest may be late and is reported.
        """

        def threads(stages: Sequence[Stage], *, vital: bool) -> list[StageThread]:
            return [
                StageThread(stage, self._clock.boottime_ns, rng, vital=vital) for stage in stages
            ]

        by_room = [lane.stages for lane in self.lanes]
        reports = [lane.reports for lane in self.lanes if lane.reports]
        guard = self.hands.guard
        captures = [stage for rooms in by_room for stage in rooms[0]]
        recorders = [stage for rooms in by_room for stage in rooms[1]]
        detectors = [stage for rooms in by_room for stage in rooms[2]]
        groups = [
            threads([guard] if guard else [], vital=False),
            threads(captures, vital=True),
            threads(recorders, vital=True),
            threads(detectors, vital=False),
            threads(reports, vital=False),
            threads([self._keeper], vital=False),
            threads([self._clip_desk] if self._recipients else [], vital=False),
            threads([self._service_desk], vital=False),
            threads([self._rounds], vital=False),
            threads(self.condition.stages, vital=False),
            threads([self._attest], vital=False),
            threads([self._session], vital=False),
        ]
        hands = threads(self.hands.stages, vital=False)
        return Supervisor(groups, notifier, self._clock.boottime_ns, first=hands, stuck=self._stuck)

    def _birth(self) -> BirthInputs:
        return BirthInputs(
            site=self._site,
            public_key=self._public_key,
            versions=_versions(),
            cameras=tuple(lane.capabilities() for lane in self.lanes),
            declaration=self._declaration,
            heads=self.hands.head_abilities(),
            pins=self.hands.pin_abilities(),
        )

    def _on_ended(self, camera: str) -> None:
        with self._ended_changed:
            self._ended.add(camera)
            self._ended_changed.notify_all()

    def _send_health(self) -> None:
        self._intake.again()
        self._session.tell(topics.health_draft(self.health(), self._clock.boottime_ns()))

    def _unix_ns(self, t_ns: int) -> int:
        return (self._clock.utc(t_ns) - _EPOCH) // timedelta(microseconds=1) * 1000


def _versions() -> dict[str, str]:
    return {"vigie": __version__}
