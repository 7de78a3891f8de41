"""Ground of one camera: whether its calibrations still hold, and which lines and zones can be trusted."""

import logging
import threading
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.base.health_model import GroundHealth
from agent.base.message import Message, join_sentences
from agent.base.model import Event, FrameResult, ShiftTolerance
from agent.base.sha256 import Sha256, sha256_hex
from agent.base.state_file import StateFile
from agent.detection.active_scene import SceneInForce, expand_polygons
from agent.detection.ground_watch import (
    MAX_SHIFT,
    MAX_SHIFT_ON_HEAD,
    GroundReference,
    GroundWatch,
    marks_digest,
)
from agent.detection.pixel_density import area_densities, iter_low_density_areas
from agent.detection.rules.tamper import TAMPER_EVENTS
from agent.detection.scene import Scene
from agent.faults.registry import FaultRegistry
from agent.reporting.declaration.data import RuleCounts
from drivers.media import Polygon

log = logging.getLogger(__name__)

GROUND_DIR = "ground"
"""Folder of the reference pictures, in the state folder."""
MAX_REFERENCES = 64
"""Of a camera. Old ones stay for a while: a version of the scenes that is rolled back finds its own again."""


class _View(NamedTuple):
    """A scene, and the watch of its view if its ground is calibrated."""

    scene: Scene
    watch: GroundWatch | None


