"""Detection on one camera: its model, its detect stage by the scene in force, and the ground of its scenes."""

from collections.abc import Callable
from functools import partial
from itertools import count

import msgspec

from agent.base.clock import trusted_local_time
from agent.base.count_proof import CountProof
from agent.base.file_read import read_stamp
from agent.base.health_model import DetectorHealth, UnsupportedArea
from agent.base.model import Event, FrameResult, TrafficCounts
from agent.base.view_condition import ViewCondition
from agent.capture.camera_source import CameraSource
from agent.config.recording import RECORDS_DIR
from agent.detection.active_scene import ActiveScene, FixedScene, SceneInForce
from agent.detection.contrast_stretch import ContrastStretch
from agent.detection.detect_stage import DetectionSinks, DetectStage, EventLimit, SceneDetectStage
from agent.detection.keyframe_watch import KeyframeWatch
from agent.detection.multi_camera_tracker import CameraTracks
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene
from agent.detection.traffic_counter import CountableTime
from agent.detection.view_monitor import ViewMonitor
from agent.health.rates import CameraRates
from agent.pipeline.camera_detector import CameraDetector
from agent.pipeline.camera_ground import GROUND_DIR, CameraGround
from agent.pipeline.camera_light import CameraLight
from agent.pipeline.camera_proof import CameraProof
from agent.pipeline.camera_services import CameraServices
from agent.reporting.declaration.data import RuleCounts
from agent.runtime.pause import Pause
from agent.runtime.queues import LatestFrame
from drivers.contracts import SensorNetworkControl
from drivers.media import NS_PER_S, Frame

RECORDS_CHECK_INTERVAL_S = 10.0
DECLARE_INTERVAL_S = 3600.0
"""The declaration is published at most this often for a change of what can be counted."""
MAX_VIEW_AGE_NS = 30 * NS_PER_S
"""The condition in an older frame is no longer that of the view. The slowest detection looks at a frame each ten seconds."""


