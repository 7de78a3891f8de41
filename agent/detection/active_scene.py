"""The scene and the masks in force for a camera on a pan-tilt head.

The head's thread reports its position; the camera and the detect stage read.
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
    """The scene since the last change of position, which was at `since_ns`.

    `scene` is None while the head moves and while the whole picture is masked. It is empty if the
    camera rests at a position without a scene. `generation` counts the changes.
    """

    generation: int
    preset: str | None
    scene: Scene | None
    since_ns: int


class ActiveScene:
    """Thread-safe; `update_position` is called by the head's thread alone.

    Invariant: if any scene has a mask, the whole picture is masked except at rest at a preset that
    has a scene. There the masks are expanded by how far the picture may have shifted. So a masked
    area is never seen during a move, from another position, or next to its mask.
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
        """Whether any scene has a mask."""
        return bool(self._fallback_masks)

    def masks(self) -> tuple[Polygon, ...]:
        """Return the masks of the next picture: the same object until they change."""
        return self._masks

    def current(self) -> SceneInForce:
        """Return the scene in force."""
        return self._current

    def update_position(
        self,
        preset: str | None,
        settled: bool,  # noqa: FBT001 - the head's words
        tolerance: ShiftTolerance | None,
    ) -> None:
        """Take the head's position. The masks have changed when this returns.

        `preset` is None at a position without one. `tolerance` is how far the picture may have
        shifted, or None if the head is only near the preset: then the whole picture is masked.
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
        """Return the same object for the same tolerance: a painter draws another object again."""
        if tolerance is None:
            return ()
        cached = self._expanded_masks.get(preset)
        if cached is None or cached[0] != tolerance:
            cached = (tolerance, expand_polygons(self._scenes[preset].masks, tolerance))
            self._expanded_masks[preset] = cached
        return cached[1]
