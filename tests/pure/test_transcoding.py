"""drivers.transcoding: keyframes by the clock, increasing times, and no source packet passed through."""

from itertools import pairwise

import numpy as np
import pytest

from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame, Packet, Point, StreamInfo
from drivers.transcoding import open_transcoded

WHAT = "camera 'north'"
LEFT = (Point(0, 0), Point(0.5, 0), Point(0.5, 1), Point(0, 1))
NS_PER_S = 1_000_000_000


def frame(number: int, t_s: float, size_px: tuple[int, int] = (64, 48)) -> Frame:
    width, height = size_px
    half = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    y = np.full((height, width), 40 + number % 180, np.uint8)
    return Frame(seq=number, t_ns=int(t_s * NS_PER_S), y=y, u=half, v=half)


class Listed:
    """A camera that gives a list of frames, and remembers how it was opened."""

    def __init__(self, *frames: Frame) -> None:
        self._frames = list(frames)
        self.wanted: StreamRequest | None = None
        self.closed = False
        self.info = StreamInfo(
            codec="hevc",
            width_px=frames[0].width_px if frames else 64,
            height_px=frames[0].height_px if frames else 48,
            fps=25.0,
        )

    def open(self, wanted: StreamRequest) -> "Listed":
        self.wanted = wanted
        return self

    def read(self, timeout_s: float) -> Packet | Frame | None:
        if self.closed:
            raise DriverError("closed", "closed")
        if not self._frames:
            raise DriverError("ended", "no more")
        return self._frames.pop(0)

    def close(self) -> None:
        self.closed = True


def all_of(inner: Listed, wanted: StreamRequest) -> list[Packet | Frame]:
    camera = open_transcoded(WHAT, inner.open, wanted)
    found: list[Packet | Frame] = []
    try:
        while True:
            media = camera.read(1.0)
            if media is not None:
                found.append(media)
    except DriverError as error:
        assert error.kind == "ended"  # noqa: PT017 - it is how a camera's reading ends
    camera.close()
    assert inner.closed
    return found


def test_the_cameras_own_packets_are_not_requested() -> None:
    inner = Listed(frame(0, 0.0), frame(1, 0.1))
    found = all_of(inner, StreamRequest(packets=True, frames_fps=0, masks=(LEFT,)))
    assert inner.wanted == StreamRequest(packets=False, frames_fps=float("inf"), masks=(LEFT,))
    assert [type(one) for one in found] == [Packet, Packet]


def test_the_stream_is_h264_and_declares_if_it_is_masked() -> None:
    for masks in ((), (LEFT,)):
        wanted = StreamRequest(packets=True, frames_fps=0, masks=masks)
        info = open_transcoded(WHAT, Listed().open, wanted).info
        assert (info.codec, info.masked) == ("h264", bool(masks))
        assert info.extradata


def test_without_a_packet_request_nothing_is_encoded() -> None:
    inner = Listed()
    wanted = StreamRequest(packets=False, frames_fps=5, masks=(LEFT,))
    assert open_transcoded(WHAT, inner.open, wanted) is inner
    assert inner.wanted == wanted


def test_a_slow_camera_has_a_keyframe_every_two_seconds() -> None:
    inner = Listed(*(frame(number, number * 0.5) for number in range(40)))
    packets = all_of(inner, StreamRequest(packets=True, frames_fps=0))
    keys = [one.t_ns for one in packets if isinstance(one, Packet) and one.is_key]
    assert len(packets) == 40
    assert {after - before for before, after in pairwise(keys)} == {2 * NS_PER_S}


def test_pictures_with_equal_timestamps_get_increasing_times() -> None:
    inner = Listed(*(frame(number, 1.0 + number // 3) for number in range(12)))
    packets = [
        one
        for one in all_of(inner, StreamRequest(packets=True, frames_fps=0))
        if isinstance(one, Packet)
    ]
    assert packets[0].pts_ns == 0
    assert all(after.dts_ns > before.dts_ns for before, after in pairwise(packets))
    assert all(after.t_ns >= before.t_ns for before, after in pairwise(packets))


def test_frames_come_no_more_often_than_requested() -> None:
    inner = Listed(*(frame(number, number * 0.04) for number in range(50)))
    found = all_of(inner, StreamRequest(packets=True, frames_fps=5))
    assert sum(isinstance(one, Packet) for one in found) == 50
    assert sum(isinstance(one, Frame) for one in found) == 10


def test_a_picture_of_another_size_is_an_error_and_the_camera_is_reopened() -> None:
    camera = open_transcoded(
        WHAT,
        Listed(frame(0, 0.0), frame(1, 0.1, (32, 24))).open,
        StreamRequest(packets=True, frames_fps=0),
    )
    assert isinstance(camera.read(1.0), Packet)
    with pytest.raises(DriverError, match="32x24 now, not 64x48") as caught:
        camera.read(1.0)
    assert caught.value.kind == "protocol"


def test_a_size_that_no_encoder_supports_closes_the_camera() -> None:
    inner = Listed(frame(0, 0.0, (63, 47)))
    with pytest.raises(DriverError, match=r"no H\.264 encoder for 63x47") as caught:
        open_transcoded(WHAT, inner.open, StreamRequest(packets=True, frames_fps=0))
    assert caught.value.kind == "unsupported"
    assert inner.closed
