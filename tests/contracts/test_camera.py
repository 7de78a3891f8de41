"""drivers.contracts.Camera: every camera driver keeps this contract, word for word."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from drivers.av_stream import frame_planes
from drivers.child import camera as child_camera
from drivers.contracts import Camera
from drivers.errors import DriverError, MaskError
from drivers.masking import MASK_CHROMA, MASK_LUMA, WHOLE_PICTURE
from drivers.media import NS_PER_S, Frame, Packet, Point, Polygon

from .conftest import READ_TIMEOUT_S, open_driver, read_media


class Device(msgspec.Struct, frozen=True):
    """A driver and the options to open it with. `paced`: it gives in its own time, not at once.
    `encoded`: its packets arrive encoded, and are handed out as they are.
    """

    driver: str
    options: dict[str, Any]
    paced: bool
    encoded: bool = True
    transcode: bool = False

    @property
    def many(self) -> int:
        """More than one loop of a video, where that does not take its time."""
        return 15 if self.paced else 45

    @property
    def may_drop(self) -> bool:
        """Whether the driver leaves out pictures that the test does not read in time."""
        return self.driver in {"csi", "rtsp"}

    @contextmanager
    def opened(self, **how: Any) -> Iterator[Camera]:
        camera = open_driver(self.driver, self.options, transcode=self.transcode, **how)
        try:
            yield camera
        finally:
            camera.close()


SMALL_STREET = {"width_px": 160, "height_px": 120, "fps": 10.0}

DEVICES = (
    "replay fast",
    "replay real",
    "replay reordered",
    "replay mjpeg",
    "replay mpeg4",
    "replay 422",
    "replay transcoded",
    "fake fast",
    "fake real",
    "rtsp tcp",
    "rtsp udp",
    "csi virtual",
)

SMALL_MODULE = {
    "camera": "Virtual0",
    "width_px": 320,
    "height_px": 240,
    "detect_width_px": 320,
    "detect_height_px": 240,
}


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, videos: dict[str, Path]) -> Device:
    driver, kind = request.param.split()
    if driver == "fake":
        options = {**SMALL_STREET, "pace": kind}
        return Device("fake", options, kind == "real", encoded=False)
    if driver == "csi":
        request.getfixturevalue("virtual_camera_there")
        return Device("csi", SMALL_MODULE, paced=True, encoded=False)
    if driver == "rtsp":
        server = request.getfixturevalue("rtsp_server")
        options = {"url": server.url("open"), "transport": kind}
        return Device("rtsp", options, paced=True)
    video = videos.get(kind, videos["h264"])
    pace = "real" if kind == "real" else "fast"
    options = {"path": str(video), "pace": pace, "loop": True}
    transcode = kind == "transcoded"
    return Device("replay", options, pace == "real", encoded=not transcode, transcode=transcode)


def test_the_stream_is_described_from_the_moment_it_is_open(device: Device) -> None:
    with device.opened() as camera:
        info = camera.info
        assert info.codec in {"h264", "mjpeg", "mpeg4"}
        assert (info.width_px, info.height_px) in {(160, 120), (320, 240)}
        assert 5 <= info.fps <= 30


def test_packets_come_in_decoding_order_and_time_never_steps_back(device: Device) -> None:
    with device.opened(frames_fps=0) as camera:
        packets = read_media(camera, Packet, device.many)
    assert packets[0].is_key
    assert abs(packets[0].pts_ns) < 1_000_000_000
    for before, after in pairwise(packets):
        assert after.dts_ns > before.dts_ns
        assert after.t_ns >= before.t_ns
    assert all(packet.pts_ns >= packet.dts_ns for packet in packets)
    assert all(packet.data for packet in packets)


def test_frames_are_planar_4_2_0_and_time_never_steps_back(device: Device) -> None:
    with device.opened(packets=False) as camera:
        frames = read_media(camera, Frame, device.many)
        info = camera.info
    for frame in frames:
        assert frame.y.shape == (info.height_px, info.width_px)
        assert frame.u.shape == frame.v.shape == (info.height_px // 2, info.width_px // 2)
        assert frame.y.dtype == frame.u.dtype == frame.v.dtype == "uint8"
        assert frame.y.max() > 150
        assert not frame.y.flags.writeable
    for before, after in pairwise(frames):
        assert after.t_ns > before.t_ns
        assert after.seq > before.seq if device.may_drop else after.seq == before.seq + 1


def test_a_driver_does_no_unrequested_work(device: Device) -> None:
    with device.opened(packets=False) as camera:
        assert {type(camera.read(READ_TIMEOUT_S)) for _ in range(5)} == {Frame}
    with device.opened(frames_fps=0) as camera:
        assert {type(camera.read(READ_TIMEOUT_S)) for _ in range(5)} == {Packet}


def test_frames_come_no_more_often_than_requested(device: Device) -> None:
    with device.opened(packets=False, frames_fps=4) as camera:
        first, *_, last = frames = read_media(camera, Frame, 6)
        fps = camera.info.fps
    if device.driver == "csi":
        assert (last.t_ns - first.t_ns) / 1e9 >= 5 / 4 - 0.1
    else:
        assert (last.seq - first.seq) / fps >= 5 / 4 - 0.1
        assert all(after.seq - before.seq >= 2 for before, after in pairwise(frames))


def test_a_returned_plane_is_never_modified(device: Device) -> None:
    def prints(frames: list[Frame]) -> list[str]:
        return [
            hashlib.sha256(b"".join(p.tobytes() for p in (f.y, f.u, f.v))).hexdigest()
            for f in frames
        ]

    with device.opened(packets=False) as camera:
        kept = read_media(camera, Frame, 6)
        before = prints(kept)
        read_media(camera, Frame, 12)
        assert prints(kept) == before
    assert prints(kept) == before


def test_a_still_stream_delivers_the_keyframes_that_were_watched_alone(device: Device) -> None:
    watched: list[Frame] = []

    def watch(frame: Frame) -> bool:
        watched.append(frame)
        return False

    with device.opened(packets=False, keyframe_watch=watch) as camera:
        frames = read_media(camera, Frame, 4)
    if not watched:  # The driver decodes each picture alone, or none.
        assert device.may_drop or [f.seq - frames[0].seq for f in frames] == [0, 1, 2, 3]
        return
    for frame, keyframe in zip(frames, watched, strict=False):
        assert frame.t_ns == keyframe.t_ns
        assert np.array_equal(frame.y, keyframe.y)
    assert all(after.seq - before.seq >= 5 for before, after in pairwise(frames))


def test_the_watch_of_keyframes_sees_no_masked_area(device: Device) -> None:
    watched: list[Frame] = []

    def watch(frame: Frame) -> bool:
        watched.append(frame)
        return True

    with device.opened(masks=WHOLE_PICTURE, keyframe_watch=watch) as camera:
        read_media(camera, Frame, 15)
    assert all((frame.y == MASK_LUMA).all() for frame in watched)


LEFT_HALF = (Point(0, 0), Point(0.5, 0), Point(0.5, 1), Point(0, 1))
MASK_TURN_NS = NS_PER_S // 5
FLAT_WITHIN = 3
"""Of luma and chroma, after an encoder that loses."""


def test_masked_areas_are_in_no_frame_and_in_no_locally_encoded_packet(device: Device) -> None:
    with device.opened(masks=(LEFT_HALF,)) as camera:
        media = read_media(camera, (Frame, Packet), 30)
        info = camera.info
    half = info.width_px // 2
    frames = [one for one in media if isinstance(one, Frame)]
    for frame in frames:
        assert (frame.y[:, :half] == MASK_LUMA).all()
        assert (frame.u[:, : half // 2] == MASK_CHROMA).all()
        assert (frame.v[:, : half // 2] == MASK_CHROMA).all()
        assert frame.y[:, half + 2 :].max() > 60
        assert not frame.y.flags.writeable
    assert frames
    assert info.masked is not device.encoded
    if device.encoded:
        return
    decoder = av.CodecContext.create(info.codec, "r")
    decoder.extradata = info.extradata
    packets = [one for one in media if isinstance(one, Packet)]
    pictures = [p for packet in packets for p in decoder.decode(av.Packet(packet.data))]  # type: ignore[attr-defined]
    assert len(pictures) > 5
    for picture in pictures:
        y, u, v = (plane.astype(int) for plane in frame_planes(picture))
        assert np.abs(y[:, :half] - MASK_LUMA).max() <= FLAT_WITHIN
        assert np.abs(u[:, : half // 2] - MASK_CHROMA).max() <= FLAT_WITHIN
        assert np.abs(v[:, : half // 2] - MASK_CHROMA).max() <= FLAT_WITHIN


@pytest.mark.parametrize("may_lag", [False, True])
def test_masks_may_change_while_the_camera_is_open(
    device: Device, may_lag: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_camera, "MASKS_TIMEOUT_NS", 60 * NS_PER_S)
    now: list[tuple[Polygon, ...]] = [WHOLE_PICTURE]
    with device.opened(current_masks=lambda _t_ns: now[0], masks_may_lag=may_lag) as camera:
        hidden = read_media(camera, Frame, 5)
        assert all((frame.y == MASK_LUMA).all() for frame in hidden)
        now[0] = ()
        assert any(read_media(camera, Frame, 1)[0].y.max() > 60 for _ in range(30))
        now[0] = WHOLE_PICTURE
        assert any((read_media(camera, Frame, 1)[0].y == MASK_LUMA).all() for _ in range(30))


def test_a_picture_has_the_masks_of_its_own_time(device: Device) -> None:
    def masks_at(t_ns: int) -> tuple[Polygon, ...]:
        return () if t_ns // MASK_TURN_NS % 2 else WHOLE_PICTURE

    watched: list[Frame] = []

    def watch(frame: Frame) -> bool:
        watched.append(frame)
        return True

    with device.opened(current_masks=masks_at, keyframe_watch=watch) as camera:
        frames = read_media(camera, Frame, device.many)
    for frame in (*frames, *watched):
        assert (frame.y == MASK_LUMA).all() == bool(masks_at(frame.t_ns))
    assert len({bool(masks_at(frame.t_ns)) for frame in frames}) == 2


def test_a_camera_whose_mask_cannot_be_drawn_is_not_opened(device: Device) -> None:
    for bad in (LEFT_HALF[:2], (Point(0, 0), Point(1, 1), Point(0.5, 0.5))):
        with pytest.raises(MaskError), device.opened(masks=(bad,)):
            pass


def test_a_read_with_zero_timeout_returns_none(device: Device) -> None:
    if not device.paced:
        pytest.skip("a video in fast pace always has more to give")
    with device.opened() as camera:
        assert any(camera.read(0.0) is None for _ in range(1000))


def test_closing_wakes_a_waiting_reader(device: Device) -> None:
    failed: list[DriverError] = []
    started = threading.Event()
    camera = device.opened()
    with camera as opened:

        def read_on() -> None:
            try:
                while True:
                    opened.read(60.0)
                    started.set()
            except DriverError as error:
                failed.append(error)

        reader = threading.Thread(target=read_on)
        reader.start()
        assert started.wait(READ_TIMEOUT_S)
        opened.close()
        reader.join(READ_TIMEOUT_S)
        assert not reader.is_alive()
    assert [error.kind for error in failed] == ["closed"]


def test_a_closed_camera_raises_closed_and_closing_twice_does_nothing(device: Device) -> None:
    with device.opened() as camera:
        camera.close()
        camera.close()
        for _ in range(2):
            with pytest.raises(DriverError, match="closed") as caught:
                camera.read(0.0)
            assert caught.value.kind == "closed"


def test_ten_openings_leave_nothing_open(device: Device) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would hold them open

    with device.opened() as camera:
        read_media(camera, Frame, 1)
    before = open_files()
    for _ in range(10):
        with device.opened() as camera:
            camera.read(READ_TIMEOUT_S)
    assert open_files() <= before + 1
