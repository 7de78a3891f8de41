"""agent.capture.capture_stage: packets and frames go to their queues; a failed camera is opened again."""

import threading

import numpy as np
import pytest

from agent.capture.capture_stage import CaptureStage, MediaQueues
from agent.capture.reader_fault import CLEAR_AFTER_S, ReaderFault
from agent.faults.registry import FaultRegistry
from agent.runtime.queues import LatestFrame, PacketQueue
from drivers.contracts import CameraReadings
from drivers.errors import DriverError
from drivers.media import Frame, Packet, StreamInfo
from tests.conftest import ManualClock

PLANE = np.zeros((2, 2), dtype=np.uint8)
INFO = StreamInfo(codec="h264", width_px=2, height_px=2, fps=25)
FRAME = Frame(seq=0, t_ns=7, y=PLANE, u=PLANE[:1, :1], v=PLANE[:1, :1])
PACKET = Packet(t_ns=5, pts_ns=0, dts_ns=0, is_key=True, data=b"x")


class Listed:
    """A camera that gives a list of things and then ends."""

    info = INFO

    def __init__(self, *media: Packet | Frame | None) -> None:
        self._media = list(media)
        self.closed = False

    def read(self, timeout_s: float) -> Packet | Frame | None:
        if not self._media:
            raise DriverError("ended", "no more")
        return self._media.pop(0)

    def close(self) -> None:
        self.closed = True


def test_packets_and_frames_are_queued_and_an_ended_camera_is_reopened(
    clock: ManualClock,
) -> None:
    cameras = [Listed(PACKET, None, FRAME), Listed(PACKET)]
    opened: list[StreamInfo] = []
    ended: list[bool] = []
    frames, packets = LatestFrame(), PacketQueue(100, lambda _begin, _end: None)
    capture = CaptureStage(
        "north",
        iter(cameras).__next__,
        clock.boottime_ns,
        MediaQueues(frames=frames, packets=packets),
        on_open=opened.append,
        on_end=lambda: ended.append(True),
    )
    stopping = threading.Event()
    for _ in range(3):
        capture.run_once(stopping)
    assert [p.t_ns for p in packets.drain()] == [5]
    assert frames.take(0) is FRAME
    with pytest.raises(DriverError, match="no more"):
        capture.run_once(stopping)
    assert cameras[0].closed
    assert ended == [True]
    assert capture.counts().last_error == "no more"
    capture.run_once(stopping)
    assert opened == [INFO, INFO]
    counts = capture.counts()
    assert (counts.packets, counts.frames, counts.reconnects, counts.last_media_ns) == (
        2,
        1,
        1,
        clock.now_ns,
    )
    assert counts.last_error is None
    capture.close()
    assert cameras[1].closed
    assert not capture.counts().is_open


class Held(Listed):
    """A camera whose device hangs at the first read."""

    def read(self, timeout_s: float) -> Packet | Frame | None:
        raise DriverError("stuck", "its process is still there")


def test_a_stuck_camera_is_reported_and_never_reopened(clock: ManualClock) -> None:
    cameras = [Held()]
    capture = CaptureStage(
        "north",
        iter(cameras).__next__,
        clock.boottime_ns,
        MediaQueues(),
        on_open=lambda _info: None,
    )
    assert not capture.counts().is_stuck
    for _ in range(3):
        with pytest.raises(DriverError, match="still there") as caught:
            capture.run_once(threading.Event())
        assert caught.value.kind == "stuck"
    assert cameras[0].closed
    counts = capture.counts()
    assert (counts.is_stuck, counts.is_open, counts.last_error) == (
        True,
        False,
        "its process is still there",
    )


def test_a_camera_stuck_at_opening_is_reported_too(
    clock: ManualClock,
) -> None:
    def refuse() -> Listed:
        raise DriverError("stuck", "its process is still there")

    capture = CaptureStage(
        "north", refuse, clock.boottime_ns, MediaQueues(), on_open=lambda _info: None
    )
    with pytest.raises(DriverError):
        capture.run_once(threading.Event())
    assert capture.counts().is_stuck


class Measured(Listed):
    """A camera that knows its light."""

    def readings(self) -> CameraReadings:
        return CameraReadings(lux=7.0)


@pytest.mark.parametrize(
    ("camera", "readings"),
    [(Listed(None), None), (Measured(None), CameraReadings(lux=7.0))],
)
def test_readings_are_those_of_the_open_camera(
    camera: Listed, readings: CameraReadings | None, clock: ManualClock
) -> None:
    capture = CaptureStage(
        "north",
        lambda: camera,
        clock.boottime_ns,
        MediaQueues(),
        on_open=lambda _info: None,
    )
    assert capture.counts().readings is None
    capture.run_once(threading.Event())
    assert capture.counts().readings == readings


