"""Camera pipeline: the stages of one camera, from capture to recording, detection and ONVIF events."""

import threading
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from agent import __version__
from agent.base.count_proof import CountProof
from agent.base.health_model import (
    CameraHealth,
    DecodingState,
    DegradationLevel,
    DetectorHealth,
)
from agent.base.model import FrameResult, Segment
from agent.base.view_condition import ViewCondition
from agent.capture.camera_source import CameraSource, OpenCamera
from agent.capture.camera_views import FrameFeed, open_view
from agent.capture.capture_stage import CaptureCounts, CaptureStage, MediaQueues
from agent.capture.next_frame import NextFrame
from agent.capture.onvif_events import OnvifEventFeed, OnvifEventStage
from agent.capture.packet_tap import PacketTap
from agent.capture.reader_fault import ReaderFault
from agent.capture.snapshot_command import CameraAccess
from agent.config.configuration import CameraConfig
from agent.detection.active_scene import ActiveScene, FixedScene
from agent.detection.rules.camera_lost import CameraLostRule
from agent.detection.span_light import LightSpan
from agent.health.camera_condition import CameraMonitor
from agent.health.camera_watchdog import WatchedCamera
from agent.health.rates import CameraCounters, CameraRates
from agent.pipeline.camera_detection import CameraDetection
from agent.pipeline.camera_detector import sensor_openings
from agent.pipeline.camera_masks import CameraMasks
from agent.pipeline.camera_services import CameraServices
from agent.recording.camera_recovery import SegmentProvenance
from agent.recording.encryption.key_wrapping import KEY_RING_CAPACITY, Sealer
from agent.recording.encryption.keys import KeyRing
from agent.recording.record_stage import RecordStage
from agent.recording.segment_writer import SegmentTarget
from agent.recording.silence_gaps import SilenceGaps
from agent.reporting.payloads import CameraCapabilities
from agent.runtime.queues import LatestFrame, PacketQueue
from drivers.contracts import SensorNetworkControl, StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame, StreamInfo

QUEUE_BYTES = 16_000_000
"""Bound of the packets that wait for the recorder: half a minute of a 4 Mbit/s stream."""

SUSPENDED_REASON = "recording was suspended: the box was overloaded"

FrameListener = Callable[[Frame, FrameResult], None]
"""Called with each frame that was processed and its result, on the detect thread, before its events."""


