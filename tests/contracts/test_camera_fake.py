"""simulation.camera.fake beyond the contract: its own time, packets that decode, faults."""

from itertools import pairwise
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from drivers.contracts import FrameRateControl, NightModeControl, ReadingsSource
from drivers.errors import DriverError
from drivers.media import Frame, Packet
from simulation.camera.fake import FakeCamera, Options
from tests.conftest import ManualClock

from .conftest import open_driver, read_media

SMALL = {"width_px": 320, "height_px": 180, "fps": 10.0, "pace": "fast", "noise": 0.0}


def test_at_fast_pace_time_is_the_streets_and_equal_options_give_equal_frames() -> None:
    first, second = (open_driver("fake", {**SMALL, "noise": 3.0, "rain": 0.3}) for _ in range(2))
    for number in range(8):
        for kind in (Packet, Frame):
            one, other = first.read(1.0), second.read(1.0)
            assert isinstance(one, kind)
            assert isinstance(other, kind)
            assert one.t_ns == other.t_ns == number * 100_000_000
            if isinstance(one, Packet) and isinstance(other, Packet):
                assert one.data == other.data
            if isinstance(one, Frame) and isinstance(other, Frame):
                assert one.y.tobytes() == other.y.tobytes()


def test_packets_decode_to_the_frames() -> None:
    camera = open_driver("fake", SMALL)
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = camera.info.extradata
    for _ in range(5):
        (packet,) = read_media(camera, Packet, 1)
        (frame,) = read_media(camera, Frame, 1)
        (picture,) = decoder.decode(av.Packet(packet.data))  # type: ignore[attr-defined]
        luma = picture.to_ndarray(format="gray").astype(int)
        assert np.abs(luma - frame.y).mean() < 6


def test_the_truth_belongs_to_the_picture_at_that_time() -> None:
    camera = open_driver("fake", {**SMALL, "freeze_after_s": 3.0})
    assert isinstance(camera, FakeCamera)
    assert camera.truth_boxes(2.0) != camera.truth_boxes(3.0)
    assert camera.truth_boxes(9.0) == camera.truth_boxes(3.0)


def test_at_real_pace_no_frame_comes_before_its_time(clock: ManualClock) -> None:
    camera = open_driver(
        "fake", {**SMALL, "pace": "real"}, packets=False, clock_ns=clock.boottime_ns
    )
    began_ns = clock.now_ns
    assert camera.read(0.0) is not None
    assert camera.read(0.0) is None
    clock.advance_s(0.1)
    frame = camera.read(0.0)
    assert isinstance(frame, Frame)
    assert frame.t_ns == began_ns + 100_000_000


def test_the_stream_ends_when_configured() -> None:
    camera = open_driver("fake", {**SMALL, "duration_s": 0.5}, packets=False)
    assert len(read_media(camera, Frame, 5)) == 5
    for _ in range(2):
        with pytest.raises(DriverError, match=r"ended after 0\.5 s") as caught:
            camera.read(0.0)
        assert caught.value.kind == "ended"


def test_the_stream_freezes_when_configured() -> None:
    options = {**SMALL, "noise": 3.0, "rain": 0.5, "freeze_after_s": 1.0}
    camera = open_driver("fake", options, packets=False)
    frames = read_media(camera, Frame, 15)
    assert len({frame.y.tobytes() for frame in frames}) == 11
    assert frames[-1].t_ns == 1_400_000_000


@pytest.mark.parametrize("pace", ["fast", "real"])
def test_the_stream_falls_silent_when_configured(pace: str, clock: ManualClock) -> None:
    options = {**SMALL, "pace": pace, "silent_after_s": 0.3}
    camera = open_driver("fake", options, packets=False, clock_ns=clock.boottime_ns)
    clock.advance_s(60.0)
    assert len(read_media(camera, Frame, 3)) == 3
    assert camera.read(0.01) is None
    assert camera.read(0.01) is None


@pytest.mark.parametrize(
    "options",
    [{"width_px": 321}, {"fps": 0}, {"rain": 2}, {"noise": -1}, {"pace": "slow"}, {"snow": 1}],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Options)


def test_its_rate_is_raised_while_it_runs_and_restored() -> None:
    camera = open_driver("fake", SMALL)
    assert isinstance(camera, FrameRateControl)

    def spacing_ms(count: int) -> list[int]:
        times = [packet.t_ns for packet in read_media(camera, Packet, count)]
        return [(later - earlier) // 1_000_000 for earlier, later in pairwise(times)]

    assert spacing_ms(3) == [100, 100]
    camera.set_min_fps(20.0)
    assert spacing_ms(4) == [50, 50, 50]
    camera.set_min_fps(5.0)
    assert spacing_ms(3) == [100, 100], "never below the configured rate"
    camera.set_min_fps(None)
    assert spacing_ms(3) == [100, 100]


def test_its_pictures_are_grey_by_night_and_coloured_by_itself() -> None:
    camera = open_driver("fake", SMALL, packets=False)
    assert isinstance(camera, NightModeControl)
    assert isinstance(camera, ReadingsSource)
    for chosen in (None, True, False, True, None):
        camera.set_night(chosen)
        (frame,) = read_media(camera, Frame, 1)
        readings = camera.readings()
        assert readings is not None
        assert readings.night is bool(chosen)
        assert bool(frame.u.std() + frame.v.std() == 0) is bool(chosen)