def test_a_camera_whose_announcement_failed_is_closed_and_announced_again(
    clock: ManualClock,
) -> None:
    cameras = [Listed(PACKET), Listed(PACKET)]
    opened: list[Listed] = []
    packets = PacketQueue(100, lambda _begin, _end: None)

    def open_next() -> Listed:
        opened.append(cameras.pop(0))
        return opened[-1]

    def announce(_info: StreamInfo) -> None:
        if len(opened) == 1:
            raise OSError("no space left")

    stage = CaptureStage(
        "north", open_next, clock.boottime_ns, MediaQueues(packets=packets), on_open=announce
    )
    with pytest.raises(OSError, match="no space left"):
        stage.run_once(threading.Event())
    assert opened[0].closed
    assert not stage.counts().is_open
    stage.run_once(threading.Event())
    assert [camera.closed for camera in opened] == [True, False]
    assert stage.counts().packets == 1


class Breaking(Listed):
    """A camera that breaks the process that reads it."""

    def read(self, timeout_s: float) -> Packet | Frame | None:
        raise DriverError("crashed", "its process 7 was killed by SIGSEGV")


@pytest.mark.raises_fault("CAM-05")
def test_a_camera_that_breaks_its_reader_is_a_fault_until_it_is_read_for_a_minute(
    clock: ManualClock,
) -> None:
    faults = FaultRegistry(clock.boottime_ns)
    cameras = [Breaking(), Listed(PACKET, PACKET, PACKET)]
    capture = CaptureStage(
        "north",
        iter(cameras).__next__,
        clock.boottime_ns,
        MediaQueues(),
        on_open=lambda _info: None,
        reader_fault=ReaderFault("north", faults, clock.boottime_ns),
    )
    with pytest.raises(DriverError):
        capture.run_once(threading.Event())
    (fault,) = faults.active()
    assert (fault.code, fault.subject) == ("CAM-05", "north")
    assert fault.detail == "its process 7 was killed by SIGSEGV"
    assert cameras[0].closed
    capture.run_once(threading.Event())
    assert faults.active()
    clock.advance_s(CLEAR_AFTER_S)
    capture.run_once(threading.Event())
    assert not faults.active()


def test_another_error_is_not_that_fault(clock: ManualClock) -> None:
    faults = FaultRegistry(clock.boottime_ns)
    capture = CaptureStage(
        "north",
        Listed,
        clock.boottime_ns,
        MediaQueues(),
        on_open=lambda _info: None,
        reader_fault=ReaderFault("north", faults, clock.boottime_ns),
    )
    with pytest.raises(DriverError, match="no more"):
        capture.run_once(threading.Event())
    assert not faults.active()


class Adjustable(Listed):
    """A camera whose frame rate can be changed."""

    def __init__(self, *media: Packet | Frame | None) -> None:
        super().__init__(*media)
        self.rates: list[float | None] = []

    def set_min_fps(self, fps: float | None) -> None:
        self.rates.append(fps)


def test_a_frame_rate_is_raised_while_the_camera_runs_and_at_each_opening(
    clock: ManualClock,
) -> None:
    cameras = [Adjustable(PACKET, PACKET), Adjustable(PACKET), Listed(PACKET, PACKET)]
    capture = CaptureStage(
        "north",
        iter(cameras).__next__,
        clock.boottime_ns,
        MediaQueues(packets=PacketQueue(100, lambda _begin, _end: None)),
        on_open=lambda _info: None,
    )
    assert capture.set_min_fps(20.0) is None
    capture.run_once(threading.Event())
    assert capture.set_min_fps(25.0) is True
    capture.close()
    capture.run_once(threading.Event())
    assert capture.set_min_fps(None) is True
    capture.close()
    capture.run_once(threading.Event())
    assert capture.set_min_fps(25.0) is False
    first, second, _ = cameras
    assert isinstance(first, Adjustable)
    assert isinstance(second, Adjustable)
    assert (first.rates, second.rates) == ([20.0, 25.0], [25.0, None])


class Switchable(Listed):
    """A camera whose night mode can be chosen."""

    def __init__(self, *media: Packet | Frame | None) -> None:
        super().__init__(*media)
        self.modes: list[bool | None] = []

    def set_night(self, night: bool | None) -> None:
        self.modes.append(night)


def test_a_chosen_night_mode_ends_by_itself_and_with_the_opening(clock: ManualClock) -> None:
    cameras = [Switchable(*[PACKET] * 4), Switchable(PACKET, PACKET), Listed(PACKET)]
    capture = CaptureStage(
        "north",
        iter(cameras).__next__,
        clock.boottime_ns,
        MediaQueues(packets=PacketQueue(100, lambda _begin, _end: None)),
        on_open=lambda _info: None,
    )
    until_ns = clock.boottime_ns() + 30 * 10**9

    def turn() -> None:
        capture.run_once(threading.Event())

    assert capture.hold_night(True, until_ns) is False, "it is not open"
    turn()
    assert capture.hold_night(True, until_ns) is True
    clock.advance_s(29.9)
    turn()
    assert cameras[0].modes == [True]
    clock.advance_s(0.1)
    turn()
    turn()
    assert cameras[0].modes == [True, None]
    assert capture.hold_night(False, until_ns + 10**12) is True
    capture.close()
    turn()
    clock.advance_s(10_000)
    turn()
    assert cameras[1].modes == [], "another opening decides by itself"
    capture.close()
    turn()
    assert capture.hold_night(True, until_ns) is False, "a camera without a night mode"
