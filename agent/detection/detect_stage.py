"""The detect stage: the newest frame of a camera becomes events and traffic counts."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol

import msgspec

from agent.base.model import Event, FrameResult, TrafficCounts
from agent.detection import image
from agent.detection.active_scene import SceneInForce
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.rules.registry import EVENT_TYPES
from agent.runtime.queues import LatestFrame
from drivers.media import NS_PER_S, Frame

log = logging.getLogger(__name__)

MAX_EVENTS_PER_MINUTE = 600
"""Of a camera and a kind: ten road users a second. A scene of crossing lines would send thousands."""
_MINUTE_NS = 60 * NS_PER_S


class EventLimit:
    """Leaves out events of a camera, and updates of open ones, beyond MAX_EVENTS_PER_MINUTE revisions of their kind.

    An event is left out as a whole, and the end of one that has begun is sent. The limit outlives the scenes of the camera:
    a scene that is replaced begins no other minute.
    """

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._minute = 0
        self._counts: Counter[str] = Counter()
        self._open_left_out: set[str] = set()
        self.left_out = 0
        """Events and updates since the agent started."""

    def admits(self, event: Event, t_ns: int) -> bool:
        """Return whether a revision is sent. `t_ns` is the time of its frame, which never decreases."""
        if t_ns // _MINUTE_NS != self._minute:
            self._minute = t_ns // _MINUTE_NS
            self._counts.clear()
        if event.event in self._open_left_out:
            if event.phase == "end":
                self._open_left_out.discard(event.event)
            return False
        self._counts[event.kind] += 1
        count = self._counts[event.kind]
        if event.phase == "end" or count <= MAX_EVENTS_PER_MINUTE:
            return True
        if count == MAX_EVENTS_PER_MINUTE + 1:
            log.warning(
                "camera %s: more than %d events %r in a minute; the others are left out",
                self._camera,
                MAX_EVENTS_PER_MINUTE,
                event.kind,
            )
        self.left_out += 1
        if event.phase == "begin":
            self._open_left_out.add(event.event)
        return False


FRAME_TIMEOUT_S = 1.0
MAX_PICTURE_GAP_S = 15
"""After a longer gap other road users may be where those before it were. The slowest detection looks at a frame each ten seconds."""
_KINDS_WITHOUT_THUMBNAIL = frozenset(
    event_type.kind for event_type in EVENT_TYPES if not event_type.has_thumbnail
)
THUMBNAIL_WIDTH_PX = 640
THUMBNAIL_MAX_BYTES = 20_000
"""Limit of an event's snapshot; a requested one may be larger."""


class DetectionSinks(msgspec.Struct, frozen=True, kw_only=True):
    """Receivers of the results of detection, called on the stage's thread.

    `on_event` gets a thumbnail or None, and `on_result` each frame with its result before the frame's events.
    """

    on_event: Callable[[Event, bytes | None], None]
    on_traffic_counts: Callable[[TrafficCounts], None]
    on_result: Callable[[Frame, FrameResult], None] | None = None


LocalTime = Callable[[int], datetime | None]


