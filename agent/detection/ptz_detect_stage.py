"""The detect stage of a camera on a pan-tilt head: rules run at rest and not during a move."""

import threading
from collections.abc import Callable

from agent.detection.active_scene import ActiveScene
from agent.detection.detect_stage import FRAME_TIMEOUT_S, DetectStage
from agent.detection.scene import Scene
from agent.runtime.queues import LatestFrame


class PtzDetectStage:
    """Makes a detect stage at each change of position, and ends the events of the one before.

    `make_stage` gets the scene of the position, or None during a move. A frame from before the
    change is dropped: it shows another view.
    """

    def __init__(
        self,
        camera: str,
        frames: LatestFrame,
        active_scene: ActiveScene,
        make_stage: Callable[[Scene | None], DetectStage],
    ) -> None:
        self.name = f"detect {camera}"
        self._frames = frames
        self._active_scene = active_scene
        self._make_stage = make_stage
        self._scene_generation = active_scene.current().generation
        self._stage = make_stage(active_scene.current().scene)

    @property
    def track_count(self) -> int:
        """Number of tracks in the last frame."""
        return self._stage.track_count

    def run_once(self, stopping: threading.Event) -> None:
        """Process the next frame by the scene in force, if one comes within FRAME_TIMEOUT_S."""
        frame = self._frames.take(FRAME_TIMEOUT_S)
        # Read after the frame was taken: a frame from before the change is older than `since_ns`.
        current = self._active_scene.current()
        if current.generation != self._scene_generation:
            self._stage.close()
            self._scene_generation = current.generation
            self._stage = self._make_stage(current.scene)
        if frame is not None and frame.t_ns >= current.since_ns:
            self._stage.process(frame)

    def close(self) -> None:
        """End every open event."""
        self._stage.close()
