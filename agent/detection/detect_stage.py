"""The detect stage: the newest frame of a camera becomes events and traffic counts."""

import threading
from collections.abc import Callable, Iterable

from agent.base.model import Event, FrameResult, TrafficCounts
from agent.detection import image
from agent.detection.event_limit import EventLimit
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.rules.registry import EVENT_TYPES
from agent.runtime.queues import LatestFrame
from drivers.media import Frame

FRAME_TIMEOUT_S = 1.0
_KINDS_WITHOUT_THUMBNAIL = frozenset(
    event_type.kind for event_type in EVENT_TYPES if not event_type.has_thumbnail
)
THUMBNAIL_WIDTH_PX = 640
THUMBNAIL_MAX_BYTES = 20_000
"""Limit of an event's snapshot; a requested one may be larger."""


class DetectStage:
    """Detects on the frames of one camera. Without a rule engine there are no events.

    Events that `event_limit` does not admit are left out.
    `on_event` gets a thumbnail with an event's first revision if `snapshots` is set. `on_result`
    gets each frame with its result before the frame's events. All callbacks are called on the
    stage's thread.
    """

    def __init__(
        self,
        camera: str,
        frames: LatestFrame,
        pipeline: DetectionPipeline,
        rule_engine: RuleEngine | None,
        event_limit: EventLimit,
        *,
        on_event: Callable[[Event, bytes | None], None],
        on_traffic_counts: Callable[[TrafficCounts], None],
        on_result: Callable[[Frame, FrameResult], None] | None = None,
        snapshots: bool = True,
    ) -> None:
        self.name = f"detect {camera}"
        self._frames = frames
        self._pipeline = pipeline
        self._rule_engine = rule_engine
        self._event_limit = event_limit
        self._on_event = on_event
        self._on_traffic_counts = on_traffic_counts
        self._on_result = on_result
        self._snapshots = snapshots
        self._last_frame_ns: int | None = None
        self._track_count = 0

    @property
    def track_count(self) -> int:
        """Number of tracks in the last frame."""
        return self._track_count

    def run_once(self, stopping: threading.Event) -> None:
        """Process the next frame, if one comes within FRAME_TIMEOUT_S."""
        frame = self._frames.take(FRAME_TIMEOUT_S)
        if frame is not None:
            self.process(frame)

    def process(self, frame: Frame) -> None:
        """Detect and evaluate the rules on one frame."""
        result = self._pipeline.process(frame)
        self._last_frame_ns, self._track_count = result.t_ns, len(result.tracks)
        if self._on_result is not None:
            self._on_result(frame, result)
        if self._rule_engine is None:
            return
        self._emit_traffic_counts(self._rule_engine.completed_counts(result.t_ns))
        for event in self._rule_engine.evaluate(result):
            if self._event_limit.admits(event, result.t_ns):
                self._on_event(event, self._encode_thumbnail(frame, event))

    def close(self) -> None:
        """End every open event, as of the last frame."""
        if self._last_frame_ns is None or self._rule_engine is None:
            return
        for event in self._rule_engine.flush(self._last_frame_ns):
            if self._event_limit.admits(event, self._last_frame_ns):
                self._on_event(event, None)
        self._emit_traffic_counts(self._rule_engine.flush_counts(self._last_frame_ns))

    def _emit_traffic_counts(self, minutes: Iterable[TrafficCounts]) -> None:
        for minute in minutes:
            self._on_traffic_counts(minute)

    def _encode_thumbnail(self, frame: Frame, event: Event) -> bytes | None:
        is_first = event.phase in ("begin", "moment")
        if not self._snapshots or not is_first or event.kind in _KINDS_WITHOUT_THUMBNAIL:
            return None
        return image.encode_thumbnail(frame, THUMBNAIL_WIDTH_PX, THUMBNAIL_MAX_BYTES, event.box)
