"""drivers.hardware_decoder: stand-ins for the board's decoder are libavcodec's own decoders, right and wrong ones.

libavcodec's wrapper of V4L2 is tested with a device that is preloaded into a process of its own: tests/v4l2_decoder.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import cast

import av
import msgspec
import numpy as np
import pytest
from av.codec.context import Flags2
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from drivers import hardware_decoder
from drivers.av_stream import VideoPacket, VideoSource, open_video_source
from drivers.child.syscall_filter import _DECODER_COMMANDS
from drivers.frame_decoder import FrameDecoder
from drivers.hardware_decoder import HardwareSource, open_v4l2_decoder
from drivers.media import Frame
from tests.v4l2_decoder.decode import Outcome

ROOT = Path(__file__).parents[2]
FPS = 10
GOP = 10
PICTURES = 70
WIDTH_PX, HEIGHT_PX = 148, 120
"""Coded in 160 columns and 128 rows."""
ABSENT_DEVICE = "/dev/video255"

Opener = Callable[[VideoStream], VideoCodecContext]
Source = Callable[..., HardwareSource]


def make_film(path: Path, codec: str, options: dict[str, str]) -> Path:
    """Seven seconds of a square that wanders over noise, a keyframe each second."""
    random = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=FPS))
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.codec_context.gop_size = GOP
        stream.codec_context.thread_count = 1
        stream.codec_context.options = options
        for index in range(PICTURES):
            image = random.integers(60, 120, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
            image[40:80, index : index + 40] = 220
            picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"preset": "superfast", "bf": "0", "crf": "45", "sc_threshold": "0"}
    return make_film(tmp_path_factory.mktemp("film") / "plain.mp4", "libx264", options)


@pytest.fixture(scope="module")
def reordered_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"preset": "superfast", "bf": "2", "x264-params": "b-adapt=0:scenecut=0"}
    return make_film(tmp_path_factory.mktemp("film") / "reordered.mp4", "libx264", options)


def open_decoder(stream: VideoStream, codec: str = "h264", **settings: object) -> VideoCodecContext:
    """A decoder of libavcodec in the place of the board's."""
    decoder = cast("VideoCodecContext", VideoCodecContext.create(codec, "r"))
    decoder.extradata = stream.codec_context.extradata
    decoder.thread_count = 1
    decoder.pkt_timebase = Fraction(1, 1_000_000)
    for name, value in settings.items():
        setattr(decoder, name, value)
    decoder.open()
    return decoder


class Device:
    """A decoder that fails in its own way from a packet on."""

    def __init__(self, stream: VideoStream, good_packets: int, fail: Callable[[], object]) -> None:
        self._decoder = open_decoder(stream)
        self._good_packets = good_packets
        self._fail = fail

    def decode(self, packet: VideoPacket) -> list[av.VideoFrame]:
        pictures = self._decoder.decode(packet)
        self._good_packets -= 1
        if self._good_packets < 0:
            self._fail()
            return []
        return pictures


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def open_source(failures: list[str]) -> Iterator[Source]:
    sources: list[VideoSource] = []

    def opened(path: Path, opener: object, timeout_s: float = 60.0) -> HardwareSource:
        source = HardwareSource(
            av.open(str(path)),
            "film",
            cast("Opener", opener),
            failures.append,
            timeout_s=timeout_s,
        )
        sources.append(source)
        return source

    yield opened
    for source in sources:
        source.close()


def decoded(source: VideoSource) -> dict[int, bytes]:
    """The luma of all pictures by their time; a damaged packet costs its own."""
    pictures: dict[int, bytes] = {}
    for packet in source.packets():
        if not packet.size:
            break
        for picture in source.decode(packet):
            assert picture.pts is not None
            assert picture.pts not in pictures
            pictures[picture.pts] = source.planes(picture)[0].tobytes()
    return pictures


def expected(path: Path) -> dict[int, bytes]:
    source = open_video_source(str(path), "film")
    try:
        return decoded(source)
    finally:
        source.close()


@pytest.mark.parametrize("name", ["film", "reordered_film"])
def test_pictures_of_the_boards_decoder_have_the_times_of_their_packets(
    name: str, request: pytest.FixtureRequest, open_source: Source, failures: list[str]
) -> None:
    path: Path = request.getfixturevalue(name)
    pictures, right = decoded(open_source(path, open_decoder)), expected(path)
    assert list(pictures) == list(right)[: len(pictures)]
    assert pictures == {pts: right[pts] for pts in pictures}
    assert len(right) - len(pictures) <= 2, "those that the decoder still holds"
    assert failures == []


