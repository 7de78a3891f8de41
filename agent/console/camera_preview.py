"""Preview of one camera: shown by the running agent, or read from the camera itself."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.message import Message, message_of
from agent.base.state_file import DamagedStateFile
from agent.capture.lens_aim import LensAim, downscale_within, measure_aim
from agent.capture.preview import (
    DEFAULT_COLUMNS,
    DEFAULT_ROWS,
    PreviewFrame,
    PreviewUnavailable,
    request_preview,
)
from agent.capture.snapshot_command import encode_within
from agent.commands.requester import CommandRejected
from agent.config import configuration
from agent.console.agent_process import AgentState
from agent.console.errors import AgentDown, ConsoleError
from drivers.contracts import Camera, CameraReadings, ReadingsSource, StreamRequest
from drivers.errors import DriverError, MaskError
from drivers.media import Frame, Plane

if TYPE_CHECKING:
    from agent.capture.camera_source import CameraSource

PREVIEW_FPS = 4.0
MAX_READS = 200
DEFAULT_SIZE_PX = (DEFAULT_COLUMNS, DEFAULT_ROWS)


class PreviewPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A camera's newest picture, reduced to a small grey one, and the aim of the whole one.

    `jpeg` is the whole picture in colour, empty if it was not requested.
    """

    luma: Plane
    width_px: int
    height_px: int
    aim: LensAim
    readings: CameraReadings | None = None
    jpeg: bytes = b""


class CameraPreview(Protocol):
    """Open preview of one camera. `source` names the process that reads the camera."""

    @property
    def source(self) -> Message:
        """The process that reads the camera, such as `the agent`."""
        ...

    def read(
        self,
        timeout_s: float,
        size_px: tuple[int, int] = DEFAULT_SIZE_PX,
        jpeg_max_bytes: int | None = None,
    ) -> PreviewPicture | None:
        """Return the next picture, within a size, or None if none came in time. Raises ConsoleError."""
        ...

    def close(self) -> None:
        """Release the camera."""
        ...


class AgentPreview:
    """Preview by the running agent, whose own time-out applies to each picture.

    `first_frame` is the answer to the request that opened it.
    """

    source = Message("the agent")

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

    def read(
        self,
        timeout_s: float,
        size_px: tuple[int, int] = DEFAULT_SIZE_PX,
        jpeg_max_bytes: int | None = None,
    ) -> PreviewPicture | None:
        """Request the next picture."""
        frame, self._first_frame = self._first_frame, None
        if frame is None or size_px != DEFAULT_SIZE_PX or jpeg_max_bytes is not None:
            frame = self._request(size_px, jpeg_max_bytes)
        return PreviewPicture(
            luma=frame.plane,
            width_px=frame.width_px,
            height_px=frame.height_px,
            aim=frame.aim,
            readings=self._get_readings(),
            jpeg=frame.jpeg,
        )

    def _request(self, size_px: tuple[int, int], jpeg_max_bytes: int | None) -> PreviewFrame:
        try:
            frame = request_preview(
                self._state_dir, self._camera, self._by, *size_px, jpeg_max_bytes
            )
        except PreviewUnavailable as error:
            raise ConsoleError(str(error)) from error
        if frame is None:
            raise AgentDown(Message("the agent has ended: try again"))
        return frame

    def close(self) -> None:
        """Do nothing: the agent keeps the camera open."""


class DirectPreview:
    """Preview of a camera that the console itself has opened, since no agent runs."""

    source = Message("the console itself")

    def __init__(self, camera: Camera, clock_ns: Callable[[], int]) -> None:
        self._camera = camera
        self._clock_ns = clock_ns

    def read(
        self,
        timeout_s: float,
        size_px: tuple[int, int] = DEFAULT_SIZE_PX,
        jpeg_max_bytes: int | None = None,
    ) -> PreviewPicture | None:
        """Return the newest picture that waits, or the next one."""
        frame = self._read_frame(timeout_s)
        if frame is None:
            return None
        readings = self._camera.readings() if isinstance(self._camera, ReadingsSource) else None
        return PreviewPicture(
            luma=downscale_within(frame.y, *size_px),
            width_px=frame.width_px,
            height_px=frame.height_px,
            aim=measure_aim(frame.y),
            readings=readings,
            jpeg=b"" if jpeg_max_bytes is None else _encode(frame, jpeg_max_bytes),
        )

    def _read_frame(self, timeout_s: float) -> Frame | None:
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
        return newest

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()


def _encode(frame: Frame, max_bytes: int) -> bytes:
    # Imported here: OpenCV is large, an idle console is not.
    from agent.detection.image import encode_snapshot  # noqa: PLC0415

    try:
        return encode_within(encode_snapshot, frame, max_bytes)
    except CommandRejected as error:
        raise ConsoleError(str(error)) from error


def open_preview(
    config_path: Path,
    state_dir: Path,
    camera: str,
    technician: str,
    clock: Clock,
    get_state: Callable[[], AgentState],
) -> CameraPreview:
    """Open the preview of a camera: by the running agent, or by the console itself. Raises ConsoleError."""
    try:
        first_frame = request_preview(state_dir, camera, technician)
    except PreviewUnavailable as error:
        raise ConsoleError(str(error)) from error
    if first_frame is not None:
        return AgentPreview(
            state_dir, camera, technician, first_frame, lambda: _readings(get_state(), camera)
        )
    if get_state().state not in ("dead", "stopped"):
        raise ConsoleError(Message("the agent holds the camera and shows nothing: see check 5"))
    return _open_direct(config_path, camera, clock)


def _readings(state: AgentState, camera: str) -> CameraReadings | None:
    cameras = state.report.cameras if state.report else ()
    return next((health.readings for health in cameras if health.name == camera), None)


def load_source(config_path: Path, name: str, clock: Clock) -> "CameraSource":
    """Return a camera with the masks in force. Raises ConsoleError, as MSK-01 if they are not known.

    The configuration is read again: that of a console may be the box's own file alone, because the centre's could not be read.
    """
    # Imported here: the drivers and the detector's libraries are large, an idle console is not.
    from agent.capture import camera_source  # noqa: PLC0415

    try:
        config = configuration.load_strictly(config_path)
        sources = camera_source.build_sources(config, clock, str(config_path), on_bad_scene="close")
    except DamagedStateFile as error:
        raise _unknown_masks(f"the centre's configuration is damaged: {error}") from error
    except UserError as error:
        raise ConsoleError(message_of(error)) from error
    source = next((one for one in sources if one.config.name == name), None)
    if source is None:
        raise ConsoleError(Message("no such camera"))
    if source.scene_error is not None:
        raise _unknown_masks(source.scene_error)
    return source


def _unknown_masks(reason: str) -> ConsoleError:
    return ConsoleError(
        Message("its mask cannot be loaded, so it stays closed: {error}", error=reason),
        code="MSK-01",
    )


def _open_direct(config_path: Path, name: str, clock: Clock) -> DirectPreview:
    """Open a camera with its masks. Raises ConsoleError.

    Without the agent the position of a head is unknown: as during a move, a mask of any preset hides the whole picture.
    """
    source = load_source(config_path, name, clock)
    masks = tuple(source.masks_at(""))
    open_camera = source.open_detect or source.open_main
    try:
        camera = open_camera(StreamRequest(packets=False, frames_fps=PREVIEW_FPS, masks=masks))
    except MaskError as error:
        raise ConsoleError(str(error), code="MSK-01") from error
    except DriverError as error:
        raise ConsoleError(str(error), code="CAM-01") from error
    return DirectPreview(camera, clock.boottime_ns)
