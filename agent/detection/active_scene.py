"""The scene and the masks in force for a camera: of one on a pan-tilt head they follow its position.

The head's thread reports its position; the camera and the detect stage read. A new scene replaces the one in force
while both run: the masks of the next picture are the new ones.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

import msgspec

from agent.base.model import ShiftTolerance
from agent.detection.geometry import clip_to_picture, cross_product
from agent.detection.scene import Scene
from drivers.masking import MIN_AREA, WHOLE_PICTURE
from drivers.media import Point, Polygon


class SceneInForce(msgspec.Struct, frozen=True, kw_only=True):
    """The scene since the last change of position, which was at `since_ns`.

    `scene` is None while the head moves and while the whole picture is masked. It is empty if the
    camera rests at a position without a scene. `masks` are those of its pictures. `generation` counts the changes.
    """

    generation: int
    preset: str | None
    scene: Scene | None
    masks: tuple[Polygon, ...]
    since_ns: int

    @property
    def is_hidden(self) -> bool:
        """Whether the whole picture is masked."""
        return self.scene is None and bool(self.masks)


class _MasksInForce(msgspec.Struct, frozen=True, kw_only=True):
    """The masks of pictures since a time, and of those before it. Replaced as a whole, so that a reader needs no lock."""

    since_ns: int
    masks: tuple[Polygon, ...]
    masks_before: tuple[Polygon, ...]


class FixedScene:
    """The scene of a camera that does not turn. Thread-safe."""

    def __init__(self, scene: Scene) -> None:
        self._set(scene, generation=0)

    def masks(self, _t_ns: int) -> tuple[Polygon, ...]:
        """Return the masks of the next picture, of any time: the same object until they change."""
        return self._masks

    def current(self) -> SceneInForce:
        """Return the scene in force. Frames of any time belong to it: the view is the same."""
        return self._current

    def replace_scene(self, scene: Scene) -> None:
        """Use another scene, from the next picture on."""
        self._set(scene, generation=self._current.generation + 1)

    def _set(self, scene: Scene, generation: int) -> None:
        self._masks = scene.masks
        self._current = SceneInForce(
            generation=generation, preset=None, scene=scene, masks=scene.masks, since_ns=0
        )


class ActiveScene:
    """Thread-safe; `update_position` is called by the head's thread alone.

    Invariant: if any scene has a mask, the whole picture is masked except at rest at a preset that
    has a scene. There the masks are expanded by how far the picture may have shifted. So a masked
    area is never seen during a move, from another position, or next to its mask. A picture from before the
    last change of position has not seen this rest, however late it comes: it is masked as during a move.
    """

    def __init__(self, scenes: Mapping[str, Scene], clock_ns: Callable[[], int]) -> None:
        """`scenes` by the preset that each was drawn at."""
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._position: tuple[str | None, bool, ShiftTolerance | None] = (None, False, None)
        self._set_scenes(scenes)
        self._set_masks(self._fallback_masks, clock_ns())
        self._current = SceneInForce(
            generation=0,
            preset=None,
            scene=None,
            masks=self._fallback_masks,
            since_ns=clock_ns(),
        )

    @property
    def has_masks(self) -> bool:
        """Whether any scene has a mask."""
        return bool(self._fallback_masks)

    def masks(self, t_ns: int) -> tuple[Polygon, ...]:
        """Return the masks of a picture of this time: the same object until they change.

        A `t_ns` that is too early hides too much. One that is too late, by the least delay of its stream, is harmless as
        long as that is shorter than `settle_s` of the head, which passes at rest before the masks of a preset hold.
        """
        in_force = self._masks
        return in_force.masks if t_ns >= in_force.since_ns else in_force.masks_before

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
            position = (preset, settled, tolerance)
            since_ns = self._masks.since_ns if position == self._position else self._clock_ns()
            self._position = position
            scene, masks, current_preset = self._at_position()
            self._set_masks(masks, since_ns)
            previous = self._current
            if (previous.preset, previous.scene) != (current_preset, scene):
                self._change(current_preset, scene)

    def replace_scenes(self, scenes: Mapping[str, Scene]) -> None:
        """Use other scenes, from the next picture on. The rest is as for the last position.

        Invariant: a preset whose tolerance is not known yet, because no scene had masks, is masked as a whole until
        the head has reported it.
        """
        with self._lock:
            self._set_scenes(scenes)
            scene, masks, current_preset = self._at_position()
            # The view is the same: a picture of this rest has the new masks too.
            self._set_masks(masks, self._masks.since_ns)
            self._change(current_preset, scene)

    def _set_masks(self, masks: tuple[Polygon, ...], since_ns: int) -> None:
        self._masks = _MasksInForce(
            since_ns=since_ns, masks=masks, masks_before=self._fallback_masks
        )

    def _set_scenes(self, scenes: Mapping[str, Scene]) -> None:
        self._scenes = dict(scenes)
        self._fallback_masks = (
            WHOLE_PICTURE if any(scene.masks for scene in scenes.values()) else ()
        )
        self._expanded_masks: dict[str, tuple[ShiftTolerance, tuple[Polygon, ...]]] = {}

    def _at_position(self) -> tuple[Scene | None, tuple[Polygon, ...], str | None]:
        """Return the scene, the masks and the preset of the last position."""
        preset, settled, tolerance = self._position
        is_exact = tolerance is not None or not self._fallback_masks
        if settled and is_exact and preset is not None and preset in self._scenes:
            return self._scenes[preset], self._masks_at(preset, tolerance), preset
        scene = Scene() if settled and not self._fallback_masks else None
        return scene, self._fallback_masks, None

    def _change(self, preset: str | None, scene: Scene | None) -> None:
        self._current = SceneInForce(
            generation=self._current.generation + 1,
            preset=preset,
            scene=scene,
            masks=self._masks.masks,
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


def expand_polygons(masks: Sequence[Polygon], tolerance: ShiftTolerance) -> tuple[Polygon, ...]:
    """Return the masks expanded by a tolerance and clipped to the picture, so that a shift uncovers nothing.

    The result covers every point within `x` of the picture's width and `y` of its height of a mask.
    """
    if not tolerance.x and not tolerance.y:
        return tuple(masks)
    return tuple(part for mask in masks for part in _expand_polygon(mask, tolerance))


def _expand_polygon(mask: Polygon, tolerance: ShiftTolerance) -> list[Polygon]:
    """Expand a convex polygon as a whole, and any other one by its edges.

    A point outside of a polygon and near it is near one of its edges.
    """
    # At least a quarter of the rectangle is in the picture. Parts too small to be painted would be
    # refused: then the hull of the corners is masked.
    if _is_convex(mask) or tolerance.x * tolerance.y < 2 * MIN_AREA:
        return [clip_to_picture(_hull(_offset_corners(mask, tolerance)))]
    edges = zip(mask, (*mask[1:], mask[0]), strict=True)
    return [mask, *(clip_to_picture(_hull(_offset_corners(edge, tolerance))) for edge in edges)]


def _offset_corners(corners: Sequence[Point], tolerance: ShiftTolerance) -> list[Point]:
    return [
        Point(corner.x + x, corner.y + y)
        for corner in corners
        for x in (-tolerance.x, tolerance.x)
        for y in (-tolerance.y, tolerance.y)
    ]


def _is_convex(mask: Polygon) -> bool:
    """Whether a polygon whose edges do not cross is convex."""
    cross_products = [cross_product(mask[i - 2], mask[i - 1], mask[i]) for i in range(len(mask))]
    return all(turn >= 0 for turn in cross_products) or all(turn <= 0 for turn in cross_products)


def _hull(corners: Sequence[Point]) -> Polygon:
    """Return the convex hull (Andrew's monotone chain)."""
    ordered = sorted(set(corners), key=lambda corner: (corner.x, corner.y))

    def half_hull(ordered_corners: Sequence[Point]) -> list[Point]:
        chain: list[Point] = []
        for corner in ordered_corners:
            while len(chain) > 1 and cross_product(chain[-2], chain[-1], corner) <= 0:
                chain.pop()
            chain.append(corner)
        return chain[:-1]

    return (*half_hull(ordered), *half_hull(ordered[::-1]))
