"""The detect stage of a camera that a head turns: rules hold where it rests, and not on the way."""

import threading
from collections.abc import Callable

from agent.detection.active_scene import ActiveScene
from agent.detection.detect_stage import FRAME_TIMEOUT_S, DetectStage
from agent.detection.scene import Scene
from agent.runtime.queues import LatestFrame


class PtzDetectStage:
    """At each rest a new watch begins, with the scene of that place; on leaving it ends what is open.

    `watch` makes one: for a scene where the camera rests, and for None on the way, when nothing is
    judged. A picture that was taken before the head came to rest is left out.
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
        """How many road users were in sight at the last frame."""
        return self._stage.track_count

    def run_once(self, stopping: threading.Event) -> None:
        """Look at one frame, if one comes in time, by the scene of where the camera looks now."""
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
        """End what is open."""
        self._stage.close()
