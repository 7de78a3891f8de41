"""Where a camera on a head looks now: which scene holds, what is hidden, or that it is on the way.

The head's thread tells it; the camera and the detect stage ask.
"""

import threading
from collections.abc import Callable, Mapping

import msgspec

from agent.base.model import ShiftTolerance
from agent.detection.mask_margin import expand_polygons
from agent.detection.scene import Scene
from drivers.masking import WHOLE_PICTURE
from drivers.media import Polygon


class SceneInForce(msgspec.Struct, frozen=True, kw_only=True):
    """Between two changes of where the camera looks. `number` counts up. `scene` is None on the
    way and where all is hidden, and an empty one where the camera rests at another place that
    nobody drew a scene for.
    """

    generation: int
    preset: str | None
    scene: Scene | None
    since_ns: int


class ActiveScene:
    """Any thread may ask; one tells.

    Invariant: where any of the scenes hides something, all is hidden except at rest at a preset
    that has a scene, and there the masks are larger than they were drawn, by how far the picture may
    have shifted. So nothing that a mask is for is seen on the way, from elsewhere, or beside it.
    """

    def __init__(self, scenes: Mapping[str, Scene], clock_ns: Callable[[], int]) -> None:
        """`scenes` by the preset that each was drawn at."""
        self._clock_ns = clock_ns
        self._scenes = dict(scenes)
        self._fallback_masks = (
            WHOLE_PICTURE if any(scene.masks for scene in scenes.values()) else ()
        )
        self._expanded_masks: dict[str, tuple[ShiftTolerance, tuple[Polygon, ...]]] = {}
        self._lock = threading.Lock()
        self._masks: tuple[Polygon, ...] = self._fallback_masks
        self._current = SceneInForce(generation=0, preset=None, scene=None, since_ns=clock_ns())

    @property
    def has_masks(self) -> bool:
        """Whether a scene hides something."""
        return bool(self._fallback_masks)

    def masks(self) -> tuple[Polygon, ...]:
        """What is hidden in the next picture; the same object until it changes."""
        return self._masks

    def current(self) -> SceneInForce:
        """Where the camera looks now."""
        return self._current

    def update_position(
        self,
        preset: str | None,
        settled: bool,  # noqa: FBT001 - the head's words
        tolerance: ShiftTolerance | None,
    ) -> None:
        """The head says where it is: on the way where it has not settled, else at a preset, or
        elsewhere where that is None; and how far its picture may have shifted there, None where it
        is only near: masks hide all then. They are changed before this returns.
        """
        with self._lock:
            is_exact = tolerance is not None or not self._fallback_masks
            current_preset = preset if settled and is_exact and preset in self._scenes else None
            self._masks = (
                self._fallback_masks
                if current_preset is None
                else self._masks_at(current_preset, tolerance)
            )
            scene = None
            if current_preset is not None:
                scene = self._scenes[current_preset]
            elif settled and not self._fallback_masks:
                scene = Scene()
            previous = self._current
            if (previous.preset, previous.scene) != (current_preset, scene):
                self._current = SceneInForce(
                    generation=previous.generation + 1,
                    preset=current_preset,
                    scene=scene,
                    since_ns=self._clock_ns(),
                )

    def _masks_at(self, preset: str, tolerance: ShiftTolerance | None) -> tuple[Polygon, ...]:
        """Grown once for each preset, whose leeway stays: painters draw anew what is another object."""
        if tolerance is None:
            return ()
        cached = self._expanded_masks.get(preset)
        if cached is None or cached[0] != tolerance:
            cached = (tolerance, expand_polygons(self._scenes[preset].masks, tolerance))
            self._expanded_masks[preset] = cached
        return cached[1]