class CameraDetection:
    """Detection on one camera.

    `on_result` gets each frame with its result, on the detect thread, before the frame's events.
    """

    def __init__(
        self,
        source: CameraSource,
        services: CameraServices,
        scene: ActiveScene | FixedScene,
        on_result: Callable[[Frame, FrameResult], None],
        sensor: Callable[[], SensorNetworkControl | None],
    ) -> None:
        self._config = source.config
        self._services = services
        self._on_result = on_result
        self._track_numbers = count(1)
        self.frames = LatestFrame()
        self._local_time = partial(trusted_local_time, services.clock, services.time_zone)
        self.keyframe_watch = KeyframeWatch()
        self._passes = services.inference.pass_budget.join()
        self.detected_frames = 0
        self._view_monitor = ViewMonitor()
        self._contrast_stretch = ContrastStretch()
        self._view: ViewCondition | None = None
        self._viewed_ns = 0
        self._countable_time = CountableTime(services.clock.boottime_ns())
        self._rule_engine: RuleEngine | None = None
        self._scene_generation: int | None = None
        self._declared: RuleCounts | None = None
        self._declare_pause = Pause()
        self._records_dir = services.state_dir / RECORDS_DIR
        self._records_stamp = read_stamp(self._records_dir)
        self._stamp_pause = Pause()
        self.event_limit = EventLimit(source.config.name)
        self.ground = CameraGround(
            source.config.name,
            services.state_dir / GROUND_DIR / source.config.name,
            services.faults,
            source.all_scenes,
            on_head=source.scenes is not None,
            frame_size_px=source.frame_size_px,
            on_change=services.publisher.publish_declaration,
            fisheye_masks=source.fisheye_masks,
        )
        self._proof = CameraProof(source.config.name, services.state_dir, source.proof)
        self._stream_fps: float | None = None
        self.light = CameraLight(source.config.name, services.state_dir, services.clock)
        camera_detector = CameraDetector(source.config, services, sensor)
        self.detector = camera_detector.detector
        self.stage = SceneDetectStage(
            source.config.name,
            self.frames,
            scene,
            self._make_detect_stage,
            services.clock.boottime_ns,
            on_close=partial(self._close, camera_detector),
        )

    def begin_stream(self, fps: float) -> None:
        """Search a stream that was opened and has this many pictures a second. Thread-safe."""
        before, self._stream_fps = self.target_fps, fps
        if self.target_fps != before:
            self._services.publisher.publish_declaration()

    @property
    def target_fps(self) -> float:
        """Return the pictures a second that are searched where all are wanted: the configured ones, or all that the stream has."""
        return min(self._config.detect.fps, self._stream_fps or self._config.detect.fps)

    def replace_scenes(self, source: CameraSource) -> None:
        """Use the scenes of another source of the same camera, which are in force."""
        self._config = source.config
        self.ground.replace_scenes(source.all_scenes, source.fisheye_masks)
        self.replace_proof(source.proof)

    def replace_proof(self, proof: CountProof | None) -> None:
        """Use another proof of the counts, or none."""
        self._proof.replace(proof)
        self._services.publisher.publish_declaration()

    def health(self, rates: CameraRates) -> DetectorHealth:
        """Return the detector's health."""
        return DetectorHealth(
            camera=self._config.name,
            model=self.detector.card.name if self.detector else None,
            inferences_per_s=rates.inferences_per_s,
            inference_ms=rates.inference_ms,
            tracks=self.stage.track_count,
            inferences_limit_per_s=self._passes.share_per_s,
        )

    def countable_ratio(self) -> float | None:
        """Return the part of the last day for which counts are trusted, None if nothing is counted. Thread-safe."""
        if not self.ground.rule_counts().total:
            return None
        return self._countable_time.ratio(self._services.clock.boottime_ns())

    def rule_counts(self) -> RuleCounts:
        """Return what the declaration says of the rules. Thread-safe."""
        counts, engine = self.ground.rule_counts(), self._rule_engine
        supported = None if engine is None else engine.view_support.supported_count
        if counts.trusted is None and self._config.detect.scene is not None:
            # One scene without a calibrated ground: the heights of cars show it.
            counts = msgspec.structs.replace(counts, trusted=supported)
        return msgspec.structs.replace(
            counts,
            countable_ratio=self.countable_ratio(),
            validation=self._proof.declared(self._model_sha256, self.target_fps)
            if counts.total
            else (),
        )

    @property
    def _model_sha256(self) -> str | None:
        return None if self.detector is None else self.detector.card.sha256

    def view(self) -> ViewCondition | None:
        """Return the condition of the view, or None if no frame was looked at lately. Thread-safe."""
        age_ns = self._services.clock.boottime_ns() - self._viewed_ns
        if age_ns > MAX_VIEW_AGE_NS:
            return None
        engine = self._rule_engine
        return self._view if engine is None else engine.view_support.view or self._view

    def unsupported(self) -> tuple[UnsupportedArea, ...]:
        """Return the lines and zones that the view does not support. Thread-safe."""
        engine = self._rule_engine
        return () if engine is None else engine.view_support.unsupported

    def _learn_view_if_commissioned(self, now_ns: int) -> None:
        """Learn the view again after a technician has found it good, which a new installation record shows."""
        if not self._stamp_pause.is_over(now_ns):
            return
        self._stamp_pause.begin(now_ns, RECORDS_CHECK_INTERVAL_S)
        stamp = read_stamp(self._records_dir)
        if stamp != self._records_stamp:
            self._records_stamp = stamp
            self._view_monitor.learn_again()

    def _make_detect_stage(self, current: SceneInForce) -> DetectStage:
        name, scene = self._config.name, current.scene
        excluded_polygons = () if scene is None else scene.excluded_polygons
        self.ground.begin_scene(current)
        before_gap = None
        if current.generation == self._scene_generation:
            # After a gap in the pictures the view is that from before, or was moved meanwhile.
            before_gap = self._rule_engine
        else:
            self._scene_generation = current.generation
            self._proof.begin_scene(current)
            self.keyframe_watch.begin_scene(excluded_polygons)
            plane = None if scene is None else scene.ground_plane
            self._view_monitor.begin_view(
                is_at_rest=scene is not None, edge_scale=1.0 if plane is None else plane.edge_scale
            )
        self._rule_engine = (
            None
            if scene is None
            else RuleEngine(
                name,
                scene,
                self._services.new_id,
                self.ground.is_stale,
                self._enter_tracker(scene),
                before_gap,
            )
        )
        return DetectStage(
            name,
            self.frames,
            DetectionPipeline(
                self.detector,
                excluded_polygons=excluded_polygons,
                track_ids=self._track_numbers,
                passes=self._passes,
                view_monitor=self._view_monitor,
                contrast_stretch=self._contrast_stretch,
            ),
            self._rule_engine,
            self.event_limit,
            DetectionSinks(
                on_event=self._on_event,
                on_traffic_counts=self._on_traffic_counts,
                on_result=self._on_frame_result,
            ),
            snapshots=self._config.detect.snapshots,
            local_time=self._local_time if scene is not None and scene.has_hours else None,
        )

    def _enter_tracker(self, scene: Scene) -> CameraTracks | None:
        """Join the tracks of the camera with those of others, if that is configured and a model detects."""
        tracker = self._services.multi_camera_tracker
        if tracker is None or self.detector is None:
            return None
        return tracker.enter(self._config.name, scene)

    def _on_traffic_counts(self, counts: TrafficCounts) -> None:
        if self.detector is None:
            # DET-01: nothing is detected, and a minute of zeros would look like an empty street.
            return
        validation = self._proof.end_minute(counts, self._model_sha256, self.target_fps)
        self.light.add(counts, validation.light)
        self._services.publisher.publish_traffic_counts(
            msgspec.structs.replace(counts, validation=validation)
        )
        self._countable_time.add(counts)
        now_ns, declared = self._services.clock.boottime_ns(), self.rule_counts()
        if declared != self._declared and self._declare_pause.is_over(now_ns):
            self._declare_pause.begin(now_ns, DECLARE_INTERVAL_S)
            self._declared = declared
            self._services.publisher.publish_declaration()

    def _close(self, detector: CameraDetector) -> None:
        self.light.store()
        detector.close()

    def _on_event(self, event: Event, thumbnail: bytes | None) -> None:
        self.ground.on_event(event)
        self._services.publisher.publish_event(event, thumbnail)

    def _on_frame_result(self, frame: Frame, result: FrameResult) -> None:
        # Without a model the motion gate alone has seen it.
        self.detected_frames += self.detector is not None
        self.keyframe_watch.on_result(result)
        self.ground.on_result(result)
        if result.view is not None:
            # Masks do not hide the whole picture. If they do, the condition from before is kept for MAX_VIEW_AGE_NS.
            self._view, self._viewed_ns = result.view, self._services.clock.boottime_ns()
            self._learn_view_if_commissioned(self._viewed_ns)
            self._proof.observe(result, is_ground_stale=self.ground.is_stale())
        self._on_result(frame, result)
