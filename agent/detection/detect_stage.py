"""The detect stage: the newest frame of a camera becomes events and flow."""

import threading
from collections.abc import Callable, Iterable

from agent.base.model import Event, Flow, FrameResult
from agent.detection import image
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.runtime.queues import LatestFrame
from drivers.media import Frame

TAKE_TIMEOUT_S = 1.0
THUMBNAIL_PX = 640
THUMBNAIL_BYTES = 20_000
"""The most that a snapshot may weigh on the wire unasked."""


class DetectStage:
    """Watches one camera. Without a judge it sees and does not judge.

    `on_event` gets a JPEG with an event's first revision, where `snapshots` are wanted and the
    event is about the picture that is seen. `on_sight`, if given, gets every frame with what the
    eyes made of it, before its events. All are called in the stage's own thread.
    """

    def __init__(
        self,
        camera: str,
        frames: LatestFrame,
        eyes: DetectionPipeline,
        judge: RuleEngine | None,
        *,
        on_event: Callable[[Event, bytes | None], None],
        on_flow: Callable[[Flow], None],
        on_sight: Callable[[Frame, FrameResult], None] | None = None,
        snapshots: bool = True,
    ) -> None:
        self.name = f"detect {camera}"
        self._frames = frames
        self._eyes = eyes
        self._judge = judge
        self._on_event = on_event
        self._on_flow = on_flow
        self._on_sight = on_sight
        self._snapshots = snapshots
        self._last_ns: int | None = None
        self._tracks = 0

    @property
    def tracks(self) -> int:
        """How many road users were in sight at the last frame."""
        return self._tracks

    def run_once(self, stopping: threading.Event) -> None:
        """Look at one frame, if one comes in time."""
        frame = self._frames.take(TAKE_TIMEOUT_S)
        if frame is None:
            return
        sight = self._eyes.process(frame)
        self._last_ns, self._tracks = sight.t_ns, len(sight.tracks)
        if self._on_sight is not None:
            self._on_sight(frame, sight)
        if self._judge is None:
            return
        self._tell_flow(self._judge.flow(sight.t_ns))
        for event in self._judge.evaluate(sight):
            self._on_event(event, self._thumbnail(frame, event))

    def close(self) -> None:
        """End what is open, as of the last frame that was seen."""
        if self._last_ns is None or self._judge is None:
            return
        for event in self._judge.flush(self._last_ns):
            self._on_event(event, None)
        self._tell_flow(self._judge.flush_flow(self._last_ns))

    def _tell_flow(self, flows: Iterable[Flow]) -> None:
        for flow in flows:
            self._on_flow(flow)

    def _thumbnail(self, frame: Frame, event: Event) -> bytes | None:
        # Who merely enters a zone is many: their pictures would fill a metered link.
        wanted = event.phase in ("begin", "moment") and event.kind != "zone"
        if not self._snapshots or not wanted:
            return None
        return image.thumbnail(frame, THUMBNAIL_PX, THUMBNAIL_BYTES, event.box)
