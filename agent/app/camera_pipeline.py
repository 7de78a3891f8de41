"""One camera's way through the agent: its captures, its recorder, its detection.

Part of the wiring: `agent.app.agent` makes one lane for each camera of the configuration.
"""

import logging
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

import msgspec

from agent import __version__
from agent.base.clock import Clock
from agent.base.health_model import DegradationLevel
from agent.base.model import Event, FrameResult, Segment, TrafficCounts
from agent.capture.camera_source import CameraSource, OpenCamera
from agent.capture.capture_stage import CaptureCounts, CaptureStage
from agent.capture.onvif_events import OnvifEventFeed, OnvifEventStage
from agent.config.configuration import RecordConfig
from agent.detection.active_scene import ActiveScene
from agent.detection.detect_stage import DetectStage
from agent.detection.model_card import ModelRefused
from agent.detection.pipeline import DetectionPipeline
from agent.detection.ptz_detect_stage import PtzDetectStage
from agent.detection.rule_engine import RuleEngine
from agent.detection.rules.camera_lost import CameraLostRule
from agent.detection.scene import Scene
from agent.detection.tflite import TfliteDetector, open_detector
from agent.faults.registry import FaultRegistry
from agent.health.load_shedding import CameraDuty
from agent.recording import mask_store
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.encryption.key_wrapping import KEY_RING_CAPACITY, Sealer
from agent.recording.encryption.keys import KeyRing
from agent.recording.record_stage import RecordStage
from agent.recording.retention.retention_stage import RetentionStage
from agent.recording.segment_writer import SegmentProvenance
from agent.reporting.health_report import CameraCounts
from agent.reporting.payloads import CameraCapabilities
from agent.runtime.queues import LatestFrame, PacketQueue
from agent.runtime.stage import Stage
from drivers.contracts import Camera, StreamRequest
from drivers.errors import MaskError
from drivers.media import Frame, Polygon, StreamInfo

log = logging.getLogger(__name__)

QUEUE_BYTES = 16_000_000
"""Packets on their way to the recorder: half a minute of a 4 Mbit/s stream."""


class PipelineCallbacks(msgspec.Struct, frozen=True, kw_only=True):
    """Where a lane's results go. All are called from the lane's own threads."""

    on_event: Callable[[Event, bytes | None], None]
    on_traffic_counts: Callable[[TrafficCounts], None]
    on_gap: Callable[[str, int, int], None]
    on_segment: Callable[[Segment], None]
    on_frame_result: Callable[[str, Frame, FrameResult], None] | None
    on_ended: Callable[[str], None]
    on_suspended: Callable[[str, int, int], None] = lambda _camera, _begin_ns, _end_ns: None


class BoxServices(msgspec.Struct, frozen=True, kw_only=True):
    """What all lanes of a box share."""

    clock: Clock
    faults: FaultRegistry
    new_id: Callable[[int], str]
    footage_dir: Path
    masks_dir: Path
    record_config: RecordConfig
    custody_log: CustodyLog
    retention: RetentionStage
    box_id: str
    config_version: str


