"""A camera on USB or on the board's bus: any Video4Linux2 capture device.

```toml
[[camera]]
name = "yard"
driver = "v4l2"

[camera.options]
device = "/dev/video0"
width_px = 1280
height_px = 720
fps = 15
format = "h264"
```

`format` is requested from the device. With `h264` and `mjpeg` the device's own encoded stream is
delivered as packets; with `yuyv422`, `nv12` and `yuv420p` there are only frames. `t_ns` is the arrival
of the picture, as for the network camera. Device and kernel have only a few buffers, so the driver
reads each picture at once.

FFmpeg waits for a picture without a limit: a device that stalls without being unplugged holds the thread that reads,
and stays open. It is not opened a second time: that is the error `stuck`, and only the end of the process frees it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from drivers.av_live import LiveCamera, wait_until_left
from drivers.av_stream import VideoSource, open_video_source
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.masking import MaskPainter

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 5.0


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mode that is requested from the device, which refuses a size or rate that it does not have."""

    device: Annotated[
        str, msgspec.Meta(pattern=r"^/dev/", extra={"allowed": "a path such as /dev/video0"})
    ] = "/dev/video0"
    width_px: Annotated[int, msgspec.Meta(ge=16, le=8192)] = 1280
    height_px: Annotated[int, msgspec.Meta(ge=16, le=8192)] = 720
    fps: Annotated[float, msgspec.Meta(gt=0, le=240)] = 15.0
    format: Literal["h264", "mjpeg", "yuyv422", "nv12", "yuv420p"] = "mjpeg"


def libav_options(options: Options) -> dict[str, str]:
    """The format's name in libavdevice's `v4l2` input (its documentation, section video4linux2)."""
    return {
        "video_size": f"{options.width_px}x{options.height_px}",
        "framerate": f"{options.fps:g}",
        "input_format": options.format,
    }


def open_camera(
    name: str, options: Options, request: StreamRequest, clock_ns: Callable[[], int]
) -> Camera:
    """Open the device.

    Raises: DriverError absent (no such device, or no device at all), busy (another process reads it),
    unsupported (it has no such size, rate or format), timeout, stuck (a thread of this process has read it for
    READ_TIMEOUT_S since its camera was closed).
    """
    display_name = f"camera {name!r}: device {options.device!r}"
    device = Path(options.device)
    if device.exists() and not device.is_char_device():
        raise DriverError(
            "unsupported", f"{display_name}: is no device; expected one such as /dev/video0"
        )
    # The thread of a device that is only slow ends with the next picture.
    if not wait_until_left(display_name, READ_TIMEOUT_S):
        raise DriverError("stuck", f"{display_name}: stalls, and its reading cannot be ended")
    return LiveCamera(
        display_name,
        lambda: _open(options, display_name),
        request,
        clock_ns,
        paint=MaskPainter(request.masks, display_name, request.current_masks).paint_planes,
        open_timeout_s=OPEN_TIMEOUT_S,
        read_timeout_s=READ_TIMEOUT_S,
        can_pause=False,
    )


def _open(options: Options, display_name: str) -> VideoSource:
    return open_video_source(
        options.device, display_name, format="v4l2", options=libav_options(options)
    )
