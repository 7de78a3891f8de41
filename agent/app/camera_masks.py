"""Masks of one camera: no picture leaves it before they are stored and can be applied."""

import logging

from agent.app.box_services import BoxServices
from agent.capture.camera_source import CameraSource, OpenCamera
from agent.detection.active_scene import ActiveScene
from agent.recording import mask_store
from drivers.contracts import Camera, StreamRequest
from drivers.errors import MaskError
from drivers.media import Polygon

log = logging.getLogger(__name__)


class CameraMasks:
    """The masks of all scenes of a camera. Those of a camera on a head turn with `active_scene`.

    MSK-01 is raised as long as they are unknown or cannot be applied: the camera stays closed.
    """

    def __init__(
        self, source: CameraSource, services: BoxServices, active_scene: ActiveScene | None
    ) -> None:
        self._camera = source.config.name
        self._services = services
        self._active_scene = active_scene
        self.error: str | None = None
        """The reason why the camera stays closed, or None. May be read from any thread."""
        scenes = () if source.scenes is None else source.scenes.values()
        self._masks: tuple[Polygon, ...] = (
            *source.scene.masks,
            *(mask for scene in scenes for mask in scene.masks),
        )
        if source.scene_error is not None:
            self._raise_fault(source.scene_error)

    def __bool__(self) -> bool:
        return bool(self._masks)

    @property
    def polygons(self) -> tuple[Polygon, ...]:
        """The masks of all scenes."""
        return self._masks

    @property
    def version(self) -> str | None:
        """The version of the masks in receipts, or None if there are none."""
        return mask_store.version(self._masks) if self._masks else None

    def stream_request(self, *, packets: bool, frames_fps: float) -> StreamRequest:
        """Return a request for a masked stream."""
        if self._active_scene is None:
            return StreamRequest(packets=packets, frames_fps=frames_fps, masks=self._masks)
        masks_now = self._active_scene.masks if self._active_scene.has_masks else None
        return StreamRequest(packets=packets, frames_fps=frames_fps, current_masks=masks_now)

    def open_camera(self, open_camera: OpenCamera, wanted: StreamRequest) -> Camera:
        """Open the camera. Raises: MaskError if its masks can be neither stored nor burnt in."""
        try:
            if wanted.has_masks:
                mask_store.store(self._services.masks_dir, self._masks)
            camera = open_camera(wanted)
            self._check_burnt_in(camera, wanted)
        except OSError as error:
            refusal = MaskError(f"camera {self._camera!r}: masks cannot be stored: {error}")
            self._raise_fault(str(refusal))
            raise refusal from error
        except MaskError as error:
            self._raise_fault(str(error))
            raise
        self.error = None
        self._services.faults.clear("MSK-01", self._camera)
        return camera

    def _check_burnt_in(self, camera: Camera, wanted: StreamRequest) -> None:
        """Close the camera and raise MaskError if turning masks could be applied only at export.

        An export does not know where the head looked.
        """
        if wanted.current_masks is not None and wanted.packets and not camera.info.masked:
            camera.close()
            raise MaskError(
                f"camera {self._camera!r}: its stream arrives encoded, and masks that turn with a "
                "head must be burnt in; allowed: transcode = true"
            )

    def _raise_fault(self, reason: str) -> None:
        self.error = reason
        log.error("camera %s: %s; it stays closed", self._camera, reason)
        self._services.faults.raise_fault("MSK-01", self._camera, reason)