class CameraPipeline:
    """The stages of one camera. Listeners are added before the stages start."""

    def __init__(
        self,
        source: CameraSource,
        services: CameraServices,
        fisheye: "CameraPipeline | None" = None,
    ) -> None:
        """`fisheye` is the camera that the source is a view of."""
        self.config = source.config
        self._fisheye = fisheye
        self.frame_feed = None if source.config.lens is None else FrameFeed(source.config.name)
        """The frames for the views of a fisheye camera."""
        self._services = services
        self.frame_listeners: list[FrameListener] = []
        self._next_frame, self._packet_tap = NextFrame(), PacketTap()
        self.segment_listeners: list[Callable[[Segment], None]] = []
        """Called with each closed footage file, on the record thread."""
        self.ended = threading.Event()
        """Set when the camera has played to its end."""
        self._refusal = source.scene_error
        self.active_scene = (
            None
            if source.scenes is None
            else ActiveScene(source.scenes, services.clock.boottime_ns)
        )
        self._scene = self.active_scene or FixedScene(source.scene)
        self._masks = CameraMasks(source, services, self._scene)
        self._silence = CameraSilence(self.config, services, lambda: self._masks.error)
        self.monitor = CameraMonitor(services.clock.boottime_ns())
        self.key_ring = KeyRing(KEY_RING_CAPACITY)
        self.duty = CameraDuty()
        self._stream_requests: list[StreamRequest] = []
        self._sensor_openings = sensor_openings(self.config, services.clock)
        can_open = source.scene_error is None
        self.detection = (
            CameraDetection(
                source, services, self._scene, self._on_frame_result, self._sensor_network
            )
            if can_open and self.config.detect.enabled
            else None
        )
        """None if nothing is detected on this camera."""
        self.latest_frame = self.detection.frames if self.detection else None
        self._frame_queue = self.latest_frame or (self.frame_feed if can_open else None)
        self.detector = self.detection.detector if self.detection else None
        self.detect_stage = self.detection.stage if self.detection else None
        self.packet_queue: PacketQueue | None = None
        self.record_stage: RecordStage | None = None
        if can_open and self.config.record:
            self.packet_queue = PacketQueue(QUEUE_BYTES, self._on_queue_overflow)
            self.record_stage = RecordStage(
                SegmentTarget(
                    self.name,
                    services.footage_dir,
                    services.recording.config,
                    services.recording.retention,
                    self._make_provenance,
                    Sealer.from_config(
                        services.recording.config.recipient,
                        box=services.box_id,
                        camera=self.name,
                        key_ring=self.key_ring,
                    ),
                ),
                self.packet_queue,
                services.clock,
                services.faults,
                on_gap=self._on_recorder_gap,
                on_segment=self._on_segment,
                is_suspended=lambda: not self.duty.can_record,
            )
        self._reader_fault = ReaderFault(self.name, services.faults, services.clock.boottime_ns)
        self.capture_stages = self._make_capture_stages(source)
        self.onvif_stage = self._make_onvif_stage(source.open_feed)
        """Reads the camera's own events, None if the configuration subscribes to none."""

    @property
    def name(self) -> str:
        """The camera's name."""
        return self.config.name

    def counts(self) -> CaptureCounts:
        """Return the counts of all streams together: the oldest age, the sums of the counters.

        `is_open` and the age leave out suspended streams.
        """
        all_counts = [capture.counts() for capture in self.capture_stages]
        active = [counts for counts in all_counts if not counts.is_suspended]
        times = [counts.last_media_ns for counts in active]
        return CaptureCounts(
            is_open=bool(active) and all(counts.is_open for counts in active),
            could_open=bool(active) and all(counts.could_open for counts in active),
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

    def counters(self) -> CameraCounters:
        """Return the counters that the health report's rates are computed from."""
        counts, detector = self.counts(), self.detector
        return CameraCounters(
            t_ns=self._services.clock.boottime_ns(),
            captured=counts.packets if self.packet_queue else counts.frames,
            detected=self.detection.detected_frames if self.detection else 0,
            inferences=detector.inference_count if detector else 0,
            inference_cpu_ns=detector.cpu_ns if detector else 0,
        )

    def camera_health(self, rates: CameraRates) -> CameraHealth:
        """Return the camera's health."""
        counts, t_ns = self.counts(), self._services.clock.boottime_ns()
        last_ns = counts.last_media_ns
        return CameraHealth(
            name=self.name,
            open=counts.is_open,
            state=self.monitor.condition.state,
            stream_fps=rates.stream_fps,
            detect_fps=rates.detect_fps if self.latest_frame else None,
            age_s=None if last_ns is None else max(0.0, (t_ns - last_ns) / 1e9),
            reconnects=counts.reconnects,
            frames_replaced=self.latest_frame.replaced if self.latest_frame else 0,
            packets_dropped=self.packet_queue.dropped if self.packet_queue else 0,
            last_error=counts.last_error,
            readings=counts.readings,
            target_detect_fps=self._target_detect_fps(),
            decoding=self._decoding(),
            ground=self.detection.ground.health() if self.detection else None,
            view=self._view(),
            unsupported=self.detection.unsupported() if self.detection else (),
            countable_ratio=self.detection.countable_ratio() if self.detection else None,
            events_left_out=self.detection.event_limit.left_out if self.detection else 0,
        )

    def detector_health(self, rates: CameraRates) -> DetectorHealth | None:
        """Return the detector's health, or None if nothing is detected on this camera."""
        return None if self.detection is None else self.detection.health(rates)

    def access(self) -> CameraAccess:
        """Return the access to the camera's pictures."""
        owner_policy = self.config.institution
        return CameraAccess(
            viewers=owner_policy.viewers if owner_policy else None,
            has_frames=self.detect_stage is not None,
            is_suspended=lambda: not self.duty.can_detect,
            next_frame=self._next_frame,
            packet_tap=self._packet_tap if self.record_stage else None,
            masks=lambda: self._masks.polygons,
        )

    def watch_spec(self) -> WatchedCamera:
        """Return what the camera watchdog needs of this camera."""
        return WatchedCamera(
            name=self.name,
            monitor=self.monitor,
            counts=self.counts,
            on_check=self._silence.check,
            is_shed=self._is_shed,
            mask_error=lambda: self._masks.error,
            breaks_reader=lambda: self._reader_fault.is_active,
            target_detect_fps=self._target_detect_fps,
            view=self._view,
        )

    def set_level(self, level: DegradationLevel) -> None:
        """Limit the stages to a degradation level, from their next turn on."""
        self._services.inference.pass_budget.set_strained(is_strained=level == "reduced_detection")
        gap = self.duty.set_level(level, self._services.clock.boottime_ns())
        if gap is not None and self.record_stage is not None:
            self._services.publisher.publish_gap(self.name, *gap, SUSPENDED_REASON)

    def set_min_fps(self, fps: float | None) -> bool | None:
        """Raise the frame rate of the recorded stream, see `CaptureStage.set_min_fps`. Thread-safe."""
        return self.capture_stages[0].set_min_fps(fps) if self.capture_stages else None

    def hold_night(self, night: bool | None, until_ns: int) -> bool:  # noqa: FBT001 - as `CaptureStage.hold_night`
        """Choose the night mode of all streams until a time. Return False if none can. Thread-safe."""
        held = [capture.hold_night(night, until_ns) for capture in self.capture_stages]
        return any(held)

    def read_night_mode(self) -> bool | None:
        """Return True if the camera is in night mode, or None if it does not report that."""
        readings = self.counts().readings
        return None if readings is None else readings.night

    @property
    def is_masked(self) -> bool:
        """Return True if one of its scenes has masks, or that of its fisheye camera."""
        return bool(self._masks) or (self._fisheye is not None and self._fisheye.is_masked)

    @property
    def masked_presets(self) -> Mapping[str, str]:
        """The scene file of each preset, empty if none has masks and all could be loaded."""
        return self.config.detect.scenes if self.is_masked or self._refusal else {}

    def replace_scene(self, source: CameraSource) -> None:
        """Use the scenes of another source of the same camera, while it is recorded.

        Raises: MaskError if their masks cannot be stored or applied; the old ones stay then.
        """
        self._masks.replace(source)
        if self.detection is not None:
            self.detection.replace_scenes(source)
        self.config = source.config

    def replace_proof(self, proof: CountProof | None) -> None:
        """Use another proof of the counts, or none."""
        if self.detection is not None:
            self.detection.replace_proof(proof)

    def light_spans(self) -> tuple[LightSpan, ...]:
        """Return the known light of the view, none if nothing is counted. Thread-safe."""
        return () if self.detection is None else self.detection.light.spans()

    def capabilities(self) -> CameraCapabilities:
        """Return the camera's entry in the birth message."""
        return CameraCapabilities(
            name=self.name,
            driver=self.config.driver,
            model=self.detector.card.name if self.detector else None,
            record=self.record_stage is not None,
            view_of=self.config.view_of,
        )

    def _view(self) -> ViewCondition | None:
        return self.detection.view() if self.detection else None

    def _is_shed(self) -> bool:
        """Return True if the degradation level leaves no stream of the camera open."""
        return bool(self._stream_requests) and all(
            self.duty.limit(request) is None for request in self._stream_requests
        )

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
            self._services.publisher.publish_event,
            self._reader_fault,
        )

    def _make_provenance(self, begin_ns: int) -> SegmentProvenance:
        """Return the provenance for the receipt of footage since `begin_ns`. Thread-safe.

        If the driver encodes the stream, masks are burnt in: the segment writer corrects `mask_applied`.
        """
        mask = self._masks.version_since(begin_ns)
        return SegmentProvenance(
            software=f"vigie {__version__}",
            model=self.detector.card.sha256 if self.detector else None,
            mask=mask,
            config=self._services.recording.config_version,
            mask_applied="none" if mask is None else "export",
        )

    def _make_capture_stages(self, source: CameraSource) -> tuple[CaptureStage, ...]:
        fps = self.config.detect.fps if self._frame_queue else 0.0
        open_detect = source.open_detect if self._frame_queue else None
        detect_wanted = msgspec.structs.replace(
            self._masks.stream_request(packets=False, frames_fps=fps),
            on_decoder_failure=self._on_decoder_failure,
        )
        main_wanted = msgspec.structs.replace(
            detect_wanted,
            packets=self.packet_queue is not None,
            frames_fps=0.0 if open_detect else fps,
            keyframe_watch=self._keyframe_watch(source),
        )
        stages: list[CaptureStage] = []
        if main_wanted.packets or main_wanted.frames_fps:
            frames = None if open_detect else self._frame_queue
            stages.append(
                self._make_capture_stage(
                    "", self._main_opener(source), main_wanted, frames, self.packet_queue
                )
            )
        if open_detect:
            stages.append(
                self._make_capture_stage(
                    " for detection", open_detect, detect_wanted, self._frame_queue, None
                )
            )
        return tuple(stages)

    def _main_opener(self, source: CameraSource) -> OpenCamera:
        """Return the opener of the main stream: a view has the frames of its fisheye camera, which one stage reads."""
        feed = None if self._fisheye is None else self._fisheye.frame_feed
        if feed is None or source.dewarper is None:
            return source.open_main
        return partial(open_view, source.dewarper, feed.open)

    def _keyframe_watch(self, source: CameraSource) -> Callable[[Frame], bool] | None:
        """Return the watch of a stream that is decoded on demand, or None.

        A second stream costs little to decode, a head needs its pictures at once, and transcoding needs all of them.
        """
        if source.open_detect or self.active_scene or self.config.transcode:
            return None
        if self.frame_feed is not None:
            return self.frame_feed.is_wanted
        return None if self.detection is None else self.detection.keyframe_watch.is_wanted

    def _make_capture_stage(
        self,
        name_suffix: str,
        open_camera: OpenCamera,
        wanted: StreamRequest,
        frames: LatestFrame | FrameFeed | None,
        packets: PacketQueue | None,
    ) -> CaptureStage:
        self._stream_requests.append(wanted)
        return CaptureStage(
            self.name + name_suffix,
            lambda: self._masks.open_camera(
                open_camera, self._with_network(self.duty.limit(wanted) or wanted)
            ),
            self._services.clock.boottime_ns,
            MediaQueues(
                frames=frames,
                packets=packets,
                packet_tap=None if packets is None else self._packet_tap,
            ),
            on_open=lambda info: self._on_open(info, frames, packets),
            on_end=self.ended.set,
            wanted=lambda: self.duty.limit(wanted),
            reader_fault=self._reader_fault,
        )

    def _on_decoder_failure(self, error: DriverError) -> None:
        """Until the agent ends: the driver does not use the decoder again."""
        self._services.faults.raise_fault("CAM-10", self.name, error)

    def _decoding(self) -> DecodingState | None:
        return self.detection.keyframe_watch.state if self.detection else None

    def _with_network(self, wanted: StreamRequest) -> StreamRequest:
        openings = self._sensor_openings
        return wanted if openings is None else openings.apply(wanted)

    def _sensor_network(self) -> SensorNetworkControl | None:
        return self.capture_stages[0].sensor_network() if self.capture_stages else None

    def _target_detect_fps(self) -> float | None:
        if self.detection is None or not self.duty.can_detect or self._decoding() == "keyframes":
            return None
        return self.detection.target_fps

    def _on_open(
        self, info: StreamInfo, frames: LatestFrame | FrameFeed | None, packets: PacketQueue | None
    ) -> None:
        if frames is not None and self.detection is not None:
            self.detection.begin_stream(info.fps)
        if isinstance(frames, FrameFeed):
            frames.info = info
        if packets is not None and self.record_stage:
            self.record_stage.on_stream_opened(info)
            self._packet_tap.open(info)

    def _on_queue_overflow(self, begin_ns: int, end_ns: int) -> None:
        if self.record_stage:
            self.record_stage.record_gap(begin_ns, end_ns)

    def _on_recorder_gap(self, begin_ns: int, end_ns: int, reason: str) -> None:
        self._services.publisher.publish_gap(self.name, begin_ns, end_ns, reason)

    def _on_frame_result(self, frame: Frame, result: FrameResult) -> None:
        self._next_frame.offer(frame)
        if frame.inference is not None and self._sensor_openings is not None:
            self._sensor_openings.on_result()
        for listener in self.frame_listeners:
            listener(frame, result)

    def _on_segment(self, segment: Segment) -> None:
        for listener in self.segment_listeners:
            listener(segment)


