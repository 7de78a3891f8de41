"""Videos that the tests make themselves, and a street camera that speaks RTSP."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import av
import msgspec
import numpy as np
import pytest

from drivers.catalog import load_camera_driver
from drivers.child.fork_server import ForkServer
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.hailo.accelerator import HailoModel
from drivers.media import Frame, Polygon
from drivers.transcoding import open_transcoded
from tests import virtual_camera

HERE = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"
USER, PASSWORD = "vigie", "br:ead @ö/"  # as rtsp_server.py has them

READ_TIMEOUT_S = 60.0
PATIENCE = {"open_timeout_s": 20.0, "read_timeout_s": 15.0}
"""Options of a driver with a child: on a busy machine it starts late, and a pipeline gives no packet for seconds."""

VIDEO_FPS = 10
VIDEO_FRAMES = 40


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def open_driver(  # noqa: PLR0913 - the fields of a StreamRequest, by name
    driver: str,
    options: dict[str, Any],
    *,
    packets: bool = True,
    frames_fps: float = float("inf"),
    masks: tuple[Polygon, ...] = (),
    current_masks: Callable[[int], tuple[Polygon, ...]] | None = None,
    masks_may_lag: bool = False,
    keyframe_watch: Callable[[Frame], bool] | None = None,
    on_decoder_failure: Callable[[DriverError], None] | None = None,
    transcode: bool = False,
    clock_ns: Callable[[], int] = boottime_ns,
) -> Camera:
    module = load_camera_driver(driver)
    if driver in {"csi", "rtsp"}:
        options = PATIENCE | options
    request = StreamRequest(
        packets=packets,
        frames_fps=frames_fps,
        masks=masks,
        current_masks=current_masks,
        masks_may_lag=masks_may_lag,
        keyframe_watch=keyframe_watch,
        on_decoder_failure=on_decoder_failure,
    )

    def opened(request: StreamRequest) -> Camera:
        driver_options = msgspec.convert(options, module.Options)
        return module.open_camera("test", driver_options, request, clock_ns)

    return open_transcoded("camera 'test'", opened, request) if transcode else opened(request)


def read_media(camera: Camera, kind: type | tuple[type, ...], count: int) -> list[Any]:
    """The next `count` packets or frames."""
    found: list[Any] = []
    while len(found) < count:
        media = camera.read(READ_TIMEOUT_S)
        assert media is not None, f"nothing within {READ_TIMEOUT_S} s"
        if isinstance(media, kind):
            found.append(media)
    return found


def wait_for_hailo(model: HailoModel, after: DriverError | None = None) -> DriverError | None:
    """Wait until a model is loaded, or has failed otherwise than before."""
    deadline_s = time.monotonic() + READ_TIMEOUT_S
    while time.monotonic() < deadline_s:
        try:
            model.input_size_px()
        except DriverError as error:
            if error.kind != "busy" and error is not after:
                return error
        else:
            return None
        model.wait(0.2)
    raise AssertionError(f"neither loaded nor failed within {READ_TIMEOUT_S} s")


def encode_video(
    path: Path,
    codec: str,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    *,
    fps: int = VIDEO_FPS,
    gop_size: int = VIDEO_FPS,
) -> Path:
    """Four seconds of a bright square that wanders over grey, a keyframe each second."""
    with av.open(str(path), "w") as container:
        stream = cast("av.VideoStream", container.add_stream(codec, rate=fps))
        stream.width, stream.height, stream.pix_fmt = 160, 120, pix_fmt
        stream.codec_context.gop_size = gop_size
        stream.codec_context.thread_count = 1
        stream.codec_context.options = options or {}
        for index in range(VIDEO_FRAMES):
            image = np.full((120, 160, 3), 90, np.uint8)
            image[40:80, index * 3 : index * 3 + 40] = 220
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    mux_options = {"movflags": "+faststart"}
    paths = {
        "h264": encode_video(folder / "plain.mp4", "libx264", {"bf": "0", "preset": "ultrafast"}),
        "reordered": encode_video(
            folder / "reordered.mp4", "libx264", {"bf": "2", "x264-params": "b-adapt=0"}
        ),
        "mjpeg": encode_video(folder / "mjpeg.avi", "mjpeg", pix_fmt="yuvj420p"),
        "mpeg4": encode_video(folder / "mpeg4.avi", "mpeg4"),
        "422": encode_video(folder / "wide.mkv", "libx264", {"preset": "ultrafast"}, "yuv422p"),
    }
    paths["one keyframe"] = encode_video(
        folder / "long.mp4",
        "libx264",
        {"bf": "0", "preset": "ultrafast"},
        fps=VIDEO_FPS // 2,
        gop_size=VIDEO_FRAMES,
    )
    paths["streamable"] = folder / "streamable.mp4"
    with (
        av.open(str(paths["h264"])) as source,
        av.open(str(paths["streamable"]), "w", options=mux_options) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return paths


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


def _missing_rtsp_reason() -> str | None:
    probe = (
        "import gi; gi.require_version('GstRtspServer', '1.0');"
        "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
        "import sys; sys.exit(not Gst.ElementFactory.find('x264enc'))"
    )
    try:
        process = subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False)
    except OSError as error:
        return str(error)
    return None if process.returncode == 0 else "GStreamer's RTSP server or its x264enc is missing"


@pytest.fixture(scope="session")
def rtsp_servers() -> Callable[..., Any]:
    """A context manager that starts a server with the given arguments."""
    missing = _missing_rtsp_reason()
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
    """Make libcamera's virtual pipeline the cameras of the driver `csi`, for the tests of one file."""
    reason = virtual_camera.skip_reason()
    if reason is not None:
        pytest.skip(reason)
    with virtual_camera.installed_pipeline(), pytest.MonkeyPatch.context() as patch:
        for name, value in virtual_camera.picamera2_environment().items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def hostile_server() -> Iterator[ForkServer]:
    """A fork server whose children misbehave, see `hostile_child`."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]))
        server = ForkServer("tests.contracts.hostile_child")
        yield server
        server.close()
