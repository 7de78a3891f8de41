"""The pattern through a real lane: the driver, the capture, the detector, the rules, the recorder.

All of it in a folder of its own: its own key and chain, and footage that nobody else reads.
"""

import base64
import logging
import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.app.camera_pipeline import BoxServices, CameraPipeline, PipelineCallbacks
from agent.base.clock import Clock, boot_id
from agent.base.device_identity import DeviceIdentity
from agent.base.model import Event, FrameResult, Segment
from agent.base.uuid7 import uuid7_maker
from agent.capture.camera_source import CameraSource, OpenCamera
from agent.config.configuration import (
    CameraConfig,
    Config,
    DetectConfig,
    HoldConfig,
    Recipient,
    RecordConfig,
)
from agent.diagnostics.selftest import test_pattern
from agent.diagnostics.selftest.test_pattern import FrameFinding
from agent.faults.registry import FaultRegistry
from agent.recording import owner_policy
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.encryption.keys import public_key_text
from agent.recording.mask_store import MASKS
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionStage
from agent.runtime.stage import StageThread
from drivers import catalog
from drivers.contracts import Camera, Wanted
from drivers.media import Frame

log = logging.getLogger(__name__)

BOX = "selftest"
GUEST = "selftest-guest"
"""The throw-away recipient. No configured one has this name, see `recipients`."""
FOOTAGE = "footage"
SEGMENT_S = 2.0
MOST_BYTES = 100_000_000
PLAYS_WITHIN_S = 60.0
"""A slow box paints the street slower than it happens; the pictures are the same."""
STOPS_WITHIN_S = 20.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PipelineRunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `ended`: the camera gave the pattern to its end. `faults` are those that were
    raised meanwhile, in a line each.
    """

    ended: bool
    took_ms: float
    packets: int
    frames: int
    last_error: str | None
    looks: tuple[FrameFinding, ...]
    events: tuple[Event, ...]
    segments: tuple[Segment, ...]
    passes: int
    pass_ms: float
    faults: tuple[str, ...]
    model: str | None


class PipelineRun:
    """A box in a folder, with one camera that shows the pattern. `guest` opens what it seals."""

    def __init__(self, folder: Path, config: Config, clock: Clock, rng: random.Random) -> None:
        """Raises OSError where the folder cannot be written to."""
        self.folder = folder
        self.clock = clock
        self.guest = X25519PrivateKey.generate()
        self.recipients = recipients(config.record, self.guest)
        self.new_id = uuid7_maker(self._unix_ns, rng)
        self._rng = rng
        self._faults = FaultRegistry(clock.boottime_ns)
        self._record = msgspec.structs.replace(
            config.record,
            folder=FOOTAGE,
            segment_s=SEGMENT_S,
            max_bytes=MOST_BYTES,
            box_max_bytes=MOST_BYTES,
            reserve_bytes=0,
            recipient=self.recipients,
        )
        watched = sorted({one.detect.model for one in config.camera if one.detect.enabled})
        self.other_models = tuple(watched[1:])
        self._camera = CameraConfig(
            name=test_pattern.CAMERA,
            driver="fake",
            options=test_pattern.options(pace_real=True),
            detect=DetectConfig(
                enabled=bool(watched),
                model=watched[0] if watched else DetectConfig().model,
                fps=test_pattern.FPS,
            ),
        )
        identity = DeviceIdentity.load_or_make(folder / "identity")
        self.public_key = base64.b64encode(identity.public_key_raw).decode()
        self.custody = CustodyLog.open(folder / "custody", BOX, boot_id(), clock, identity)
        self._ended = threading.Event()
        self._looks: list[FrameFinding] = []
        self._events: list[Event] = []
        self._segments: list[Segment] = []

    @property
    def footage(self) -> Path:
        """Where its segments lie."""
        return self.folder / FOOTAGE

    def play(self) -> PipelineRunResult:
        """Play the pattern to its end, or for PLAYS_WITHIN_S."""
        lane = CameraPipeline(self._source(), self._commons(), self._outlets())
        groups = [
            [StageThread(stage, self.clock.boottime_ns, self._rng, vital=False) for stage in stages]
            for stages in lane.stages
        ]
        began_ns = self.clock.boottime_ns()
        for group in reversed(groups):
            for thread in group:
                thread.start()
        ended = self._ended.wait(PLAYS_WITHIN_S)
        self._stop(groups)
        took_ms = (self.clock.boottime_ns() - began_ns) / 1e6
        counts, detector = lane.counts(), lane.detector
        errors = [health.last_error for group in groups for health in [t.health() for t in group]]
        return PipelineRunResult(
            ended=ended,
            took_ms=took_ms,
            packets=counts.packets,
            frames=counts.frames,
            last_error=next((error for error in errors if error and "ended" not in error), None),
            looks=tuple(self._looks),
            events=tuple(self._events),
            segments=tuple(self._segments),
            passes=detector.passes if detector else 0,
            pass_ms=detector.cpu_ns / 1e6 / detector.passes if detector and detector.passes else 0,
            faults=tuple(f"{one.code} {one.title}: {one.detail}" for one in self._faults.active()),
            model=self._camera.detect.model if self._camera.detect.enabled else None,
        )

    def _stop(self, groups: list[list[StageThread]]) -> None:
        """In data order: what feeds has ended before what is fed."""
        for group in groups:
            for thread in group:
                thread.stop()
            for thread in group:
                if not thread.join(STOPS_WITHIN_S):
                    log.error("%s does not end", thread.name)

    def _source(self) -> CameraSource:
        module = catalog.camera_module(self._camera.driver)
        options = msgspec.convert(self._camera.options, module.Options)

        def open_camera(wanted: Wanted) -> Camera:
            return module.open_camera(test_pattern.CAMERA, options, wanted, self.clock.boottime_ns)

        opened: OpenCamera = open_camera
        return CameraSource(
            config=self._camera, scene=test_pattern.SCENE, open_main=opened, open_detect=None
        )

    def _commons(self) -> BoxServices:
        boot = boot_id()
        holds = HoldStore(self.folder / "holds", self.clock, boot, self.new_id)
        return BoxServices(
            clock=self.clock,
            faults=self._faults,
            new_id=self.new_id,
            footage=self.footage,
            masks=self.folder / MASKS,
            record=self._record,
            custody=self.custody,
            keeper=RetentionStage(
                self.footage,
                self._record,
                HoldConfig(),
                self.clock,
                boot,
                self._faults,
                holds,
                ReceiptQueue(self.custody.append, self._faults, self.custody.read_back),
                cameras=[test_pattern.CAMERA],
                on_broken=lambda _hold: None,
                terms=owner_policy.keep(self.folder, self.footage, [self._camera]),
            ),
            box=BOX,
            config_version="",
        )

    def _outlets(self) -> PipelineCallbacks:
        return PipelineCallbacks(
            event=lambda event, _jpeg: self._events.append(event),
            flow=lambda _flow: None,
            gap=lambda _camera, _begin_ns, _end_ns: None,
            rested=lambda _camera, _begin_ns, _end_ns: None,
            segment=self._segments.append,
            sight=self._on_sight,
            ended=lambda _camera: self._ended.set(),
        )

    def _on_sight(self, _camera: str, frame: Frame, sight: FrameResult) -> None:
        self._looks.append(FrameFinding(t_s=test_pattern.second_of(frame.seq), tracks=sight.tracks))

    def _unix_ns(self, t_ns: int) -> int:
        return (self.clock.utc(t_ns) - _EPOCH) // timedelta(microseconds=1) * 1000


def recipients(record: RecordConfig, guest: X25519PrivateKey) -> tuple[Recipient, ...]:
    """Those of the configuration, and the guest under a name that none of them has."""
    name = GUEST
    while any(one.id == name for one in record.recipient):
        name += "-"
    return (*record.recipient, Recipient(id=name, public_key=public_key_text(guest.public_key())))