class CameraPipeline:
    """The stages of one camera, and what they have to say of themselves."""

    def __init__(
        self, source: CameraSource, services: BoxServices, callbacks: PipelineCallbacks
    ) -> None:
        self.config = source.config
        self._services = services
        self._callbacks = callbacks
        self._camera_lost_rule = CameraLostRule(
            self.config.name, services.new_id, since_ns=services.clock.boottime_ns()
        )
        self._refusal = source.scene_error
        self.active_scene = None if source.scenes is None else ActiveScene(source.scenes)
        self._masks = _all_masks(source)
        self.key_ring = KeyRing(KEY_RING_CAPACITY)
        self._track_numbers = count(1)
        self.duty = CameraDuty()
        self._stream_fps: float | None = None
        if source.scene_error is not None:
            self._raise_mask_fault(source.scene_error)
        can_open = source.scene_error is None
        self.latest_frame = LatestFrame() if can_open and self.config.detect.enabled else None
        self.detector = self._load_detector() if self.latest_frame else None
        self.detect_stage = (
            self._make_detection(self.latest_frame, source.scene) if self.latest_frame else None
        )
        self.packet_queue: PacketQueue | None = None
        self.record_stage: RecordStage | None = None
        if can_open and self.config.record:
            self.packet_queue = PacketQueue(QUEUE_BYTES, self._on_queue_overflow)
            self.record_stage = RecordStage(
                self.config.name,
                self.packet_queue,
                services.record_config,
                services.footage_dir,
                services.clock,
                services.faults,
                retention=services.retention,
                provenance=self._make_provenance(),
                sealer=self._make_sealer(),
                on_gap=self._on_recorder_gap,
                on_segment=callbacks.on_segment,
                is_suspended=lambda: not self.duty.can_record,
            )
        self.capture_stages = self._make_capture_stages(source)
        self.onvif_stage = self._make_onvif_stage(source.open_feed)
        """What the camera reports itself, None where nobody wants to hear it."""

    @property
    def name(self) -> str:
        """The camera's name."""
        return self.config.name

    @property
    def stages(self) -> tuple[tuple[Stage, ...], ...]:
        """In data order: captures, recorder, detection."""
        record_stages = (self.record_stage,) if self.record_stage else ()
        detect_stages = (self.detect_stage,) if self.detect_stage else ()
        return self.capture_stages, record_stages, detect_stages

    def counts(self) -> CaptureCounts:
        """Of all its streams together: the worst of their ages, the sum of what they gave. One that
        rests is left out of what is only true of those that do not.
        """
        all_counts = [capture.counts() for capture in self.capture_stages]
        active = [counts for counts in all_counts if not counts.is_suspended]
        times = [counts.last_media_ns for counts in active]
        return CaptureCounts(
            is_open=bool(active) and all(counts.is_open for counts in active),
            packets=sum(counts.packets for counts in all_counts),
            frames=sum(counts.frames for counts in all_counts),
            reconnects=sum(counts.reconnects for counts in all_counts),
            last_media_ns=None
            if None in times
            else min((t_ns for t_ns in times if t_ns is not None), default=None),
            last_error=next(
                (counts.last_error for counts in all_counts if counts.last_error), self._refusal
            ),
            is_stuck=any(counts.is_stuck for counts in all_counts),
            readings=next((counts.readings for counts in all_counts if counts.readings), None),
        )

    def camera_counts(self) -> CameraCounts:
        """What the camera has given and its detector has done, for the report of health."""
        counts, detector = self.counts(), self.detector
        return CameraCounts(
            name=self.name,
            open=counts.is_open,
            media_count=counts.frames if self.latest_frame else counts.packets,
            last_ns=counts.last_media_ns,
            reconnects=counts.reconnects,
            frames_replaced=self.latest_frame.replaced if self.latest_frame else 0,
            packets_dropped=self.packet_queue.dropped if self.packet_queue else 0,
            last_error=counts.last_error,
            is_detecting=self.detect_stage is not None,
            model=detector.card.name if detector else None,
            inferences=detector.inference_count if detector else 0,
            inference_cpu_ns=detector.cpu_ns if detector else 0,
            tracks=self.detect_stage.track_count if self.detect_stage else 0,
            readings=counts.readings,
            target_fps=self._target_fps(),
        )

    @property
    def is_suspended(self) -> bool:
        """Whether nothing is taken from the camera now, because the box is under strain."""
        return bool(self.capture_stages) and all(
            capture.is_suspended for capture in self.capture_stages
        )

    def set_level(self, level: DegradationLevel) -> None:
        """Do no more than a level allows, from the next turn of each stage on."""
        gap = self.duty.set_level(level, self._services.clock.boottime_ns())
        if gap is not None and self.record_stage is not None:
            self._callbacks.on_suspended(self.name, *gap)

    def read_night_mode(self) -> bool | None:
        """Whether the camera takes its pictures for darkness; None where it does not say."""
        readings = self.counts().readings
        return None if readings is None else readings.night

    @property
    def is_masked(self) -> bool:
        """Whether a scene of it hides something."""
        return bool(self._masks)

    @property
    def masked_presets(self) -> Mapping[str, str]:
        """The scene file of each preset, where one of them hides something, or one that cannot be
        loaded may.
        """
        return self.config.detect.scenes if self.is_masked or self._refusal else {}

    def capabilities(self) -> CameraCapabilities:
        """What the birth says of the camera."""
        return CameraCapabilities(
            name=self.name,
            driver=self.config.driver,
            model=self.detector.card.name if self.detector else None,
            record=self.record_stage is not None,
        )

    def on_check(self, t_ns: int, last_ns: int | None) -> None:
        """A round of `agent.health.camera_watchdog`: tell when the camera is lost, and when it is back."""
        for event in self._camera_lost_rule.step(t_ns, last_ns):
            self._callbacks.on_event(event, None)

    def _make_onvif_stage(
        self, open_feed: Callable[[], OnvifEventFeed] | None
    ) -> OnvifEventStage | None:
        if open_feed is None or self.config.onvif is None:
            return None
        return OnvifEventStage(
            self.name,
            self.config.onvif.events,
            open_feed,
            self._services.clock.boottime_ns,
            self._services.new_id,
            lambda event: self._callbacks.on_event(event, None),
        )

    def _make_sealer(self) -> Sealer | None:
        """What seals this camera's footage, None where it lies plain."""
        return Sealer.from_config(
            self._services.record_config.recipient,
            box=self._services.box_id,
            camera=self.name,
            key_ring=self.key_ring,
        )

    def _make_provenance(self) -> SegmentProvenance:
        """What a receipt says of the making of this camera's footage. Where its stream turns out to
        be encoded by its driver, the mask is burnt in, and the ring says that.
        """
        return SegmentProvenance(
            software=f"vigie {__version__}",
            model=self.detector.card.sha256 if self.detector else None,
            mask=mask_store.version(self._masks) if self._masks else None,
            config=self._services.config_version,
            mask_applied="export" if self._masks else "none",
        )

    def _make_capture_stages(self, source: CameraSource) -> tuple[CaptureStage, ...]:
        fps = self.config.detect.fps if self.latest_frame else 0.0
        open_detect = source.open_detect if self.latest_frame else None
        detect_wanted = self._build_wanted(packets=False, fps=fps)
        main_wanted = msgspec.structs.replace(
            detect_wanted,
            packets=self.packet_queue is not None,
            frames_fps=0.0 if open_detect else fps,
        )
        stages: list[CaptureStage] = []
        if main_wanted.packets or main_wanted.frames_fps:
            frames = None if open_detect else self.latest_frame
            stages.append(
                self._make_capture_stage(
                    "", source.open_main, main_wanted, frames, self.packet_queue
                )
            )
        if open_detect:
            stages.append(
                self._make_capture_stage(
                    " for detection", open_detect, detect_wanted, self.latest_frame, None
                )
            )
        return tuple(stages)

    def _make_capture_stage(
        self,
        name_suffix: str,
        open_camera: OpenCamera,
        wanted: StreamRequest,
        frames: LatestFrame | None,
        packets: PacketQueue | None,
    ) -> CaptureStage:
        return CaptureStage(
            self.name + name_suffix,
            lambda: self._open_camera(open_camera, self.duty.limit(wanted) or wanted),
            self._services.clock.boottime_ns,
            frames=frames,
            packets=packets,
            on_open=lambda info: self._on_open(info, frames, packets),
            on_end=lambda: self._callbacks.on_ended(self.name),
            wanted=lambda: self.duty.limit(wanted),
        )

    def _target_fps(self) -> float | None:
        if self.latest_frame is None or not self.duty.can_detect:
            return None
        return min(self.config.detect.fps, self._stream_fps or self.config.detect.fps)

    def _open_camera(self, open_camera: OpenCamera, wanted: StreamRequest) -> Camera:
        """Open the camera, unless its masks can be neither kept nor drawn."""
        try:
            if wanted.has_masks:
                mask_store.store(self._services.masks_dir, self._masks)
            camera = open_camera(wanted)
            self._check_burnt_in(camera, wanted)
        except OSError as error:
            refusal = MaskError(f"camera {self.name!r}: masks cannot be kept: {error}")
            self._raise_mask_fault(str(refusal))
            raise refusal from error
        except MaskError as error:
            self._raise_mask_fault(str(error))
            raise
        self._services.faults.clear("MSK-01", self.name)
        return camera

    def _check_burnt_in(self, camera: Camera, wanted: StreamRequest) -> None:
        """An export cannot tell where the head looked. Closes the camera and raises MaskRefused."""
        if wanted.current_masks is not None and wanted.packets and not camera.info.masked:
            camera.close()
            raise MaskError(
                f"camera {self.name!r}: its stream arrives encoded, and masks that turn with a "
                "head must be burnt in; allowed: transcode = true"
            )

    def _build_wanted(self, *, packets: bool, fps: float) -> StreamRequest:
        """What is asked of the camera, with what it must hide."""
        if self.active_scene is None:
            return StreamRequest(packets=packets, frames_fps=fps, masks=self._masks)
        masks_now = self.active_scene.masks if self.active_scene.has_masks else None
        return StreamRequest(packets=packets, frames_fps=fps, current_masks=masks_now)

    def _raise_mask_fault(self, reason: str) -> None:
        log.error("%s: %s; stays closed", self.name, reason)
        self._services.faults.raise_fault("MSK-01", self.name, reason)

    def _load_detector(self) -> TfliteDetector | None:
        """The detector, or None and a fault where the model is not what its card says."""
        try:
            return open_detector(self.config.detect.model)
        except ModelRefused as error:
            log.error("%s: %s; goes on without detection", self.name, error)
            self._services.faults.raise_fault("DET-01", self.name, str(error))
            return None

    def _make_detection(self, frames: LatestFrame, scene: Scene) -> DetectStage | PtzDetectStage:
        if self.active_scene is None:
            return self._make_detect_stage(frames, scene)
        return PtzDetectStage(
            self.name,
            frames,
            self.active_scene,
            lambda scene: self._make_detect_stage(frames, scene),
        )

    def _make_detect_stage(self, frames: LatestFrame, scene: Scene | None) -> DetectStage:
        config = self.config
        on_frame_result = self._callbacks.on_frame_result
        return DetectStage(
            config.name,
            frames,
            DetectionPipeline(
                self.detector,
                excluded_polygons=() if scene is None else scene.excluded_polygons,
                track_ids=self._track_numbers,
            ),
            None if scene is None else RuleEngine(config.name, scene, self._services.new_id),
            on_event=self._callbacks.on_event,
            on_traffic_counts=self._callbacks.on_traffic_counts,
            on_result=(lambda frame, result: on_frame_result(config.name, frame, result))
            if on_frame_result
            else None,
            snapshots=config.detect.snapshots,
        )

    def _on_open(
        self, info: StreamInfo, frames: LatestFrame | None, packets: PacketQueue | None
    ) -> None:
        if frames is not None:
            self._stream_fps = info.fps
        if packets is not None and self.record_stage:
            self.record_stage.on_stream_opened(info)

    def _on_queue_overflow(self, begin_ns: int, end_ns: int) -> None:
        """The queue was full."""
        if self.record_stage:
            self.record_stage.record_gap(begin_ns, end_ns)

    def _on_recorder_gap(self, begin_ns: int, end_ns: int) -> None:
        self._callbacks.on_gap(self.name, begin_ns, end_ns)


def _all_masks(source: CameraSource) -> tuple[Polygon, ...]:
    """What its scenes hide, wherever a head turns it."""
    scenes = () if source.scenes is None else source.scenes.values()
    return (*source.scene.masks, *(mask for scene in scenes for mask in scene.masks))
