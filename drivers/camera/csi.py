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
process ([`drivers/child`](../child)), because native code under Picamera2 goes silent after hours on some
boards, and blocks when it is stopped. The parent watches the age of the last picture: a child that is
silent for too long is killed, and `read` raises an error so that the camera is opened again. A child
that SIGKILL does not end is held by the kernel: that is the error `stuck`, and a second child would be
held too.

`t_ns` is the sensor's own time. An IMX500 runs a network in the sensor, if the request has one
([docs/accelerators.md](../../docs/accelerators.md)).
"""

import logging
from collections.abc import Callable

from drivers.child import messages
from drivers.child.camera import ChildCamera, ChildPolicy
from drivers.child.connection import KILL_TIMEOUT_S
from drivers.child.process import ChildStarter, new_interpreter
from drivers.contracts import StreamRequest
from drivers.csi.options import Options
from drivers.media import NS_PER_S, Frame, Packet, PictureArea

__all__ = ["CsiCamera", "Options", "open_camera"]

log = logging.getLogger(__name__)

MIN_SILENT_FRAMES = 3
"""Least silence of a stream, in pictures."""
START_PROCESS = new_interpreter("drivers.csi.child")
"""Not forked from a common process: Picamera2 starts threads when it is loaded."""


def open_camera(
    name: str,
    options: Options,
    request: StreamRequest,
    clock_ns: Callable[[], int],
    *,
    start_process: ChildStarter = START_PROCESS,
    kill_timeout_s: float = KILL_TIMEOUT_S,
) -> "CsiCamera":
    """Start the child and wait until its camera runs.

    Raises: DriverError absent (no such module, or no Picamera2), busy, unsupported (size, encoder),
    timeout, crashed, stuck; MaskError.
    """
    display_name = f"camera {name!r}: csi {options.camera}"
    camera = CsiCamera(
        display_name,
        options,
        request,
        clock_ns,
        start_process,
        ChildPolicy(
            open_timeout_s=options.open_timeout_s,
            silence_limits_ns=_silence_limits_ns(options, request),
            silence_kind="timeout",
            masks_in_child=True,
            kill_timeout_s=kill_timeout_s,
        ),
    )
    opened = camera.opened
    if opened.network_error is not None:
        log.warning("%s: no network in the sensor: %s", display_name, opened.network_error)
    if opened.missing_controls:
        log.warning("%s: has no control %s", display_name, ", ".join(opened.missing_controls))
    log.info("%s: open, encoder %s", display_name, opened.encoder or "not wanted")
    return camera


class CsiCamera(ChildCamera):
    """A camera module in its child. It is a FrameRateControl, a NightModeControl and a SensorNetworkControl too."""

    @property
    def network_error(self) -> str | None:
        """The reason why the requested network does not run."""
        return self.opened.network_error

    def set_search_area(self, area: PictureArea) -> None:
        """Send the area to the child, which moves the sensor's region of interest."""
        self._connection.send(messages.SetSearchArea(area=area))

    def set_min_fps(self, fps: float | None) -> None:
        """Send the frame rate to the child, which limits it to what the sensor's mode can."""
        self._connection.send(messages.SetMinFps(fps=fps))

    def set_night(self, night: bool | None) -> None:  # noqa: FBT001 - as NightModeControl
        """Send the night mode to the child."""
        self._connection.send(messages.SetNight(night=night))


def _silence_limits_ns(options: Options, request: StreamRequest) -> dict[type, int]:
    """Return the silence after which a stream has timed out."""
    min_fps = min(options.fps, options.night.min_fps or options.fps)
    expected_fps: dict[type, float] = {}
    if request.packets:
        expected_fps[Packet] = min_fps
    if request.frames_fps > 0:
        expected_fps[Frame] = min(min_fps, request.frames_fps)
    return {
        kind: round(max(options.read_timeout_s, MIN_SILENT_FRAMES / fps) * NS_PER_S)
        for kind, fps in expected_fps.items()
    }
