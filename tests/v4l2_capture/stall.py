"""Read a camera that stalls, open it again, and again when its stall is over: `python -m tests.v4l2_capture.stall GATE`.

It writes a line for each outcome. The stall ends when the named pipe GATE is opened for writing.
"""

import sys
import time
from pathlib import Path

from drivers.camera import v4l2
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame

OPTIONS = v4l2.Options(device="/dev/video77", width_px=64, height_px=48, fps=10, format="yuyv422")
STALL_S, PATIENCE_S = 1.0, 60.0


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def opened() -> Camera:
    request = StreamRequest(packets=False, frames_fps=float("inf"))
    return v4l2.open_camera("test", OPTIONS, request, boottime_ns)


def read_to_the_end(camera: Camera) -> str:
    """Return the number of frames, and the error that has ended them."""
    frames = 0
    try:
        while True:
            frames += isinstance(camera.read(PATIENCE_S), Frame)
    except DriverError as error:
        return f"{frames} frames, {error.kind}: {error}"


def open_again() -> str:
    """Return how another opening ends, and what it delivers first."""
    try:
        camera = opened()
    except DriverError as error:
        return f"{error.kind}: {error}"
    media = camera.read(PATIENCE_S)
    camera.close()
    return f"open, {type(media).__name__}"


def report(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> None:
    v4l2.READ_TIMEOUT_S = STALL_S
    camera = opened()
    report(f"while it is read: {open_again()}")
    report(f"read: {read_to_the_end(camera)}")
    camera.close()
    report(f"after the stall: {open_again()}")
    v4l2.READ_TIMEOUT_S = PATIENCE_S
    Path(sys.argv[1]).open("wb").close()
    report(f"after its end: {open_again()}")


if __name__ == "__main__":
    main()
