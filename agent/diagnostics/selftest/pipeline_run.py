"""Run the test pattern through a real camera pipeline: driver, capture, detector, rules and recorder.

The run has a folder, key and chain of its own; no other part reads its footage.
"""

import base64
import logging
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.clock import Clock, boot_id, unix_ns
from agent.base.device_identity import DeviceIdentity
from agent.base.model import Event, FrameResult, Segment, TrafficCounts
from agent.base.uuid7 import uuid7_factory
from agent.capture.camera_source import CameraSource, OpenCamera
from agent.config.configuration import CameraConfig, Config, DetectConfig
from agent.config.recording import FOOTAGE_DIR, FootageRules, Recipient, RecordConfig
from agent.diagnostics.selftest import street_pattern
from agent.diagnostics.selftest.street_pattern import FrameTracks
from agent.faults.registry import FaultRegistry
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.pipeline.camera_services import CameraServices, RecordingServices
from agent.recording import owner_policy
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.encryption.keys import encode_public_key
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionRules, RetentionStage
from agent.runtime.stage import StageThread
from drivers import catalog
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame

log = logging.getLogger(__name__)

BOX_ID = "selftest"
TEST_RECIPIENT_ID = "selftest-guest"
"""The throw-away recipient. No configured one has this name, see `with_test_recipient`."""
SEGMENT_S = 2.0
MAX_FOOTAGE_BYTES = 100_000_000
POLL_INTERVAL_S = 0.2
PICTURE_TIMEOUT_S = 60.0
"""The run ends if no picture comes for as long. A limit of the whole run was rejected: a busy box, or one with a slow
processor, renders the same pictures slower than real time.
"""
STOP_TIMEOUT_S = 20.0


class PipelineRunResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a run. `is_complete`: the camera delivered the whole pattern. `played_s`: the time that this took.

    `faults` are the faults raised during the run, one line each.
    """

    is_complete: bool
    played_s: float
    packets: int
    frames: int
    last_error: str | None
    frame_tracks: tuple[FrameTracks, ...]
    events: tuple[Event, ...]
    segments: tuple[Segment, ...]
    inferences: int
    inference_ms: float
    faults: tuple[str, ...]
    model: str | None


class PlayProgress:
    """Decides whether a camera can still play the pattern to its end, by the pictures that came so far."""

    def __init__(self, start_ns: int) -> None:
        self._count = 0
        self._changed_ns = start_ns

    def can_end(self, count: int, t_ns: int) -> bool:
        """Return False if no picture came for PICTURE_TIMEOUT_S, or more came than the pattern has."""
        if count > self._count:
            self._count, self._changed_ns = count, t_ns
        # A camera that fails begins with the first picture again, without end.
        has_too_many = count > street_pattern.FRAME_COUNT
        return not has_too_many and t_ns - self._changed_ns <= PICTURE_TIMEOUT_S * 1e9


class _EventCollector:
    """Collect the pipeline's events instead of publishing them."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish_event(self, event: Event, jpeg: bytes | None = None) -> None:
        self.events.append(event)

    def publish_traffic_counts(self, counts: TrafficCounts) -> None:
        """Ignore the counts."""

    def publish_gap(self, camera: str, begin_ns: int, end_ns: int, reason: str) -> None:
        """Ignore the gap: the check of the segments finds it."""

    def publish_declaration(self) -> None:
        """Ignore the ground: the pattern's scene has none."""