class DetectStage:
    """Detects on the frames of one camera. Without a rule engine there are no events.

    Events that `event_limit` does not admit are left out. With `snapshots` an event's first revision has a thumbnail.
    `local_time` returns the wall clock at a `t_ns`, or None while UTC is not trusted; it is given if the scene has hours.
    """

    def __init__(
        self,
        camera: str,
        frames: LatestFrame,
        pipeline: DetectionPipeline,
        rule_engine: RuleEngine | None,
        event_limit: EventLimit,
        sinks: DetectionSinks,
        *,
        snapshots: bool = True,
        local_time: LocalTime | None = None,
    ) -> None:
        self.name = f"detect {camera}"
        self._frames = frames
        self._pipeline = pipeline
        self._rule_engine = rule_engine
        self._event_limit = event_limit
        self._sinks = sinks
        self._snapshots = snapshots
        self._local_time = local_time
        self._last_frame_ns: int | None = None
        self._track_count = 0

    @property
    def track_count(self) -> int:
        """Number of tracks in the last frame."""
        return self._track_count

    @property
    def last_frame_ns(self) -> int | None:
        """The time of the last frame, None before the first one."""
        return self._last_frame_ns

    def run_once(self, stopping: threading.Event) -> None:
        """Process the next frame, if one comes within FRAME_TIMEOUT_S."""
        frame = self._frames.take(FRAME_TIMEOUT_S)
        if frame is not None:
            self.process(frame)

    def process(self, frame: Frame, *, is_hidden: bool = False) -> None:
        """Detect and evaluate the rules on one frame. `is_hidden`: masks hide the whole picture."""
        result = self._pipeline.pass_over(frame) if is_hidden else self._pipeline.process(frame)
        if self._local_time is not None:
            result = msgspec.structs.replace(result, local_time=self._local_time(frame.t_ns))
        self._last_frame_ns, self._track_count = result.t_ns, len(result.tracks)
        if self._sinks.on_result is not None:
            self._sinks.on_result(frame, result)
        if self._rule_engine is None:
            return
        self._emit_traffic_counts(self._rule_engine.completed_counts(result.t_ns))
        for event in self._rule_engine.evaluate(result):
            if self._event_limit.admits(event, result.t_ns):
                self._sinks.on_event(event, self._encode_thumbnail(frame, event))

    def close(self) -> None:
        """End every open event, as of the last frame."""
        if self._last_frame_ns is None or self._rule_engine is None:
            return
        for event in self._rule_engine.flush(self._last_frame_ns):
            if self._event_limit.admits(event, self._last_frame_ns):
                self._sinks.on_event(event, None)
        self._emit_traffic_counts(self._rule_engine.flush_counts(self._last_frame_ns))

    def _emit_traffic_counts(self, minutes: Iterable[TrafficCounts]) -> None:
        for minute in minutes:
            self._sinks.on_traffic_counts(minute)

    def _encode_thumbnail(self, frame: Frame, event: Event) -> bytes | None:
        is_first = event.phase in ("begin", "moment")
        if not self._snapshots or not is_first or event.kind in _KINDS_WITHOUT_THUMBNAIL:
            return None
        return image.encode_thumbnail(frame, THUMBNAIL_WIDTH_PX, THUMBNAIL_MAX_BYTES, event.box)


class SceneSource(Protocol):
    """The scene in force: an `ActiveScene` or a `FixedScene`."""

    def current(self) -> SceneInForce:
        """Return the scene in force."""
        ...


class SceneDetectStage:
    """Makes a detect stage at each change of the scene and after each gap in the frames, and ends the events of the one before.

    `make_stage` gets the scene in force, which is None while a head moves; after a gap it has the `generation` from before. A
    frame from before the change of a position is dropped: it shows another view.
    """

    def __init__(
        self,
        camera: str,
        frames: LatestFrame,
        scenes: SceneSource,
        make_stage: Callable[[SceneInForce], DetectStage],
        clock_ns: Callable[[], int],
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = f"detect {camera}"
        self._frames = frames
        self._scenes = scenes
        self._make_stage = make_stage
        self._clock_ns = clock_ns
        self._taken_ns = clock_ns()
        self._on_close = on_close
        current = scenes.current()
        self._scene_generation = current.generation
        self._stage = make_stage(current)

    @property
    def track_count(self) -> int:
        """Number of tracks in the last frame."""
        return self._stage.track_count

    def run_once(self, stopping: threading.Event) -> None:
        """Process the next frame by the scene in force, if one comes within FRAME_TIMEOUT_S."""
        frame = self._frames.take(FRAME_TIMEOUT_S)
        # Read after the frame was taken: a frame from before the change is older than `since_ns`.
        current = self._scenes.current()
        is_after_gap = self._is_after_gap(frame)
        if is_after_gap or current.generation != self._scene_generation:
            self._stage.close()
            self._scene_generation = current.generation
            self._stage = self._make_stage(current)
        if frame is not None and frame.t_ns >= current.since_ns:
            self._stage.process(frame, is_hidden=current.is_hidden)

    def _is_after_gap(self, frame: Frame | None) -> bool:
        """Return whether the stage's last frame is too old, by the time of a new frame, or by the clock if there is none.

        A camera that plays a film fast has times of its own.
        """
        last_ns, now_ns = self._stage.last_frame_ns, self._clock_ns()
        gap_ns = now_ns - self._taken_ns
        if frame is not None:
            self._taken_ns = now_ns
            gap_ns = 0 if last_ns is None else frame.t_ns - last_ns
        return last_ns is not None and gap_ns > MAX_PICTURE_GAP_S * NS_PER_S

    def close(self) -> None:
        """End every open event, and release the detector."""
        self._stage.close()
        self._on_close()