class CameraGround:
    """The scenes of one camera and their grounds. CAM-06 is raised while the view of a calibrated one has moved.

    The detect thread calls `begin_scene`, `on_result` and `on_event`; the rest may be called from any thread.
    """

    def __init__(
        self,
        camera: str,
        folder: Path,
        faults: FaultRegistry,
        scenes: Mapping[str, Scene],
        *,
        on_head: bool,
        frame_size_px: tuple[int, int] | None,
        on_change: Callable[[], None],
        fisheye_masks: tuple[Polygon, ...] = (),
    ) -> None:
        """`scenes` are by preset, that of a fixed camera is by `""`. `frame_size_px` is that of the configuration.
        `on_change` is called when `rule_counts` may have changed.
        """
        self._camera = camera
        self._folder = folder
        self._faults = faults
        self._max_shift = MAX_SHIFT_ON_HEAD if on_head else MAX_SHIFT
        self._mask_margin = MAX_SHIFT_ON_HEAD if on_head else 0.0
        self._frame_size_px = frame_size_px
        self._views: Mapping[str, _View] = {}
        self._current: str | None = None
        self._on_change = on_change
        self._lock = threading.Lock()
        """Held while a reference is changed: by other scenes, or on the detect thread."""
        self.replace_scenes(scenes, fisheye_masks)

    def replace_scenes(
        self, scenes: Mapping[str, Scene], fisheye_masks: tuple[Polygon, ...] = ()
    ) -> None:
        """Use other scenes. A calibration by the same marks keeps its reference. When this returns, no reference shows
        what a mask hides.

        That of a view keeps it under the same masks of its fisheye camera: those are not drawn on the picture of the view, so
        a picture from before them is deleted.
        """
        with self._lock:
            known = {view.watch.marks: view.watch for view in self._views.values() if view.watch}
            views: dict[str, _View] = {}
            for preset, scene in scenes.items():
                watch = None
                if scene.ground is not None:
                    marks = marks_digest(scene.ground)
                    if fisheye_masks:
                        marks = sha256_hex(marks.encode() + msgspec.json.encode(fisheye_masks))
                    watch = known.get(marks) or self._open_watch(marks, preset)
                views[preset] = _View(scene, watch)
            self._views = views
            self._cover_references(are_others_kept=not fisheye_masks)
            self._update_fault()

    def begin_scene(self, current: SceneInForce) -> None:
        """Watch the view of the scene in force."""
        with self._lock:
            self._current = None if current.scene is None else current.preset or ""
            watch = self._current_watch()
            if watch is not None:
                watch.begin_stay()
                # On a head that repeats badly they are larger than by the margin.
                self._cover(watch, current.masks)

    def is_stale(self) -> bool:
        """Whether the view has moved since the scene in force was calibrated."""
        watch = self._current_watch()
        return watch is not None and watch.moved is not None

    def on_result(self, result: FrameResult) -> None:
        """Take the picture of a frame."""
        size_px = (result.width_px, result.height_px)
        with self._lock:
            watch = self._current_watch()
            was_known, was_stale = size_px == self._frame_size_px, self.is_stale()
            self._frame_size_px = size_px
            if watch is None:
                return
            if watch.observe(result.gate_luma, result.t_ns):
                self._store(watch)
        if not was_known or self.is_stale() != was_stale:
            self._on_change()

    def on_event(self, event: Event) -> None:
        """Take an event of the camera: that it was moved makes the calibration stale at once."""
        if event.kind != TAMPER_EVENTS["moved"].kind or event.phase != "begin":
            return
        with self._lock:
            watch = self._current_watch()
            if watch is None or not watch.mark_moved("the camera was moved"):
                return
            self._store(watch)
        self._on_change()

    def health(self) -> GroundHealth | None:
        """Return the state of the calibration in force, or None if there is none."""
        current, size_px = self._current, self._frame_size_px
        view = None if current is None else self._views.get(current)
        plane = None if view is None else view.scene.ground_plane
        if view is None or view.watch is None or plane is None:
            return None
        return GroundHealth(
            error_m=None if plane.error_m is None else round(plane.error_m, 2),
            moved=view.watch.moved,
            low_density=()
            if size_px is None
            else tuple(iter_low_density_areas(view.scene, *size_px)),
        )

    def rule_counts(self) -> RuleCounts:
        """Return the number of lines and zones, and of those with enough pixels per metre for all their labels."""
        views, size_px = self._views.values(), self._frame_size_px
        total = sum(len(scene.line) + len(scene.zone) for scene, _ in views)
        calibrated = [(scene, watch) for scene, watch in views if watch is not None]
        if not calibrated or size_px is None:
            return RuleCounts(total=total, trusted=None)
        trusted = sum(
            not area.needed_px_per_m
            for scene, watch in calibrated
            if watch.moved is None
            for area in area_densities(scene, *size_px)
        )
        return RuleCounts(total=total, trusted=trusted)

    def _current_watch(self) -> GroundWatch | None:
        view = None if self._current is None else self._views.get(self._current)
        return None if view is None else view.watch

    def _open_watch(self, marks: Sha256, preset: str) -> GroundWatch:
        return GroundWatch(marks, self._state_file(marks).load(), self._max_shift, preset)

    def _cover_references(self, *, are_others_kept: bool) -> None:
        """Paint the masks over the references of the scenes, and over those of earlier marks, or delete the latter.

        One is deleted too if its view has no scene any more: a head hides its whole picture there.
        """
        in_force = set()
        for scene, watch in self._views.values():
            if watch is not None:
                in_force.add(watch.marks)
                self._cover(watch, scene.masks, self._mask_margin)
        if are_others_kept and not any(scene.masks for scene, _ in self._views.values()):
            return
        for path in self._folder.glob("*.json"):
            if path.stem in in_force:
                continue
            watch = GroundWatch(path.stem, self._state_file(path.stem).read())
            view = None if watch.reference is None else self._views.get(watch.reference.preset)
            if view is None or not are_others_kept:
                self._delete(path)
            else:
                self._cover(watch, view.scene.masks, self._mask_margin)

    def _cover(self, watch: GroundWatch, masks: tuple[Polygon, ...], margin: float = 0.0) -> None:
        """Paint masks over a reference, expanded by a share of its width.

        Its file is deleted if the disk does not take another one.
        """
        tolerance = ShiftTolerance(x=margin, y=min(1.0, margin * watch.aspect))
        if watch.cover(expand_polygons(masks, tolerance)) and not self._store(watch):
            self._delete(self._state_file(watch.marks).path)

    def _store(self, watch: GroundWatch) -> bool:
        """Store the reference, if there is one. Return False if the disk refuses that."""
        self._update_fault()
        if watch.reference is None:
            return True
        try:
            self._state_file(watch.marks).write(watch.reference)
            newest_first = sorted(
                self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True
            )
            for path in newest_first[MAX_REFERENCES:]:
                path.unlink(missing_ok=True)
        except OSError as error:
            log.error(
                "camera %s: the picture of its ground cannot be kept: %s", self._camera, error
            )
            return False
        return True

    def _delete(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.error(
                "camera %s: a picture of its ground cannot be deleted: %s", self._camera, error
            )

    def _state_file(self, marks: Sha256) -> StateFile[GroundReference]:
        path = self._folder / f"{marks}.json"
        return StateFile(path, GroundReference, label=f"{self._camera}/{marks}")

    def _update_fault(self) -> None:
        reasons = [
            Message(
                "{problem}: {reason}",
                problem=Message("preset {name}", name=preset),
                reason=watch.moved,
            )
            if preset
            else Message("{reason}", reason=watch.moved)
            for preset, (_, watch) in self._views.items()
            if watch is not None and watch.moved is not None
        ]
        if reasons:
            self._faults.raise_fault("CAM-06", self._camera, reduce(join_sentences, reasons))
        else:
            self._faults.clear("CAM-06", self._camera)