def test_rows_that_the_decoder_adds_are_cut_off(
    film: Path, open_source: Source, failures: list[str]
) -> None:
    shapes: set[tuple[int, int]] = set()

    def open_uncropped(stream: VideoStream) -> VideoCodecContext:
        return open_decoder(stream, flags2=Flags2.ignore_crop)

    source = open_source(film, open_uncropped)
    for packet in source.packets():
        for picture in source.decode(packet) if packet.size else ():
            assert (picture.width, picture.height) == (160, 128)
            shapes |= {plane.shape for plane in source.planes(picture)}
    assert shapes == {(HEIGHT_PX, WIDTH_PX), (HEIGHT_PX // 2, WIDTH_PX // 2)}
    assert failures == []


def raises_of_the_device() -> None:
    raise av.error.OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("opener", "reason"),
    [
        pytest.param(partial(open_v4l2_decoder, ABSENT_DEVICE), "no such device", id="absent"),
        pytest.param(
            partial(open_decoder, options={"skip_loop_filter": "all"}),
            "its picture is not that of the software decoder",
            id="a decoder that leaves something out",
        ),
        pytest.param(
            lambda stream: Device(stream, 0, raises_of_the_device),
            "failed: [Errno 5] Input/output error",
            id="an error of the first packet",
        ),
    ],
)
def test_a_decoder_that_is_wrong_from_the_beginning_costs_no_picture(
    film: Path, open_source: Source, failures: list[str], opener: object, reason: str
) -> None:
    assert decoded(open_source(film, opener)) == expected(film)
    assert failures == [reason]


def test_another_codec_than_h264_is_decoded_in_software(
    tmp_path: Path, open_source: Source, failures: list[str]
) -> None:
    """HEVC too: a film of it takes too long to make here."""
    path = make_film(tmp_path / "film.avi", "mpeg4", {})
    pictures = decoded(open_source(path, partial(open_v4l2_decoder, ABSENT_DEVICE)))
    assert pictures == expected(path)
    assert failures == ["cannot decode mpeg4 here; allowed: h264"]


@pytest.mark.parametrize("good_packets", [0, 25])
@pytest.mark.parametrize("name", ["stalls", "fails", "falls silent"])
def test_a_decoder_that_fails_is_replaced_at_the_next_keyframe(
    film: Path,
    open_source: Source,
    failures: list[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    good_packets: int,
) -> None:
    released = threading.Event()
    monkeypatch.setattr(hardware_decoder, "MAX_SILENT_PACKETS", 15)
    fail, reason = {
        "stalls": (released.wait, "has stalled for 0.2 s"),
        "fails": (raises_of_the_device, "failed: [Errno 5] Input/output error"),
        "falls silent": (lambda: None, "gave no picture for 15 packets"),
    }[name]
    source = open_source(
        film,
        lambda stream: Device(stream, good_packets, fail),
        timeout_s=0.2 if name == "stalls" else 60.0,
    )
    pictures, right = decoded(source), expected(film)
    released.set()
    assert failures == [reason]
    assert pictures == {pts: right[pts] for pts in pictures}
    times = list(right)
    missing = [index for index, pts in enumerate(times) if pts not in pictures]
    until = -(-(good_packets + (15 if name == "falls silent" else 0)) // GOP) * GOP
    if name == "stalls":  # a busy machine may have it stall earlier
        until = missing[-1] + 1 if missing else 0
        good_packets = min(good_packets, missing[0] if missing else 0)
        assert until % GOP == 0
    assert missing == list(range(good_packets, until)), "up to the next keyframe"


@pytest.mark.parametrize("codec", ["hevc", "mpeg4"])
def test_a_decoder_that_finds_no_picture_in_the_stream_is_replaced(
    film: Path, open_source: Source, failures: list[str], codec: str
) -> None:
    frames = frames_of(
        open_source(film, lambda stream: open_decoder(stream, codec, extradata=None))
    )
    right = frames_of(open_video_source(str(film), "film"))
    assert failures == ["gave no picture for 50 packets"]
    assert frames == right[-len(frames) :]
    assert len(frames) == PICTURES - 50


def test_a_picture_with_the_time_of_no_packet_is_left_out(
    film: Path, open_source: Source, failures: list[str]
) -> None:
    class Forgetful(Device):
        def decode(self, packet: VideoPacket) -> list[av.VideoFrame]:
            pictures = super().decode(packet)
            for picture in pictures if packet.pts == 12 else ():
                picture.pts = 4711
            return pictures

    pictures = decoded(open_source(film, lambda stream: Forgetful(stream, PICTURES, list)))
    right = expected(film)
    del right[list(right)[11]]
    assert pictures == right
    assert failures == []


def frames_of(source: VideoSource, watch: Callable[[Frame], bool] | None = None) -> list[bytes]:
    """The luma of the frames that a FrameDecoder delivers, in order."""
    decoder = FrameDecoder(float("inf"), lambda planes, _t_ns: planes, watch)
    frames: list[bytes] = []
    last_ns = -1
    for packet in source.packets():
        if not packet.size or packet.pts is None:
            break
        with contextlib.suppress(av.error.InvalidDataError):
            for frame in decoder.decode(
                source, packet, source.ticks_to_ns(packet.pts), lambda t_ns: t_ns, lambda t_ns: t_ns
            ):
                assert frame.t_ns > last_ns
                last_ns = frame.t_ns
                frames.append(frame.y.tobytes())
    return frames


def test_decoding_on_demand_gives_the_same_frames(
    film: Path, open_source: Source, failures: list[str]
) -> None:
    """The board's decoder cannot be flushed: what it holds from before a still time is left out."""

    def answers() -> Callable[[Frame], bool]:
        wanted = iter([True, False, False, True, True, False])
        return lambda _frame: next(wanted, True)

    class Late(Device):
        """It holds back three pictures, and is never drained."""

        def __init__(self, stream: VideoStream) -> None:
            super().__init__(stream, PICTURES * 2, list)
            self._held: list[av.VideoFrame] = []

        def decode(self, packet: VideoPacket) -> list[av.VideoFrame]:
            self._held += super().decode(packet)
            given, self._held = self._held[:-3], self._held[-3:]
            return given

    right = frames_of(open_video_source(str(film), "film"), answers())
    frames = frames_of(open_source(film, Late), answers())
    assert failures == []
    assert frames == right[: len(frames)]
    assert len(right) - len(frames) <= 3


@pytest.fixture(scope="module")
def v4l2_device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    library = tmp_path_factory.mktemp("device") / "device.so"
    source = ROOT / "tests/v4l2_decoder/device.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


def decoded_by_v4l2(
    film: Path, device: Path, folder: Path, timeout_s: float, **settings: str
) -> tuple[Outcome, set[int]]:
    """Return the pictures of a process with the device, and the commands that libavcodec gave it."""
    with (folder / "pictures").open("wb") as pictures:
        source = open_video_source(str(film), "film")
        for packet in source.packets():
            for picture in source.decode(packet) if packet.size else ():
                for plane in source.planes(picture):
                    pictures.write(plane.tobytes())
        source.close()
    done = subprocess.run(
        [sys.executable, "-m", "tests.v4l2_decoder.decode", film, str(timeout_s)],
        cwd=ROOT,
        env={
            **os.environ,
            "LD_PRELOAD": str(device),
            "VIGIE_V4L2_PICTURES": str(folder / "pictures"),
            "VIGIE_V4L2_COMMANDS": str(folder / "commands"),
            **settings,
        },
        stdout=subprocess.PIPE,
        check=True,
    )
    commands = {int(line, 16) for line in (folder / "commands").read_text().split()}
    return msgspec.json.decode(done.stdout, type=Outcome), commands


def hashes(path: Path) -> dict[int, str]:
    return {pts: hashlib.sha256(luma).hexdigest() for pts, luma in expected(path).items()}


def test_libavcodecs_wrapper_of_v4l2_decodes_with_listed_commands(
    film: Path, v4l2_device: Path, tmp_path: Path
) -> None:
    outcome, commands = decoded_by_v4l2(film, v4l2_device, tmp_path, 60.0)
    right = hashes(film)
    assert outcome.failures == []
    assert dict(outcome.pictures) == {pts: right[pts] for pts, _ in outcome.pictures}
    assert len(right) - len(outcome.pictures) <= 2
    assert commands <= set(_DECODER_COMMANDS)


def test_a_v4l2_decoder_that_stalls_is_replaced_though_libavcodec_waits_for_ever(
    film: Path, v4l2_device: Path, tmp_path: Path
) -> None:
    outcome, _ = decoded_by_v4l2(film, v4l2_device, tmp_path, 2.0, VIGIE_V4L2_STALL="25")
    right = hashes(film)
    assert outcome.failures == ["has stalled for 2 s"]
    assert dict(outcome.pictures) == {pts: right[pts] for pts, _ in outcome.pictures}
    assert outcome.pictures[-1][0] == list(right)[-1], "by the software decoder"
