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

It gives H.264 of the main stream, and frames of a second, smaller one. The camera lives in a child
process ([`drivers/csi`](../csi)), because native code under Picamera2 goes silent after hours on
some boards, and blocks when it is told to stop. Here its last picture's age is watched: a child that
is silent for too long is killed, and the caller told to open the camera again. One that SIGKILL does
not end is held by the kernel; that is the error `stuck`, and there is no use in another one.

`t_ns` is the sensor's own time.
"""

import logging
import threading
from collections.abc import Callable
from time import monotonic

import msgspec

from drivers.av_stream import NS_PER_S
from drivers.contracts import CameraReadings, Wanted
from drivers.csi.link import KILL_S, Link
from drivers.csi.options import Options
from drivers.csi.process import StartChild, start_child
from drivers.errors import DriverError
from drivers.masking import MaskPainter
from drivers.media import Frame, Packet, StreamInfo

__all__ = ["CsiCamera", "Options", "open_camera"]

log = logging.getLogger(__name__)

SLOWEST = 3
"""Pictures' time, at the least, before a stream counts as silent."""


def open_camera(
    name: str, options: Options, wanted: Wanted, clock_ns: Callable[[], int]
) -> "CsiCamera":
    """Start the child and wait until its camera runs.

    Raises DriverError: absent (no such module, or no Picamera2), busy, unsupported (size, encoder),
    timeout, stuck; and MaskRefused.
    """
    return CsiCamera(f"camera {name!r}: csi {options.camera}", options, wanted, clock_ns)


class CsiCamera:
    """A camera module in a child process. It is a Camera, and Metered."""

    def __init__(
        self,
        what: str,
        options: Options,
        wanted: Wanted,
        clock_ns: Callable[[], int],
        *,
        start: StartChild = start_child,
        kill_s: float = KILL_S,
    ) -> None:
        """`start` starts the child; `kill_s` is how long SIGKILL may take."""
        self._what = what
        self._clock_ns = clock_ns
        self._kill_s = kill_s
        self._closed = False
        self._failure: DriverError | None = None
        self._inside = threading.Lock()
        # What the child would refuse is refused before there is one.
        MaskPainter(wanted.masks, what, wanted.masks_now)
        self._limits_ns = _limits_ns(options, wanted)
        self._link = Link(what, options, wanted, clock_ns, start)
        opened = self._link.wait_opened(options.open_timeout_s)
        if opened is None:
            raise self._fail(
                self._link.failed
                or DriverError(
                    "timeout", f"{what}: did not open within {options.open_timeout_s:g} s"
                )
            )
        self._info = opened.info
        if opened.lacking:
            log.warning("%s: has no control %s", what, ", ".join(opened.lacking))
        log.info("%s: open, encoder %s", what, opened.encoder or "not wanted")

    @property
    def info(self) -> StreamInfo:
        """The main stream's parameters, or the frames' where no packets are wanted."""
        return self._info

    def readings(self) -> CameraReadings | None:
        """What the sensor said in its last second, and all that was dropped on both sides."""
        said, here = self._link.readings, self._link.ready
        return said and msgspec.structs.replace(
            said,
            dropped_frames=said.dropped_frames + here.dropped_frames,
            dropped_packets=said.dropped_packets + here.dropped_packets,
        )

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """The next packet or frame, or None. Raises DriverError: `timeout` after a long silence,
        and `stuck` where the silent child cannot be ended.
        """
        until_s = monotonic() + timeout_s
        while True:
            if self._closed:
                raise DriverError("absent", f"{self._what}: is closed")
            if self._failure is not None:
                raise self._failure
            left_s = max(0.0, until_s - monotonic())
            media = self._link.ready.take(min(left_s, self._until_silent_s()))
            if media is not None:
                return media
            failed = self._link.failed or self._silent()
            if failed is not None and not self._closed:
                raise self._fail(failed)
            if left_s <= 0:
                return None

    def close(self) -> None:
        """Tell the child to stop, and end it where it does not."""
        with self._inside:
            self._closed = True
            if not self._link.end(polite=True, kill_s=self._kill_s):
                log.error("%s: %s", self._what, self._link.child_said())

    def _until_silent_s(self) -> float:
        now_ns = self._clock_ns()
        left_ns = (
            limit_ns - (now_ns - self._link.last_ns[kind])
            for kind, limit_ns in self._limits_ns.items()
        )
        return max(0.0, min(left_ns) / NS_PER_S)

    def _silent(self) -> DriverError | None:
        now_ns = self._clock_ns()
        for kind, limit_ns in self._limits_ns.items():
            if now_ns - self._link.last_ns[kind] >= limit_ns:
                silent = f"gave no {kind.__name__.lower()} for {limit_ns / NS_PER_S:g} s"
                return DriverError("timeout", f"{self._what}: {silent}")
        return None

    def _fail(self, error: DriverError) -> DriverError:
        """End the child, and what is to be raised from now on."""
        with self._inside:
            if not self._link.end(polite=False, kill_s=self._kill_s):
                error = DriverError("stuck", f"{self._what}: {self._link.child_said()}")
            elif error is self._link.failed and self._link.died:
                error = DriverError(error.kind, f"{error}: {self._link.child_said()}")
            self._failure = error
            return error


def _limits_ns(options: Options, wanted: Wanted) -> dict[type[Packet | Frame], int]:
    """How long what is wanted may stay away."""
    slowest_fps = min(options.fps, options.night.min_fps or options.fps)
    wanted_fps: dict[type[Packet | Frame], float] = {}
    if wanted.packets:
        wanted_fps[Packet] = slowest_fps
    if wanted.frames_fps > 0:
        wanted_fps[Frame] = min(slowest_fps, wanted.frames_fps)
    return {
        kind: round(max(options.read_timeout_s, SLOWEST / fps) * NS_PER_S)
        for kind, fps in wanted_fps.items()
    }
