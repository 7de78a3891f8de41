"""The detect stage of a camera: made again when its scene changes, such as with a head's position."""

import threading
from collections.abc import Callable
from typing import Protocol

from agent.detection.active_scene import SceneInForce
from agent.detection.detect_stage import FRAME_TIMEOUT_S, DetectStage
from agent.runtime.queues import LatestFrame


class SceneSource(Protocol):
    """The scene in force: an `ActiveScene` or a `FixedScene`."""

    def current(self) -> SceneInForce:
        """Return the scene in force."""
        ...


class SceneDetectStage:
    """Makes a detect stage at each change of the scene, and ends the events of the one before.

    `make_stage` gets the scene in force, which is None while a head moves. A frame from before the change of a
    position is dropped: it shows another view.
    """

    def __init__(
        self,
        camera: str,
        frames: LatestFrame,
        scenes: SceneSource,
        make_stage: Callable[[SceneInForce], DetectStage],
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = f"detect {camera}"
        self._frames = frames
        self._scenes = scenes
        self._make_stage = make_stage
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
        if current.generation != self._scene_generation:
            self._stage.close()
            self._scene_generation = current.generation
            self._stage = self._make_stage(current)
        if frame is not None and frame.t_ns >= current.since_ns:
            self._stage.process(frame)

    def close(self) -> None:
        """End every open event, and release the detector."""
        self._stage.close()
        self._on_close()
