"""A camera module on the board's ribbon cable, through libcamera and Picamera2.

```toml
[[camera]]
name = "street"
driver = "csi"

[camera.options]
camera = 0
width_px = 1920
height_px = 1080
fps = 15
detect_width_px = 640
detect_height_px = 360
flicker_hz = 50

[camera.options.night]
mode = "auto"
lux_below = 5
lux_above = 20
min_fps = 5
```

It delivers H.264 of the main stream, and frames of a second, smaller one. The camera runs in a child
process ([`drivers/csi`](../csi)), because native code under Picamera2 goes silent after hours on some
boards, and blocks when it is stopped. The parent watches the age of the last picture: a child that is
silent for too long is killed, and `read` raises an error so that the camera is opened again. A child
that SIGKILL does not end is held by the kernel: that is the error `stuck`, and a second child would be
held too.

`t_ns` is the sensor's own time.
"""

import logging
import threading
from collections.abc import Callable
from time import monotonic

import msgspec

from drivers.contracts import CameraReadings, StreamRequest
from drivers.csi.child_connection import KILL_TIMEOUT_S, ChildConnection
from drivers.csi.options import Options
from drivers.csi.process import ChildStarter, start_child
from drivers.errors import DriverError
from drivers.masking import MaskPainter
from drivers.media import NS_PER_S, Frame, Packet, StreamInfo

__all__ = ["CsiCamera", "Options", "open_camera"]

log = logging.getLogger(__name__)

MIN_SILENT_FRAMES = 3
"""Least silence of a stream, in pictures."""


def open_camera(
    name: str, options: Options, request: StreamRequest, clock_ns: Callable[[], int]
) -> "CsiCamera":
    """Start the child and wait until its camera runs.

    Raises: DriverError absent (no such module, or no Picamera2), busy, unsupported (size, encoder),
    timeout, stuck; MaskError.
    """
    return CsiCamera(f"camera {name!r}: csi {options.camera}", options, request, clock_ns)


class CsiCamera:
    """A camera module in a child process. It is a Camera and a ReadingsSource."""

    def __init__(
        self,
        display_name: str,
        options: Options,
        request: StreamRequest,
        clock_ns: Callable[[], int],
        *,
        start_process: ChildStarter = start_child,
        kill_timeout_s: float = KILL_TIMEOUT_S,
    ) -> None:
        """Starts the child."""
        self._display_name = display_name
        self._clock_ns = clock_ns
        self._kill_timeout_s = kill_timeout_s
        self._closed = False
        self._failure: DriverError | None = None
        self._lock = threading.Lock()
        # Masks that the child would refuse are refused before it is started.
        MaskPainter(request.masks, display_name, request.current_masks)
        self._silence_limits_ns = _silence_limits_ns(options, request)
        self._child_connection = ChildConnection(
            display_name, options, request, clock_ns, start_process
        )
        opened = self._child_connection.wait_opened(options.open_timeout_s)
        if opened is None:
            raise self._end_with_error(
                self._child_connection.error
                or DriverError(
                    "timeout", f"{display_name}: did not open within {options.open_timeout_s:g} s"
                )
            )
        self._info = opened.info
        if opened.missing_controls:
            log.warning("%s: has no control %s", display_name, ", ".join(opened.missing_controls))
        log.info("%s: open, encoder %s", display_name, opened.encoder or "not wanted")

    @property
    def info(self) -> StreamInfo:
        """The main stream's parameters, or the frames' if no packets are requested."""
        return self._info

    def readings(self) -> CameraReadings | None:
        """Return the sensor's readings of the last second, with the drops of parent and child."""
        child_readings, queue = self._child_connection.readings, self._child_connection.queue
        return child_readings and msgspec.structs.replace(
            child_readings,
            dropped_frames=child_readings.dropped_frames + queue.dropped_frames,
            dropped_packets=child_readings.dropped_packets + queue.dropped_packets,
        )

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the next packet or frame, or None.

        Raises: DriverError `timeout` after a long silence, and `stuck` if the child cannot be ended.
        """
        deadline_s = monotonic() + timeout_s
        while True:
            if self._closed:
                raise DriverError("closed", f"{self._display_name}: is closed")
            if self._failure is not None:
                raise self._failure
            left_s = max(0.0, deadline_s - monotonic())
            media = self._child_connection.queue.get(min(left_s, self._silence_left_s()))
            if media is not None:
                return media
            error = self._child_connection.error or self._silence_error()
            if error is not None and not self._closed:
                raise self._end_with_error(error)
            if left_s <= 0:
                return None

    def close(self) -> None:
        """Stop the child, and kill it if it does not end."""
        with self._lock:
            self._closed = True
            if not self._child_connection.end(graceful=True, kill_timeout_s=self._kill_timeout_s):
                log.error("%s: %s", self._display_name, self._child_connection.describe_child())

    def _silence_left_s(self) -> float:
        now_ns = self._clock_ns()
        left_ns = (
            limit_ns - (now_ns - self._child_connection.last_received_ns[kind])
            for kind, limit_ns in self._silence_limits_ns.items()
        )
        return max(0.0, min(left_ns) / NS_PER_S)

    def _silence_error(self) -> DriverError | None:
        now_ns = self._clock_ns()
        for kind, limit_ns in self._silence_limits_ns.items():
            if now_ns - self._child_connection.last_received_ns[kind] >= limit_ns:
                reason = f"gave no {kind.__name__.lower()} for {limit_ns / NS_PER_S:g} s"
                return DriverError("timeout", f"{self._display_name}: {reason}")
        return None

    def _end_with_error(self, error: DriverError) -> DriverError:
        """End the child, and return the error that each further call raises."""
        with self._lock:
            if not self._child_connection.end(graceful=False, kill_timeout_s=self._kill_timeout_s):
                error = DriverError(
                    "stuck", f"{self._display_name}: {self._child_connection.describe_child()}"
                )
            elif error is self._child_connection.error and self._child_connection.ended_silently:
                error = DriverError(
                    error.kind, f"{error}: {self._child_connection.describe_child()}"
                )
            self._failure = error
            return error


def _silence_limits_ns(options: Options, request: StreamRequest) -> dict[type[Packet | Frame], int]:
    """Return the silence after which a stream has timed out."""
    min_fps = min(options.fps, options.night.min_fps or options.fps)
    expected_fps: dict[type[Packet | Frame], float] = {}
    if request.packets:
        expected_fps[Packet] = min_fps
    if request.frames_fps > 0:
        expected_fps[Frame] = min(min_fps, request.frames_fps)
    return {
        kind: round(max(options.read_timeout_s, MIN_SILENT_FRAMES / fps) * NS_PER_S)
        for kind, fps in expected_fps.items()
    }