class CameraSilence:
    """Reports the silence of one camera. `mask_error` returns the reason why its masks keep it closed, or None."""

    def __init__(
        self, config: CameraConfig, services: CameraServices, mask_error: Callable[[], str | None]
    ) -> None:
        since_ns = services.clock.boottime_ns()
        self._camera = config.name
        self._publisher = services.publisher
        self._mask_error = mask_error
        self._camera_lost_rule = CameraLostRule(config.name, services.new_id, since_ns=since_ns)
        self._silence_gaps = SilenceGaps(since_ns) if config.record else None

    def check(self, t_ns: int, last_ns: int | None) -> None:
        """Take the time of the last packet or frame, about once a second. Called by the camera watchdog."""
        for event in self._camera_lost_rule.step(t_ns, last_ns):
            self._publisher.publish_event(event)
        if self._silence_gaps is None:
            return
        gap = self._silence_gaps.step(t_ns, last_ns, is_masked=self._mask_error() is not None)
        if gap is not None:
            self._publisher.publish_gap(self._camera, gap.begin_ns, gap.end_ns, gap.reason)


class CameraDuty:
    """The duty of one camera. `set_level` is called by one thread; the rest is thread-safe."""

    def __init__(self) -> None:
        self._level: DegradationLevel = "full"
        self._suspended_ns: int | None = None

    @property
    def can_detect(self) -> bool:
        """True if frames may be detected on."""
        return self._level in ("full", "reduced_detection")

    @property
    def can_record(self) -> bool:
        """True if footage may be recorded."""
        return self._level != "heartbeat"

    def set_level(self, level: DegradationLevel, t_ns: int) -> tuple[int, int] | None:
        """Apply a level. If recording resumes by it, return the begin and end of the suspension."""
        self._level = level
        if level == "heartbeat":
            if self._suspended_ns is None:
                self._suspended_ns = t_ns
            return None
        suspended_ns, self._suspended_ns = self._suspended_ns, None
        return None if suspended_ns is None else (suspended_ns, t_ns)

    def limit(self, wanted: StreamRequest) -> StreamRequest | None:
        """Return the part of a stream request that the level allows, or None if that is nothing."""
        if self.can_detect:
            return wanted
        if not self.can_record or not wanted.packets:
            return None
        return msgspec.structs.replace(wanted, frames_fps=0.0)
