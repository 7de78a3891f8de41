"""Looking through a camera: the running agent shows it, or it is opened here."""

from collections.abc import Callable
from pathlib import Path

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.capture.lens_aim import downscale, measure_aim
from agent.capture.preview import (
    DEFAULT_COLUMNS,
    DEFAULT_ROWS,
    PreviewFrame,
    PreviewUnavailable,
    request_preview,
)
from agent.config.configuration import Config
from agent.console.errors import ConsoleError
from agent.console.results import CameraPreview, PreviewPicture
from drivers.contracts import Camera, CameraReadings, ReadingsSource, StreamRequest
from drivers.errors import DriverError, MaskError
from drivers.media import Frame

PREVIEW_FPS = 4.0
MAX_READS = 200


class AgentPreview:
    """Through the running agent. `first` is what it showed when it was asked for the first time."""

    source = "the agent"

    def __init__(
        self,
        state_dir: Path,
        camera: str,
        by: str,
        first_frame: PreviewFrame,
        get_readings: Callable[[], CameraReadings | None],
    ) -> None:
        self._state_dir = state_dir
        self._camera = camera
        self._by = by
        self._first_frame: PreviewFrame | None = first_frame
        self._get_readings = get_readings

    def read(self, timeout_s: float) -> PreviewPicture | None:
        """The next picture."""
        frame, self._first_frame = self._first_frame, None
        try:
            frame = frame or request_preview(self._state_dir, self._camera, self._by)
        except PreviewUnavailable as error:
            raise ConsoleError(str(error)) from error
        if frame is None:
            raise ConsoleError("the agent has gone meanwhile: try again")
        return PreviewPicture(
            luma=frame.plane,
            width_px=frame.width_px,
            height_px=frame.height_px,
            aim=frame.aim,
            readings=self._get_readings(),
        )

    def close(self) -> None:
        """Nothing is held."""


class DirectPreview:
    """Through a camera that was opened here, since no agent has it."""

    source = "the console itself"

    def __init__(self, camera: Camera, clock_ns: Callable[[], int]) -> None:
        self._camera = camera
        self._clock_ns = clock_ns

    def read(self, timeout_s: float) -> PreviewPicture | None:
        """The newest picture of those that have come, or the next one."""
        deadline_ns = self._clock_ns() + int(timeout_s * 1e9)
        newest: Frame | None = None
        for _ in range(MAX_READS):
            remaining_s = max(0.0, (deadline_ns - self._clock_ns()) / 1e9)
            try:
                item = self._camera.read(0.0 if newest else min(remaining_s, 1.0))
            except DriverError as error:
                raise ConsoleError(str(error)) from error
            if isinstance(item, Frame):
                newest = item
            elif item is None and (newest is not None or remaining_s <= 0):
                break
        if newest is None:
            return None
        readings = self._camera.readings() if isinstance(self._camera, ReadingsSource) else None
        return PreviewPicture(
            luma=downscale(newest.y, DEFAULT_COLUMNS, DEFAULT_ROWS),
            width_px=newest.width_px,
            height_px=newest.height_px,
            aim=measure_aim(newest.y),
            readings=readings,
        )

    def close(self) -> None:
        """Let go of the camera."""
        self._camera.close()


def open_direct(config: Config, name: str, clock: Clock, config_source: str) -> CameraPreview:
    """Open a camera here, with every mask that its scenes have. Raises ConsoleError."""
    # Here, because the drivers and the detector's libraries are large: a console is not.
    from agent.capture import camera_source  # noqa: PLC0415

    try:
        sources = camera_source.build_sources(config, clock, config_source, on_bad_scene="close")
    except UserError as error:
        raise ConsoleError(str(error)) from error
    source = next(one for one in sources if one.config.name == name)
    if source.scene_error is not None:
        raise ConsoleError(
            f"MSK-01: its mask cannot be loaded, so it stays closed: {source.scene_error}"
        )
    scenes = (source.scene, *(source.scenes or {}).values())
    masks = tuple(mask for scene in scenes for mask in scene.masks)
    open_camera = source.open_detect or source.open_main
    try:
        camera = open_camera(StreamRequest(packets=False, frames_fps=PREVIEW_FPS, masks=masks))
    except (DriverError, MaskError) as error:
        raise ConsoleError(str(error)) from error
    return DirectPreview(camera, clock.boottime_ns)
