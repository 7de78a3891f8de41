"""The detect stage of a camera that a head turns: rules hold where it rests, and not on the way."""

import threading
from collections.abc import Callable

from agent.detection.active_scene import ActiveScene
from agent.detection.detect_stage import DetectStage
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
        viewpoint: ActiveScene,
        watch: Callable[[Scene | None], DetectStage],
    ) -> None:
        self.name = f"detect {camera}"
        self._frames = frames
        self._viewpoint = viewpoint
        self._watch = watch
        self._number = viewpoint.stay().number
        self._inside = watch(viewpoint.stay().scene)

    @property
    def tracks(self) -> int:
        """How many road users were in sight at the last frame."""
        return self._inside.tracks

    def run_once(self, stopping: threading.Event) -> None:
        """Look at one frame, if one comes in time, by the scene of where the camera looks now."""
        stay = self._viewpoint.stay()
        if stay.number != self._number:
            self._inside.close()
            self._number = stay.number
            self._inside = self._watch(stay.scene)
            self._frames.take(0)
        self._inside.run_once(stopping)

    def close(self) -> None:
        """End what is open."""
        self._inside.close()
