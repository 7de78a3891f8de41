"""The capture stage: a camera's packets and frames go to the queues of recording and detection."""

import logging
import threading
from collections.abc import Callable

import msgspec

from agent.capture.camera_views import FrameFeed
from agent.capture.packet_tap import PacketTap
from agent.capture.reader_fault import ReaderFault
from agent.runtime.queues import LatestFrame, PacketQueue
from drivers.contracts import (
    Camera,
    CameraReadings,
    FrameRateControl,
    NightModeControl,
    ReadingsSource,
    SensorNetworkControl,
    StreamRequest,
)
from drivers.errors import DriverError
from drivers.media import Frame, Packet, StreamInfo

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 1.0
ERROR_KEPT_S = 10.0
"""An opened camera that is silent for longer no longer has the error of before its opening."""
DEFAULT_WANTED = StreamRequest(packets=True, frames_fps=0.0)
"""For a camera whose request never changes."""


class CaptureCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries of a camera so far. `last_media_ns`: time of the last packet or frame.

    `could_open`: the newest try to open the device succeeded. `is_stuck`: the kernel holds the device, and only a restart of the board helps. `is_suspended`:
    neither packets nor frames are requested.
    """

    is_open: bool
    could_open: bool
    packets: int
    frames: int
    reconnects: int
    last_media_ns: int | None
    last_error: str | None
    is_stuck: bool = False
    is_suspended: bool = False
    readings: CameraReadings | None = None


class MediaQueues(msgspec.Struct, frozen=True, kw_only=True):
    """Queues for the media of one stream: frames for detection, packets for the recorder.

    `packet_tap` gets each packet after the recorder's queue.
    """

    frames: LatestFrame | FrameFeed | None = None
    packets: PacketQueue | None = None
    packet_tap: PacketTap | None = None


class CaptureStage:
    """Reads one camera; opens it again after a failure, or if the request changes.

    `wanted` returns the request, or None while the camera is to stay closed. `on_open` gets the
    stream's parameters before the first packet of an opening is queued. `on_end` is called if the
    source has ended. A driver's error is raised to the loop,
    which waits before it retries. A stuck device is not opened again: each try would leave one more process
    in the kernel.
    """

    def __init__(
        self,
        name: str,
        open_camera: Callable[[], Camera],
        clock_ns: Callable[[], int],
        queues: MediaQueues,
        *,
        on_open: Callable[[StreamInfo], None],
        on_end: Callable[[], None] | None = None,
        wanted: Callable[[], StreamRequest | None] = lambda: DEFAULT_WANTED,
        reader_fault: ReaderFault | None = None,
    ) -> None:
        self.name = f"capture {name}"
        self._wanted = wanted
        self._opened_for: StreamRequest | None = None
        self._open_camera = open_camera
        self._clock_ns = clock_ns
        self._camera: Camera | None = None
        self._queues = queues
        self._on_open = on_open
        self._on_end = on_end
        self._reader_fault = reader_fault
        self._packet_count = 0
        self._frame_count = 0
        self._open_count = 0
        self._opened_ns: int | None = None
        """Time of the newest try to open the camera; None if it failed."""
        self._last_media_ns: int | None = None
        self._last_error: str | None = None
        self._stuck_error: str | None = None
        self._min_fps: float | None = None
        self._night_until_ns: int | None = None
        """The end of a night mode that was chosen, None without one."""
        self._is_suspended = False

    def run_once(self, stopping: threading.Event) -> None:
        """Read once and queue the result; open the camera first if it is not open."""
        wanted = self._wanted()
        if wanted != self._opened_for:
            self._opened_for = wanted
            self.close()
        if wanted is None:
            self._is_suspended = True
            stopping.wait(READ_TIMEOUT_S)
            return
        if self._is_suspended:
            # Its silence counts from now on: nothing was requested before.
            self._last_media_ns, self._is_suspended = self._clock_ns(), False
        camera = self._ensure_open()
        self._end_night_hold(camera)
        try:
            media = camera.read(READ_TIMEOUT_S)
        except DriverError as error:
            self._record_error(error)
            self.close()
            if error.kind == "ended" and self._on_end is not None:
                self._on_end()
            raise
        if media is None:
            if self._clock_ns() - (self._opened_ns or 0) > ERROR_KEPT_S * 1e9:
                self._last_error = None
            return
        self._on_media(media)

    def close(self) -> None:
        """Close the camera if it is open."""
        camera, self._camera = self._camera, None
        self._night_until_ns = None
        if camera is not None:
            camera.close()

    def set_min_fps(self, fps: float | None) -> bool | None:
        """Raise the frame rate while the camera runs, and at each opening; None: as configured. Thread-safe.

        Return False if the camera cannot change it while it runs, None while it is not open.
        """
        self._min_fps = fps
        camera = self._camera
        if camera is None:
            return None
        if not isinstance(camera, FrameRateControl):
            return False
        camera.set_min_fps(fps)
        return True

    def hold_night(self, night: bool | None, until_ns: int) -> bool:  # noqa: FBT001 - as NightModeControl
        """Let the open camera take pictures as by night or by day until a time; None: end that now. Thread-safe.

        Return False if the camera cannot, or is not open. An opening begins without.
        """
        camera = self._camera
        if not isinstance(camera, NightModeControl):
            return False
        self._night_until_ns = None if night is None else until_ns
        camera.set_night(night)
        return True

    def sensor_network(self) -> SensorNetworkControl | None:
        """Return the open camera if it can have a network in its sensor. Thread-safe."""
        camera = self._camera
        return camera if isinstance(camera, SensorNetworkControl) else None

    def counts(self) -> CaptureCounts:
        """Return what the camera has delivered so far."""
        camera = self._camera
        return CaptureCounts(
            is_open=camera is not None,
            could_open=self._opened_ns is not None,
            packets=self._packet_count,
            frames=self._frame_count,
            reconnects=max(0, self._open_count - 1),
            last_media_ns=self._last_media_ns,
            last_error=self._last_error,
            is_stuck=self._stuck_error is not None,
            is_suspended=self._is_suspended,
            readings=camera.readings() if isinstance(camera, ReadingsSource) else None,
        )

    def _end_night_hold(self, camera: Camera) -> None:
        until_ns = self._night_until_ns
        if until_ns is not None and self._clock_ns() >= until_ns:
            self._night_until_ns = None
            if isinstance(camera, NightModeControl):
                camera.set_night(None)

    def _on_media(self, media: Packet | Frame) -> None:
        self._last_media_ns = self._clock_ns()
        self._last_error = None
        if self._reader_fault is not None:
            self._reader_fault.on_success()
        if isinstance(media, Frame):
            self._frame_count += 1
            if self._queues.frames is not None:
                self._queues.frames.put(media)
        else:
            self._packet_count += 1
            if self._queues.packets is not None:
                self._queues.packets.put(media)
            if self._queues.packet_tap is not None:
                self._queues.packet_tap.offer(media)

    def _ensure_open(self) -> Camera:
        if self._stuck_error is not None:
            raise DriverError("stuck", self._stuck_error)
        if self._camera is None:
            try:
                self._camera = self._open_camera()
            except DriverError as error:
                self._opened_ns = None
                self._record_error(error)
                raise
            self._open_count += 1
            self._opened_ns = self._clock_ns()
            if self._min_fps is not None and isinstance(self._camera, FrameRateControl):
                self._camera.set_min_fps(self._min_fps)
            self._announce(self._camera)
        return self._camera

    def _announce(self, camera: Camera) -> None:
        """Call `on_open`; if it fails, close the camera, so that the next turn announces it again."""
        is_announced = False
        try:
            self._on_open(camera.info)
            is_announced = True
        finally:
            if not is_announced:
                self.close()

    def _record_error(self, error: DriverError) -> None:
        self._last_error = str(error)
        if self._reader_fault is not None:
            self._reader_fault.on_error(error)
        if error.kind == "stuck":
            self._stuck_error = self._last_error
