"""Detection and rules of one configuration on recorded pictures."""

import time
from datetime import tzinfo
from pathlib import Path

import msgspec

from agent.base.clock import utc_from_unix_ns
from agent.base.event_lifecycle import NewId
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene, load_scene
from agent.detection.tflite import open_detector
from agent.detection.view_monitor import ViewMonitor
from agent.rehearsal.comparison import Findings
from agent.rehearsal.rehearsal_task import DetectionSide
from agent.reporting.rehearsal import RehearsedCost
from drivers.av_stream import FrameSelector
from drivers.media import Frame


class Evaluation:
    """One configuration of a camera. Pictures come in the order of time; those that its rate leaves out are not searched."""

    def __init__(self, camera: str, side: DetectionSide, time_zone: tzinfo, new_id: NewId) -> None:
        """Load the model and the scene. Raises: UserError, ModelRefused."""
        scene = Scene() if side.scene is None else load_scene(Path(side.scene))
        self._time_zone = time_zone if scene.has_hours else None
        self._detector = open_detector(side.model)
        self._selector = FrameSelector(side.fps)
        view_monitor = ViewMonitor()
        plane = scene.ground_plane
        view_monitor.begin_view(
            is_at_rest=True, edge_scale=1.0 if plane is None else plane.edge_scale
        )
        self._pipeline = DetectionPipeline(
            self._detector, excluded_polygons=scene.excluded_polygons, view_monitor=view_monitor
        )
        self._rule_engine = RuleEngine(camera, scene, new_id)
        self.findings = Findings(scene)
        self._last_ns = 0
        self._pictures = 0
        self._cpu_ns = 0

    def is_wanted(self, t_ns: int) -> bool:
        """Return whether a picture of this time is searched."""
        return t_ns > self._last_ns and self._selector.is_due(t_ns)

    def evaluate(self, frame: Frame) -> None:
        """Search a picture, if its time is due, and evaluate the rules. `t_ns` is UTC in nanoseconds since 1970."""
        if not (self.is_wanted(frame.t_ns) and self._selector.select(frame.t_ns)):
            return
        start_ns = time.process_time_ns()
        result = self._pipeline.process(frame)
        if self._time_zone is not None:
            local_time = utc_from_unix_ns(frame.t_ns).astimezone(self._time_zone)
            result = msgspec.structs.replace(result, local_time=local_time)
        # Closes the minute of the traffic counts, which the box does too.
        self._rule_engine.completed_counts(frame.t_ns)
        events = self._rule_engine.evaluate(result)
        self._cpu_ns += time.process_time_ns() - start_ns
        self.findings.add(self._rule_engine.crossings, events)
        self._last_ns, self._pictures = frame.t_ns, self._pictures + 1

    def cost(self) -> RehearsedCost:
        """Return what it has cost so far."""
        return RehearsedCost(
            model=self._detector.card.name,
            pictures=self._pictures,
            cpu_s=round(self._cpu_ns / 1e9, 3),
        )
