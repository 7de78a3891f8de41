"""Films that the tests make themselves, and a street camera that speaks RTSP."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from drivers.catalog import camera_module
from drivers.contracts import Camera, Wanted
from drivers.media import Polygon
from drivers.transcoding import open_transcoded
from tests import virtual_camera

HERE = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"
USER, PASSWORD = "vigie", "br:ead @ö/"  # as rtsp_server.py has them

PATIENCE_S = 10.0

FILM_FPS = 10
FILM_FRAMES = 40


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def open_driver(
    driver: str,
    options: dict[str, Any],
    *,
    packets: bool = True,
    frames_fps: float = float("inf"),
    masks: tuple[Polygon, ...] = (),
    masks_now: Callable[[], tuple[Polygon, ...]] | None = None,
    transcode: bool = False,
    clock_ns: Callable[[], int] = boottime_ns,
) -> Camera:
    module = camera_module(driver)
    wanted = Wanted(packets=packets, frames_fps=frames_fps, masks=masks, masks_now=masks_now)

    def opened(wanted: Wanted) -> Camera:
        given = msgspec.convert(options, module.Options)
        return module.open_camera("test", given, wanted, clock_ns)

    return open_transcoded("camera 'test'", opened, wanted) if transcode else opened(wanted)


def take(camera: Camera, kind: type | tuple[type, ...], count: int) -> list[Any]:
    """The next `count` packets or frames."""
    found: list[Any] = []
    while len(found) < count:
        media = camera.read(PATIENCE_S)
        assert media is not None, f"nothing within {PATIENCE_S} s"
        if isinstance(media, kind):
            found.append(media)
    return found


def make_film(
    path: Path, codec: str, options: dict[str, str] | None = None, pix_fmt: str = "yuv420p"
) -> Path:
    """Four seconds of a bright square that wanders over grey, a keyframe each second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FILM_FPS)
        stream.width, stream.height, stream.pix_fmt = 160, 120, pix_fmt
        stream.codec_context.gop_size = FILM_FPS
        stream.codec_context.thread_count = 1
        stream.codec_context.options = options or {}
        for number in range(FILM_FRAMES):
            image = np.full((120, 160, 3), 90, np.uint8)
            image[40:80, number * 3 : number * 3 + 40] = 220
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    whole = {"movflags": "+faststart"}
    made = {
        "h264": make_film(folder / "plain.mp4", "libx264", {"bf": "0", "preset": "ultrafast"}),
        "reordered": make_film(
            folder / "reordered.mp4", "libx264", {"bf": "2", "x264-params": "b-adapt=0"}
        ),
        "mjpeg": make_film(folder / "mjpeg.avi", "mjpeg", pix_fmt="yuvj420p"),
        "mpeg4": make_film(folder / "mpeg4.avi", "mpeg4"),
        "422": make_film(folder / "wide.mkv", "libx264", {"preset": "ultrafast"}, "yuv422p"),
    }
    made["streamable"] = folder / "streamable.mp4"
    with (
        av.open(str(made["h264"])) as source,
        av.open(str(made["streamable"]), "w", options=whole) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return made


class RtspServer:
    """GStreamer's server in a process of its own; it can be frozen, thawed and killed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [SYSTEM_PYTHON, str(HERE / "rtsp_server.py"), *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def url(self, path: str, user: str = "") -> str:
        return f"rtsp://{user}127.0.0.1:{self.port}/{path}"

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _why_no_rtsp() -> str | None:
    probe = (
        "import gi; gi.require_version('GstRtspServer', '1.0');"
        "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
        "import sys; sys.exit(not Gst.ElementFactory.find('x264enc'))"
    )
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else "GStreamer's RTSP server or its x264enc is missing"


@pytest.fixture(scope="session")
def rtsp_servers() -> Callable[..., Any]:
    """A context manager that starts a server with the given arguments."""
    missing = _why_no_rtsp()
    if missing:
        pytest.skip(f"needs gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-ugly: {missing}")

    @contextmanager
    def started(*arguments: str) -> Iterator[RtspServer]:
        server = RtspServer(*arguments)
        try:
            yield server
        finally:
            server.kill()

    return started


@pytest.fixture(scope="session")
def rtsp_server(rtsp_servers: Callable[..., Any]) -> Iterator[RtspServer]:
    with rtsp_servers() as server:
        yield server


@pytest.fixture(scope="module")
def virtual_camera_there() -> Iterator[None]:
    """What the driver `csi` finds is libcamera's virtual pipeline, for the tests of one file."""
    reason = virtual_camera.why_not()
    if reason is not None:
        pytest.skip(reason)
    with virtual_camera.installed(), pytest.MonkeyPatch.context() as patch:
        for name, value in virtual_camera.environment().items():
            patch.setenv(name, value)
        yield
