"""Where a camera on a head looks now: which scene holds, what is hidden, or that it is on the way.

The head's thread tells it; the camera and the detect stage ask.
"""

import threading
from collections.abc import Mapping

import msgspec

from agent.base.model import ShiftTolerance
from agent.detection.mask_margin import expand_polygons
from agent.detection.scene import Scene
from drivers.masking import WHOLE
from drivers.media import Polygon


class SceneInForce(msgspec.Struct, frozen=True, kw_only=True):
    """Between two changes of where the camera looks. `number` counts up. `scene` is None on the
    way and where all is hidden, and an empty one where the camera rests at another place that
    nobody drew a scene for.
    """

    number: int
    preset: str | None
    scene: Scene | None


class ActiveScene:
    """Any thread may ask; one tells.

    Invariant: where any of the scenes hides something, all is hidden except at rest at a preset
    that has a scene, and there the masks are larger than they were drawn, by how far the picture may
    have shifted. So nothing that a mask is for is seen on the way, from elsewhere, or beside it.
    """

    def __init__(self, scenes: Mapping[str, Scene]) -> None:
        """`scenes` by the preset that each was drawn at."""
        self._scenes = dict(scenes)
        self._elsewhere = WHOLE if any(scene.masks for scene in scenes.values()) else ()
        self._grown: dict[str, tuple[ShiftTolerance, tuple[Polygon, ...]]] = {}
        self._lock = threading.Lock()
        self._masks: tuple[Polygon, ...] = self._elsewhere
        self._stay = SceneInForce(number=0, preset=None, scene=None)

    @property
    def masks_anything(self) -> bool:
        """Whether a scene hides something."""
        return bool(self._elsewhere)

    def masks(self) -> tuple[Polygon, ...]:
        """What is hidden in the next picture; the same object until it changes."""
        return self._masks

    def stay(self) -> SceneInForce:
        """Where the camera looks now."""
        return self._stay

    def rests(
        self,
        preset: str | None,
        settled: bool,  # noqa: FBT001 - the head's words
        leeway: ShiftTolerance | None,
    ) -> None:
        """The head says where it is: on the way where it has not settled, else at a preset, or
        elsewhere where that is None; and how far its picture may have shifted there, None where it
        is only near: masks hide all then. They are changed before this returns.
        """
        with self._lock:
            exactly = leeway is not None or not self._elsewhere
            here = preset if settled and exactly and preset in self._scenes else None
            self._masks = self._elsewhere if here is None else self._masks_at(here, leeway)
            scene = None
            if here is not None:
                scene = self._scenes[here]
            elif settled and not self._elsewhere:
                scene = Scene()
            before = self._stay
            if (before.preset, before.scene) != (here, scene):
                self._stay = SceneInForce(number=before.number + 1, preset=here, scene=scene)

    def _masks_at(self, preset: str, leeway: ShiftTolerance | None) -> tuple[Polygon, ...]:
        """Grown once for each preset, whose leeway stays: painters draw anew what is another object."""
        if leeway is None:
            return ()
        known = self._grown.get(preset)
        if known is None or known[0] != leeway:
            known = (leeway, expand_polygons(self._scenes[preset].masks, leeway))
            self._grown[preset] = known
        return known[1]
