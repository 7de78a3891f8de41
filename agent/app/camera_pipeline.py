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
from agent.base.health_model import Level
from agent.base.model import Event, Flow, FrameResult, Segment
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
from agent.detection.rules.camera_lost import CameraLost
from agent.detection.scene import Scene
from agent.detection.tflite import Detector, open_detector
from agent.faults.registry import FaultRegistry
from agent.health.load_shedding import CameraDuty
from agent.recording import mask_store
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.encryption.keys import KeyRing
from agent.recording.encryption.seal import KEPT_KEYS, Sealer
from agent.recording.record_stage import RecordStage
from agent.recording.retention.retention_stage import RetentionStage
from agent.recording.segment_writer import Provenance
from agent.reporting.health_report import CameraCounts
from agent.reporting.payloads import CameraCapabilities
from agent.runtime.queues import LatestFrame, PacketQueue
from agent.runtime.stage import Stage
from drivers.contracts import Camera, Wanted
from drivers.errors import MaskRefused
from drivers.media import Frame, Polygon, StreamInfo

log = logging.getLogger(__name__)

QUEUE_BYTES = 16_000_000
"""Packets on their way to the recorder: half a minute of a 4 Mbit/s stream."""


class PipelineCallbacks(msgspec.Struct, frozen=True, kw_only=True):
    """Where a lane's results go. All are called from the lane's own threads."""

    event: Callable[[Event, bytes | None], None]
    flow: Callable[[Flow], None]
    gap: Callable[[str, int, int], None]
    segment: Callable[[Segment], None]
    sight: Callable[[str, Frame, FrameResult], None] | None
    ended: Callable[[str], None]
    rested: Callable[[str, int, int], None] = lambda _camera, _begin_ns, _end_ns: None


class BoxServices(msgspec.Struct, frozen=True, kw_only=True):
    """What all lanes of a box share."""

    clock: Clock
    faults: FaultRegistry
    new_id: Callable[[int], str]
    footage: Path
    masks: Path
    record: RecordConfig
    custody: CustodyLog
    keeper: RetentionStage
    box: str
    config_version: str


