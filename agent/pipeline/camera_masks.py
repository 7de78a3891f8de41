"""Masks of one camera: no picture leaves it before they are stored and can be applied."""

import logging
from collections.abc import Iterable

import msgspec

from agent.base.message import Message
from agent.capture.camera_source import CameraSource, OpenCamera
from agent.detection.active_scene import ActiveScene, FixedScene
from agent.pipeline.camera_services import CameraServices
from agent.recording import mask_store
from drivers.contracts import Camera, StreamRequest
from drivers.errors import MaskError
from drivers.media import Polygon

log = logging.getLogger(__name__)

MAX_PERIOD_AGE_NS = 3_600_000_000_000
"""Masks that were replaced longer ago are in no open segment."""


class _MaskPeriod(msgspec.Struct, frozen=True):
    """The masks of all scenes since a time, until the next period."""

    begin_ns: int
    masks: tuple[Polygon, ...]


class CameraMasks:
    """The masks of all scenes of a camera. `scene` has those of the next picture.

    MSK-01 is raised as long as they are unknown or cannot be applied: the camera stays closed.
    """

    def __init__(
        self, source: CameraSource, services: CameraServices, scene: ActiveScene | FixedScene
    ) -> None:
        self._camera = source.config.name
        self._services = services
        self._scene = scene
        self._is_passed_through = False
        self._refusal = source.scene_error
        self.error: str | None = None
        """The reason why the camera stays closed, or None. May be read from any thread."""
        self._periods: tuple[_MaskPeriod, ...] = (_MaskPeriod(0, _all_masks(source)),)
        if self._refusal is not None:
            self._raise_fault(self._refusal)

    def __bool__(self) -> bool:
        return bool(self._periods[-1].masks)

    @property
    def polygons(self) -> tuple[Polygon, ...]:
        """The masks of all scenes. Thread-safe."""
        return self._periods[-1].masks

    def version_since(self, begin_ns: int) -> str | None:
        """Return the version in receipts of the masks since `begin_ns`, or None if there were none.

        A segment hides what any masks of its time hide. Thread-safe.
        """
        masks = _union(self._periods, begin_ns)
        return mask_store.version(masks) if masks else None

    def stream_request(self, *, packets: bool, frames_fps: float) -> StreamRequest:
        """Return a request for a masked stream."""
        return StreamRequest(
            packets=packets,
            frames_fps=frames_fps,
            current_masks=self._scene.masks,
            masks_may_lag=not self._turns,
        )

    def open_camera(self, open_camera: OpenCamera, wanted: StreamRequest) -> Camera:
        """Open the camera. Raises: MaskError if its masks are not known, or can be neither stored nor burnt in."""
        if self._refusal is not None:
            raise MaskError(self._refusal)
        try:
            self._store(self._periods)
            camera = open_camera(wanted)
            if wanted.packets:
                self._is_passed_through = not camera.info.masked
                self._check_burnt_in(camera)
        except MaskError as error:
            self._raise_fault(str(error))
            raise
        self.error = None
        self._services.faults.clear("MSK-01", self._camera)
        return camera

    def replace(self, source: CameraSource) -> None:
        """Store the masks of other scenes of the camera, then put these in force.

        Raises: MaskError if the masks cannot be stored or applied; the old scenes stay then.
        """
        now_ns = self._services.clock.boottime_ns()
        masks = _all_masks(source)
        if masks and self._turns and self._is_passed_through:
            raise MaskError(_must_be_burnt_in(self._camera))
        recent = [
            period
            for period, following in zip(self._periods, self._periods[1:], strict=False)
            if now_ns - following.begin_ns < MAX_PERIOD_AGE_NS
        ]
        periods = (*recent, self._periods[-1], _MaskPeriod(now_ns, masks))
        self._store(periods)
        # Before the picture: a segment that is closed meanwhile names more masks than it needs.
        self._periods = periods
        if isinstance(self._scene, ActiveScene):
            self._scene.replace_scenes(source.scenes or {})
        else:
            self._scene.replace_scene(source.scene)

    @property
    def _turns(self) -> bool:
        return isinstance(self._scene, ActiveScene)

    def _store(self, periods: tuple[_MaskPeriod, ...]) -> None:
        """Store the masks of each span of time that ends now. Raises: MaskError."""
        try:
            for period in periods:
                if masks := _union(periods, period.begin_ns):
                    mask_store.store(self._services.masks_dir, masks)
        except OSError as error:
            raise MaskError(f"camera {self._camera!r}: masks cannot be stored: {error}") from error

    def _check_burnt_in(self, camera: Camera) -> None:
        """Close the camera and raise MaskError if turning masks could be applied only at export.

        An export does not know where the head looked.
        """
        if self and self._turns and self._is_passed_through:
            camera.close()
            raise MaskError(_must_be_burnt_in(self._camera))

    def _raise_fault(self, reason: str) -> None:
        self.error = reason
        log.error("camera %s: %s; it stays closed", self._camera, reason)
        self._services.faults.raise_fault(
            "MSK-01", self._camera, Message("{reason}", reason=reason)
        )


def _must_be_burnt_in(camera: str) -> str:
    return (
        f"camera {camera!r}: its stream arrives encoded, and masks that turn with a head must be burnt in; "
        "allowed: transcode = true"
    )


def _all_masks(source: CameraSource) -> tuple[Polygon, ...]:
    scenes = () if source.scenes is None else source.scenes.values()
    return (*source.scene.masks, *(mask for scene in scenes for mask in scene.masks))


def _union(periods: Iterable[_MaskPeriod], begin_ns: int) -> tuple[Polygon, ...]:
    """Return the masks since `begin_ns`, those of the period that it is in included."""
    found: dict[Polygon, None] = {}
    ordered = tuple(periods)
    for index, period in enumerate(ordered):
        is_over = index + 1 < len(ordered) and ordered[index + 1].begin_ns <= begin_ns
        if not is_over:
            found.update(dict.fromkeys(period.masks))
    return tuple(found)