class PipelineRun:
    """A box in a folder, with one camera that shows the pattern. `test_key` decrypts its footage."""

    def __init__(self, folder: Path, config: Config, clock: Clock, rng: random.Random) -> None:
        """Raises OSError if the folder cannot be written to."""
        self.folder = folder
        self.clock = clock
        self.test_key = X25519PrivateKey.generate()
        self.recipients = with_test_recipient(config.record, self.test_key)
        self.new_id = uuid7_factory(lambda t_ns: unix_ns(self.clock.utc(t_ns)), rng)
        self._rng = rng
        self._faults = FaultRegistry(clock.boottime_ns)
        self._record = msgspec.structs.replace(
            config.record,
            segment_s=SEGMENT_S,
            max_bytes=MAX_FOOTAGE_BYTES,
            box_max_bytes=MAX_FOOTAGE_BYTES,
            reserve_bytes=0,
            recipient=self.recipients,
        )
        models = sorted({camera.detect.model for camera in config.camera if camera.detect.enabled})
        self.other_models = tuple(models[1:])
        self._camera = CameraConfig(
            name=street_pattern.CAMERA,
            driver="fake",
            options=street_pattern.driver_options(pace_real=True),
            detect=DetectConfig(
                enabled=bool(models),
                model=models[0] if models else DetectConfig().model,
                fps=street_pattern.FPS,
            ),
        )
        identity = DeviceIdentity.load_or_create(folder / "identity")
        self.public_key = base64.b64encode(identity.public_key_raw).decode()
        self.custody = CustodyLog.open(folder / "custody", BOX_ID, boot_id(), clock, identity)
        self._frame_tracks: list[FrameTracks] = []
        self._publisher = _EventCollector()
        self._segments: list[Segment] = []

    @property
    def footage_folder(self) -> Path:
        """Folder of the segments."""
        return self.folder / FOOTAGE_DIR

    def run(self, poll: Callable[[], None]) -> PipelineRunResult:
        """Play the pattern to its end, or until no picture comes for PICTURE_TIMEOUT_S; what `poll` raises ends it before."""

        def has_ended() -> bool:
            return pipeline.ended.is_set()

        pipeline = CameraPipeline(self._camera_source(has_ended), self._camera_services())
        pipeline.frame_listeners.append(self._on_frame_result)
        pipeline.segment_listeners.append(self._segments.append)
        stage_groups = [
            [StageThread(stage, self.clock.boottime_ns, self._rng, vital=False) for stage in stages]
            for stages in (
                pipeline.capture_stages,
                [pipeline.record_stage] if pipeline.record_stage else [],
                [pipeline.detect_stage] if pipeline.detect_stage else [],
            )
        ]
        started_ns = self.clock.boottime_ns()
        for group in reversed(stage_groups):
            for thread in group:
                thread.start()
        try:
            is_complete = self._wait_for_end(pipeline, poll)
            played_s = (self.clock.boottime_ns() - started_ns) / 1e9
        finally:
            self._stop(stage_groups)
        counts, detector = pipeline.counts(), pipeline.detector
        errors = [
            health.last_error for group in stage_groups for health in [t.health() for t in group]
        ]
        return PipelineRunResult(
            is_complete=is_complete,
            played_s=played_s,
            packets=counts.packets,
            frames=counts.frames,
            last_error=next((error for error in errors if error and "ended" not in error), None),
            frame_tracks=tuple(self._frame_tracks),
            events=tuple(self._publisher.events),
            segments=tuple(self._segments),
            inferences=detector.inference_count if detector else 0,
            inference_ms=detector.cpu_ns / 1e6 / detector.inference_count
            if detector and detector.inference_count
            else 0,
            faults=tuple(
                f"{fault.code} {fault.title}: {fault.detail}" for fault in self._faults.active()
            ),
            model=self._camera.detect.model if self._camera.detect.enabled else None,
        )

    def _wait_for_end(self, pipeline: CameraPipeline, poll: Callable[[], None]) -> bool:
        """Return True once the pattern has ended, or False if its pictures do not come as they should."""
        progress = PlayProgress(self.clock.boottime_ns())
        while not pipeline.ended.wait(POLL_INTERVAL_S):
            poll()
            if not progress.can_end(pipeline.counts().packets, self.clock.boottime_ns()):
                return False
        return True

    def _stop(self, stage_groups: list[list[StageThread]]) -> None:
        """Stop the stages in data order: a producer ends before its consumer."""
        for group in stage_groups:
            for thread in group:
                thread.stop()
            for thread in group:
                if not thread.join(STOP_TIMEOUT_S):
                    log.error("stage %s does not stop", thread.name)

    def _camera_source(self, has_ended: Callable[[], bool]) -> CameraSource:
        module = catalog.load_camera_driver(self._camera.driver)
        options = msgspec.convert(self._camera.options, module.Options)

        def open_camera(wanted: StreamRequest) -> Camera:
            if has_ended():
                # The capture stage opens it again half a second after its end, before a busy box has stopped the stage.
                raise DriverError("ended", f"camera {street_pattern.CAMERA!r}: the stream ended")
            return module.open_camera(
                street_pattern.CAMERA, options, wanted, self.clock.boottime_ns
            )

        open_main: OpenCamera = open_camera
        return CameraSource(
            config=self._camera, scene=street_pattern.SCENE, open_main=open_main, open_detect=None
        )

    def _camera_services(self) -> CameraServices:
        boot = boot_id()
        holds = HoldStore(self.folder / "holds", self.clock, boot, self.new_id)
        retention = RetentionStage(
            self.footage_folder,
            RetentionRules(
                FootageRules(record=self._record),
                [street_pattern.CAMERA],
                owner_policy.update(self.folder, self.footage_folder, [self._camera]),
            ),
            self.clock,
            boot,
            self._faults,
            holds,
            ReceiptQueue(self.custody.append, self._faults, self.custody.read_lines_backwards),
            lambda _hold: None,
        )
        return CameraServices(
            box_id=BOX_ID,
            state_dir=self.folder,
            clock=self.clock,
            faults=self._faults,
            new_id=self.new_id,
            publisher=self._publisher,
            recording=RecordingServices(
                config=self._record, retention=retention, config_version=""
            ),
        )

    def _on_frame_result(self, frame: Frame, result: FrameResult) -> None:
        self._frame_tracks.append(
            FrameTracks(t_s=street_pattern.frame_time_s(frame.seq), tracks=result.tracks)
        )


def with_test_recipient(record: RecordConfig, test_key: X25519PrivateKey) -> tuple[Recipient, ...]:
    """Return the configured recipients and the throw-away one, under a name that none of them has."""
    name = TEST_RECIPIENT_ID
    while any(recipient.id == name for recipient in record.recipient):
        name += "-"
    return (
        *record.recipient,
        Recipient(id=name, public_key=encode_public_key(test_key.public_key())),
    )