class CameraPipeline:
    """The stages of one camera, and what they have to say of themselves."""

    def __init__(self, source: CameraSource, commons: BoxServices, out: PipelineCallbacks) -> None:
        self.config = source.config
        self._commons = commons
        self._out = out
        self._lost = CameraLost(
            self.config.name, commons.new_id, since_ns=commons.clock.boottime_ns()
        )
        self._refused = source.refused
        self.viewpoint = None if source.scenes is None else ActiveScene(source.scenes)
        self._masks = _all_masks(source)
        self.keys = KeyRing(KEPT_KEYS)
        self._track_numbers = count(1)
        self.allowance = CameraDuty()
        self._stream_fps: float | None = None
        if source.refused is not None:
            self._raise_masked(source.refused)
        opens = source.refused is None
        self.frames = LatestFrame() if opens and self.config.detect.enabled else None
        self.detector = self._load_detector() if self.frames else None
        self.detect = self._detection(self.frames, source.scene) if self.frames else None
        self.packets: PacketQueue | None = None
        self.record: RecordStage | None = None
        if opens and self.config.record:
            self.packets = PacketQueue(QUEUE_BYTES, self._on_gap)
            self.record = RecordStage(
                self.config.name,
                self.packets,
                commons.record,
                commons.footage,
                commons.clock,
                commons.faults,
                keeper=commons.keeper,
                provenance=self._provenance(),
                sealer=self._sealer(),
                on_gap=self._on_recorder_gap,
                on_segment=out.segment,
                rests=lambda: not self.allowance.records,
            )
        self.captures = self._captures(source)
        self.reports = self._reports(source.open_feed)
        """What the camera reports itself, None where nobody wants to hear it."""

    @property
    def name(self) -> str:
        """The camera's name."""
        return self.config.name

    @property
    def stages(self) -> tuple[tuple[Stage, ...], ...]:
        """In data order: captures, recorder, detection."""
        record = (self.record,) if self.record else ()
        detect = (self.detect,) if self.detect else ()
        return self.captures, record, detect

    def counts(self) -> CaptureCounts:
        """Of all its streams together: the worst of their ages, the sum of what they gave. One that
        rests is left out of what is only true of those that do not.
        """
        each = [capture.counts() for capture in self.captures]
        awake = [counts for counts in each if not counts.rests]
        times = [counts.last_ns for counts in awake]
        return CaptureCounts(
            open=bool(awake) and all(counts.open for counts in awake),
            packets=sum(counts.packets for counts in each),
            frames=sum(counts.frames for counts in each),
            reopened=sum(counts.reopened for counts in each),
            last_ns=None
            if None in times
            else min((t_ns for t_ns in times if t_ns is not None), default=None),
            last_error=next(
                (counts.last_error for counts in each if counts.last_error), self._refused
            ),
            stuck=any(counts.stuck for counts in each),
            readings=next((counts.readings for counts in each if counts.readings), None),
        )

    def camera_counts(self) -> CameraCounts:
        """What the camera has given and its detector has done, for the report of health."""
        counts, detector = self.counts(), self.detector
        return CameraCounts(
            name=self.name,
            open=counts.open,
            media=counts.frames if self.frames else counts.packets,
            last_ns=counts.last_ns,
            reopened=counts.reopened,
            frames_replaced=self.frames.replaced if self.frames else 0,
            packets_dropped=self.packets.dropped if self.packets else 0,
            last_error=counts.last_error,
            watched=self.detect is not None,
            model=detector.card.name if detector else None,
            passes=detector.passes if detector else 0,
            pass_cpu_ns=detector.cpu_ns if detector else 0,
            tracks=self.detect.tracks if self.detect else 0,
            readings=counts.readings,
            fps_wanted=self._fps_wanted(),
        )

    @property
    def is_suspended(self) -> bool:
        """Whether nothing is taken from the camera now, because the box is under strain."""
        return bool(self.captures) and all(capture.rests for capture in self.captures)

    def set_level(self, level: Level) -> None:
        """Do no more than a level allows, from the next turn of each stage on."""
        gap = self.allowance.shed(level, self._commons.clock.boottime_ns())
        if gap is not None and self.record is not None:
            self._out.rested(self.name, *gap)

    def is_night(self) -> bool | None:
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
        return self.config.detect.scenes if self.is_masked or self._refused else {}

    def capabilities(self) -> CameraCapabilities:
        """What the birth says of the camera."""
        return CameraCapabilities(
            name=self.name,
            driver=self.config.driver,
            model=self.detector.card.name if self.detector else None,
            record=self.record is not None,
        )

    def on_check(self, t_ns: int, last_ns: int | None) -> None:
        """A round of `agent.health.camera_watchdog`: tell when the camera is lost, and when it is back."""
        for event in self._lost.step(t_ns, last_ns):
            self._out.event(event, None)

    def _reports(self, open_feed: Callable[[], OnvifEventFeed] | None) -> OnvifEventStage | None:
        if open_feed is None or self.config.onvif is None:
            return None
        return OnvifEventStage(
            self.name,
            self.config.onvif.events,
            open_feed,
            self._commons.clock.boottime_ns,
            self._commons.new_id,
            lambda event: self._out.event(event, None),
        )

    def _sealer(self) -> Sealer | None:
        """What seals this camera's footage, None where it lies plain."""
        return Sealer.from_config(
            self._commons.record.recipient,
            box=self._commons.box,
            camera=self.name,
            keys=self.keys,
        )

    def _provenance(self) -> Provenance:
        """What a receipt says of the making of this camera's footage. Where its stream turns out to
        be encoded by its driver, the mask is burnt in, and the ring says that.
        """
        return Provenance(
            software=f"vigie {__version__}",
            model=self.detector.card.sha256 if self.detector else None,
            mask=mask_store.version(self._masks) if self._masks else None,
            config=self._commons.config_version,
            mask_applied="export" if self._masks else "none",
        )

    def _captures(self, source: CameraSource) -> tuple[CaptureStage, ...]:
        fps = self.config.detect.fps if self.frames else 0.0
        apart = source.open_detect if self.frames else None
        wanted = self._wanted_of(packets=False, fps=fps)
        main = msgspec.structs.replace(
            wanted, packets=self.packets is not None, frames_fps=0.0 if apart else fps
        )
        streams: list[CaptureStage] = []
        if main.packets or main.frames_fps:
            frames = None if apart else self.frames
            streams.append(self._capture("", source.open_main, main, frames, self.packets))
        if apart:
            streams.append(self._capture(" for detection", apart, wanted, self.frames, None))
        return tuple(streams)

    def _capture(
        self,
        of: str,
        open_camera: OpenCamera,
        wanted: Wanted,
        frames: LatestFrame | None,
        packets: PacketQueue | None,
    ) -> CaptureStage:
        return CaptureStage(
            self.name + of,
            lambda: self._open(open_camera, self.allowance.of(wanted) or wanted),
            self._commons.clock.boottime_ns,
            frames=frames,
            packets=packets,
            on_open=lambda info: self._on_open(info, frames, packets),
            on_end=lambda: self._out.ended(self.name),
            wanted=lambda: self.allowance.of(wanted),
        )

    def _fps_wanted(self) -> float | None:
        if self.frames is None or not self.allowance.detects:
            return None
        return min(self.config.detect.fps, self._stream_fps or self.config.detect.fps)

    def _open(self, open_camera: OpenCamera, wanted: Wanted) -> Camera:
        """Open the camera, unless its masks can be neither kept nor drawn."""
        try:
            if wanted.masked:
                mask_store.keep(self._commons.masks, self._masks)
            camera = open_camera(wanted)
            self._check_burnt_in(camera, wanted)
        except OSError as error:
            refused = MaskRefused(f"camera {self.name!r}: masks cannot be kept: {error}")
            self._raise_masked(str(refused))
            raise refused from error
        except MaskRefused as error:
            self._raise_masked(str(error))
            raise
        self._commons.faults.clear("MSK-01", self.name)
        return camera

    def _check_burnt_in(self, camera: Camera, wanted: Wanted) -> None:
        """An export cannot tell where the head looked. Closes the camera and raises MaskRefused."""
        if wanted.masks_now is not None and wanted.packets and not camera.info.masked:
            camera.close()
            raise MaskRefused(
                f"camera {self.name!r}: its stream arrives encoded, and masks that turn with a "
                "head must be burnt in; allowed: transcode = true"
            )

    def _wanted_of(self, *, packets: bool, fps: float) -> Wanted:
        """What is asked of the camera, with what it must hide."""
        if self.viewpoint is None:
            return Wanted(packets=packets, frames_fps=fps, masks=self._masks)
        masks_now = self.viewpoint.masks if self.viewpoint.masks_anything else None
        return Wanted(packets=packets, frames_fps=fps, masks_now=masks_now)

    def _raise_masked(self, why: str) -> None:
        log.error("%s: %s; stays closed", self.name, why)
        self._commons.faults.raise_fault("MSK-01", self.name, why)

    def _load_detector(self) -> Detector | None:
        """The detector, or None and a fault where the model is not what its card says."""
        try:
            return open_detector(self.config.detect.model)
        except ModelRefused as error:
            log.error("%s: %s; goes on without detection", self.name, error)
            self._commons.faults.raise_fault("DET-01", self.name, str(error))
            return None

    def _detection(self, frames: LatestFrame, scene: Scene) -> DetectStage | PtzDetectStage:
        if self.viewpoint is None:
            return self._watch(frames, scene)
        return PtzDetectStage(
            self.name, frames, self.viewpoint, lambda scene: self._watch(frames, scene)
        )

    def _watch(self, frames: LatestFrame, scene: Scene | None) -> DetectStage:
        config = self.config
        sight = self._out.sight
        return DetectStage(
            config.name,
            frames,
            DetectionPipeline(
                self.detector,
                masks=() if scene is None else scene.unwatched,
                numbers=self._track_numbers,
            ),
            None if scene is None else RuleEngine(config.name, scene, self._commons.new_id),
            on_event=self._out.event,
            on_flow=self._out.flow,
            on_sight=(lambda frame, seen: sight(config.name, frame, seen)) if sight else None,
            snapshots=config.detect.snapshots,
        )

    def _on_open(
        self, info: StreamInfo, frames: LatestFrame | None, packets: PacketQueue | None
    ) -> None:
        if frames is not None:
            self._stream_fps = info.fps
        if packets is not None and self.record:
            self.record.stream_opened(info)

    def _on_gap(self, begin_ns: int, end_ns: int) -> None:
        """The queue was full."""
        if self.record:
            self.record.note_gap(begin_ns, end_ns)

    def _on_recorder_gap(self, begin_ns: int, end_ns: int) -> None:
        self._out.gap(self.name, begin_ns, end_ns)


def _all_masks(source: CameraSource) -> tuple[Polygon, ...]:
    """What its scenes hide, wherever a head turns it."""
    places = () if source.scenes is None else source.scenes.values()
    return (*source.scene.masks, *(mask for scene in places for mask in scene.masks))
