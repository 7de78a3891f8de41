"""Looking through a camera: the running agent shows it, or it is opened here."""

from collections.abc import Callable
from pathlib import Path

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.capture import preview_server
from agent.capture.lens_aim import measure, small
from agent.capture.preview_server import COLUMNS, ROWS, NoPicture, PreviewFrame
from agent.config.configuration import Config
from agent.console.results import CameraPreview, ConsoleError, PreviewPicture
from drivers.contracts import Camera, CameraReadings, Metered, Wanted
from drivers.errors import DriverError, MaskRefused
from drivers.media import Frame

FRAMES_FPS = 4.0
READS_MOST = 200


class AgentPreview:
    """Through the running agent. `first` is what it showed when it was asked for the first time."""

    source = "the agent"

    def __init__(
        self,
        state: Path,
        camera: str,
        by: str,
        first: PreviewFrame,
        readings: Callable[[], CameraReadings | None],
    ) -> None:
        self._state = state
        self._camera = camera
        self._by = by
        self._first: PreviewFrame | None = first
        self._readings = readings

    def look(self, timeout_s: float) -> PreviewPicture | None:
        """The next picture."""
        seen, self._first = self._first, None
        try:
            seen = seen or preview_server.ask(self._state, self._camera, self._by)
        except NoPicture as error:
            raise ConsoleError(str(error)) from error
        if seen is None:
            raise ConsoleError("the agent has gone meanwhile: try again")
        return PreviewPicture(
            luma=seen.plane,
            width_px=seen.width_px,
            height_px=seen.height_px,
            aim=seen.aim,
            readings=self._readings(),
        )

    def close(self) -> None:
        """Nothing is held."""


class DirectPreview:
    """Through a camera that was opened here, since no agent has it."""

    source = "the console itself"

    def __init__(self, camera: Camera, clock_ns: Callable[[], int]) -> None:
        self._camera = camera
        self._clock_ns = clock_ns

    def look(self, timeout_s: float) -> PreviewPicture | None:
        """The newest picture of those that have come, or the next one."""
        end_ns = self._clock_ns() + int(timeout_s * 1e9)
        newest: Frame | None = None
        for _ in range(READS_MOST):
            left_s = max(0.0, (end_ns - self._clock_ns()) / 1e9)
            try:
                item = self._camera.read(0.0 if newest else min(left_s, 1.0))
            except DriverError as error:
                raise ConsoleError(str(error)) from error
            if isinstance(item, Frame):
                newest = item
            elif item is None and (newest is not None or left_s <= 0):
                break
        if newest is None:
            return None
        readings = self._camera.readings() if isinstance(self._camera, Metered) else None
        return PreviewPicture(
            luma=small(newest.y, COLUMNS, ROWS),
            width_px=newest.width_px,
            height_px=newest.height_px,
            aim=measure(newest.y),
            readings=readings,
        )

    def close(self) -> None:
        """Let go of the camera."""
        self._camera.close()


def open_own(config: Config, name: str, clock: Clock, where: str) -> CameraPreview:
    """Open a camera here, with every mask that its scenes have. Raises CannotDo."""
    # Here, because the drivers and the detector's libraries are large: a console is not.
    from agent.capture import camera_source  # noqa: PLC0415

    try:
        found = camera_source.sources(config, clock, where, on_bad_scene="close")
    except UserError as error:
        raise ConsoleError(str(error)) from error
    source = next(one for one in found if one.config.name == name)
    if source.refused is not None:
        raise ConsoleError(
            f"MSK-01: its mask cannot be loaded, so it stays closed: {source.refused}"
        )
    scenes = (source.scene, *(source.scenes or {}).values())
    masks = tuple(mask for scene in scenes for mask in scene.masks)
    opener = source.open_detect or source.open_main
    try:
        camera = opener(Wanted(packets=False, frames_fps=FRAMES_FPS, masks=masks))
    except (DriverError, MaskRefused) as error:
        raise ConsoleError(str(error)) from error
    return DirectPreview(camera, clock.boottime_ns)
