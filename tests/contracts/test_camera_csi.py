"""drivers.camera.csi beyond the contract: two sizes, faults, restarts, its child process.

The camera is libcamera's virtual one under the real Picamera2, see `tests/virtual_camera`.
"""

import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from drivers.av_stream import frame_planes
from drivers.camera import csi
from drivers.child import camera as child_camera
from drivers.child.camera import ChildCamera
from drivers.child.process import ChildProcess
from drivers.contracts import FrameRateControl, NightModeControl, ReadingsSource, StreamRequest
from drivers.csi.options import Options
from drivers.errors import DriverError, MaskError
from drivers.masking import MASK_LUMA, WHOLE_PICTURE
from drivers.media import NS_PER_S, Frame, Packet, Point, Polygon
from tests.child_processes import child_commands

from .conftest import READ_TIMEOUT_S, boottime_ns, open_driver, read_media

pytestmark = pytest.mark.usefixtures("virtual_camera_there")

TWO_SIZES: dict[str, Any] = {
    "camera": "Virtual0",
    "width_px": 640,
    "height_px": 360,
    "fps": 20.0,
    "detect_width_px": 320,
    "detect_height_px": 240,
    "gop_s": 0.5,
}


@pytest.fixture
def mischief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder whose files control the virtual camera."""
    monkeypatch.setenv("VIRTUAL_CAMERA", str(tmp_path))
    return tmp_path


@pytest.fixture
def camera(mischief: Path) -> Iterator[ChildCamera]:  # noqa: ARG001 - it has to be there first
    opened = open_driver("csi", TWO_SIZES)
    assert isinstance(opened, ChildCamera)
    yield opened
    opened.close()


@pytest.fixture
def impatient(mischief: Path) -> Iterator[ChildCamera]:  # noqa: ARG001 - as above
    """A camera of a pipeline that is meant to fall silent, with three frames read; from now on the driver waits for 3 s."""
    opened = open_driver("csi", TWO_SIZES)
    assert isinstance(opened, ChildCamera)
    read_media(opened, Frame, 3)
    limits_ns = dict.fromkeys(opened._policy.silence_limits_ns, 3 * NS_PER_S)
    opened._policy = msgspec.structs.replace(opened._policy, silence_limits_ns=limits_ns)
    yield opened
    opened.close()


def children() -> list[int]:
    """The camera processes among this process's children, zombies included."""
    commands = child_commands("self").items()
    return [pid for pid, command in commands if not command or "drivers.csi.child" in command]


def the_child() -> int:
    (pid,) = children()
    return pid


def failure_of(camera: ChildCamera) -> DriverError:
    def read_on() -> None:
        while True:
            camera.read(1.0)

    with pytest.raises(DriverError) as caught:
        read_on()
    return caught.value


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_recorded_packets_are_large_and_detection_frames_small(camera: ChildCamera) -> None:
    frames = read_media(camera, Frame, 2)
    assert frames[0].y.shape == (240, 320)
    info = camera.info
    assert (info.codec, info.width_px, info.height_px, info.fps) == ("h264", 640, 360, 20.0)
    decoder = av.CodecContext.create("h264", "r")
    packets = read_media(camera, Packet, 10)
    first = next(at for at, packet in enumerate(packets) if packet.is_key)
    pictures = [p for one in packets[first:] for p in decoder.decode(av.Packet(one.data))]  # type: ignore[attr-defined]
    assert {(p.width, p.height) for p in pictures} == {(640, 360)}


def test_times_are_the_sensors_on_the_boot_clock(camera: ChildCamera) -> None:
    began_ns = boottime_ns()
    media = read_media(camera, (Frame, Packet), 20)
    assert all(began_ns - 2e9 < one.t_ns <= boottime_ns() for one in media)
    # A picture's frame and its packet have one time; Picamera2 rounds the packet's to microseconds.
    frames = {one.t_ns // 1000 for one in media if isinstance(one, Frame)}
    packets = {one.t_ns // 1000 for one in media if isinstance(one, Packet)}
    assert len(frames & packets) >= 5


def keyframe_distances(packets: Sequence[Packet]) -> list[int]:
    keys = [at for at, packet in enumerate(packets) if packet.is_key]
    return [later - earlier for earlier, later in pairwise(keys)]


def test_a_keyframe_comes_every_gop(camera: ChildCamera) -> None:
    packets = read_media(camera, Packet, 35)
    assert packets[0].is_key
    distances = keyframe_distances(packets)
    # 0.5 s at 20 pictures a second; a slow machine leaves out pictures, and keyframes come earlier.
    assert len(distances) >= 3
    assert max(distances) <= 10


def test_a_keyframe_comes_in_time_at_a_reduced_frame_rate(
    mischief: Path,
) -> None:
    (mischief / "step_s").write_text("0.2")
    camera = open_driver("csi", TWO_SIZES, frames_fps=0)
    packets = read_media(camera, Packet, 11)
    camera.close()
    distances = keyframe_distances(packets)
    assert distances
    # 0.5 s is 10 pictures by the encoder's count and 3 by time; a busy machine has some of them closer to each other.
    assert max(distances) <= 6


def test_the_frame_rate_is_raised_while_the_camera_runs() -> None:
    camera = open_driver("csi", {**TWO_SIZES, "fps": 5}, frames_fps=0)
    assert isinstance(camera, FrameRateControl)
    read_media(camera, Packet, 3)
    camera.set_min_fps(15.0)

    def spacing_ms() -> float:
        times = [packet.t_ns for packet in read_media(camera, Packet, 2)]
        return (times[1] - times[0]) / 1e6

    # Twice a second after the next one, and a few pictures later.
    assert any(spacing_ms() < 120 for _ in range(40))
    camera.close()


def test_a_child_that_is_silent_is_killed_and_the_camera_can_be_opened_again(
    impatient: ChildCamera,
) -> None:
    silent = the_child()
    os.kill(silent, signal.SIGSTOP)
    error = failure_of(impatient)
    assert error.kind == "timeout"
    assert "gave no" in str(error)
    assert not Path(f"/proc/{silent}").exists()
    assert failure_of(impatient) is error
    again = open_driver("csi", TWO_SIZES)
    read_media(again, Frame, 3)
    again.close()


def test_a_pipeline_that_falls_silent_is_detected(impatient: ChildCamera, mischief: Path) -> None:
    (mischief / "silent").touch()
    assert failure_of(impatient).kind == "timeout"
    assert children() == []


def test_an_exception_in_a_frame_ends_the_child_with_its_message(
    camera: ChildCamera, mischief: Path
) -> None:
    read_media(camera, Frame, 3)
    (mischief / "broken").touch()
    error = failure_of(camera)
    assert error.kind == "protocol"
    assert "RuntimeError: the virtual camera was told to break" in str(error)
    assert children() == []


def test_a_child_that_is_killed_is_an_error_and_leaves_nothing(camera: ChildCamera) -> None:
    read_media(camera, Packet, 3)
    os.kill(the_child(), signal.SIGKILL)
    error = failure_of(camera)
    assert error.kind == "crashed"
    assert "was killed by SIGKILL" in str(error)
    assert children() == []


def test_ten_openings_leak_no_memory_and_no_process() -> None:
    def once() -> float:
        camera = open_driver("csi", TWO_SIZES)
        read_media(camera, Frame, 3)
        camera.close()
        return resident_mb()

    once()
    once()
    before_mb = once()
    for _ in range(10):
        after_mb = once()
    assert children() == []
    assert after_mb - before_mb < 4


class Unkillable:
    """A child that SIGKILL does not end, as one that hangs in the kernel's uninterruptible sleep.
    No test can put a process into that state; this one is real, and only the signal is withheld.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.real: ChildProcess = csi.START_PROCESS(descriptors)
        self.pid = self.real.pid
        self.killed = threading.Event()

    def kill(self) -> None:
        self.killed.set()

    def wait(self, timeout_s: float) -> bool:
        return self.real.wait(timeout_s)

    def describe_exit(self) -> str:
        return self.real.describe_exit()


def test_a_child_that_cannot_be_killed_is_stuck() -> None:
    started: list[Unkillable] = []

    def start(descriptors: Sequence[int]) -> ChildProcess:
        started.append(Unkillable(descriptors))
        return started[0]

    camera = csi.open_camera(
        "test",
        msgspec.convert(TWO_SIZES, Options),
        StreamRequest(packets=True, frames_fps=5),
        boottime_ns,
        start_process=start,
        kill_timeout_s=0.3,
    )
    try:
        read_media(camera, Frame, 2)
        os.kill(started[0].pid, signal.SIGSTOP)
        error = failure_of(camera)
        assert error.kind == "stuck"
        assert f"process {started[0].pid} is still there after SIGKILL" in str(error)
        assert started[0].killed.is_set()
        camera.close()
        assert failure_of_closed(camera) == "closed"
    finally:
        started[0].real.kill()
        assert started[0].real.wait(READ_TIMEOUT_S)


def failure_of_closed(camera: ChildCamera) -> str:
    with pytest.raises(DriverError) as caught:
        camera.read(0.0)
    return caught.value.kind


PARENT = """
import sys, time
from drivers.camera.csi import Options, open_camera
from drivers.contracts import StreamRequest
import msgspec
options = msgspec.json.decode(sys.argv[1], type=Options)
camera = open_camera(
    "test",
    options,
    StreamRequest(packets=True, frames_fps=5),
    lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
)
print(camera.child_pid, flush=True)
while True:
    camera.read(1.0)
"""


@pytest.mark.parametrize("frozen", [False, True])
def test_a_child_dies_with_its_parent(frozen: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, json.dumps(TWO_SIZES)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        child = os.pidfd_open(pid)
        try:
            if frozen:
                os.kill(pid, signal.SIGSTOP)
            parent.kill()
            ended, _, _ = select.select([child], [], [], READ_TIMEOUT_S)
            assert ended
        finally:
            os.close(child)


def test_readings_are_the_sensors_and_a_dark_street_is_night(
    camera: ChildCamera, mischief: Path
) -> None:
    assert isinstance(camera, ReadingsSource)
    (mischief / "metadata.json").write_text(
        json.dumps({"Lux": 2.0, "ExposureTime": 40_000, "AnalogueGain": 8.0})
    )
    camera.close()
    night = {"mode": "auto", "dwell_s": 1.0}
    with_night = open_driver("csi", {**TWO_SIZES, "night": night})
    assert isinstance(with_night, ChildCamera)
    try:
        _read_until(with_night, night=True)
        message = with_night.readings()
        assert message is not None
        assert (message.lux, message.exposure_us, message.analogue_gain) == (2.0, 40_000, 8.0)
        assert message.lens_dioptres is None
        (mischief / "metadata.json").write_text(json.dumps({"Lux": 500.0}))
        _read_until(with_night, night=False)
    finally:
        with_night.close()


def test_a_chosen_night_counts_until_the_camera_decides_by_itself_again(mischief: Path) -> None:
    (mischief / "lux").write_text("400")
    camera = open_driver("csi", {**TWO_SIZES, "night": {"mode": "auto", "dwell_s": 1.0}})
    assert isinstance(camera, ChildCamera)
    assert isinstance(camera, NightModeControl)
    try:
        for chosen in (True, False, True, None):
            camera.set_night(chosen)
            _read_until(camera, night=bool(chosen))
    finally:
        camera.close()


def test_a_camera_that_is_configured_for_day_alone_stays_as_it_is() -> None:
    camera = open_driver("csi", {**TWO_SIZES, "night": {"mode": "day"}})
    assert isinstance(camera, ChildCamera)
    assert isinstance(camera, NightModeControl)
    camera.set_night(True)
    with pytest.raises(AssertionError, match="never night"):
        _read_until(camera, night=True)
    camera.close()


def _read_until(camera: ChildCamera, *, night: bool) -> None:
    for _ in range(1000):
        camera.read(READ_TIMEOUT_S)
        message = camera.readings()
        if message is not None and message.night is night:
            return
    raise AssertionError(f"never night = {night}")


def test_a_missing_camera_control_is_logged_and_not_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "drivers"):
        camera = open_driver("csi", {**TWO_SIZES, "flicker_hz": 50, "focus": 0.0})
        read_media(camera, Frame, 2)
        camera.close()
    (record,) = caplog.records
    assert "has no control AeFlickerMode, AeFlickerPeriod, AfMode, LensPosition" in record.message


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"camera": 5}, "absent", "there are: 0 'Virtual0'"),
        ({"camera": "imx708"}, "absent", "no such camera"),
        ({"width_px": 1000}, "unsupported", "has no 1000x360 in NV12"),
        ({"encoder": "hardware"}, "unsupported", "encoder = 'hardware'"),
    ],
)
def test_a_failed_opening_leaves_no_process(options: dict[str, Any], kind: str, words: str) -> None:
    with pytest.raises(DriverError, match=words) as caught:
        open_driver("csi", {**TWO_SIZES, **options})
    assert caught.value.kind == kind
    assert children() == []


def test_without_picamera2_the_camera_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picamera2.py").write_text("raise ImportError('no libcamera here')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    with pytest.raises(DriverError, match="no libcamera here") as caught:
        open_driver("csi", TWO_SIZES)
    assert caught.value.kind == "absent"


def test_undrawable_masks_end_a_running_camera() -> None:
    now: list[tuple[Polygon, ...]] = [()]
    camera = open_driver("csi", TWO_SIZES, current_masks=lambda _t_ns: now[0])
    assert isinstance(camera, ChildCamera)
    read_media(camera, Frame, 3)
    now[0] = ((Point(0, 0), Point(1, 1)),)
    error = failure_of(camera)
    assert isinstance(error, MaskError)
    assert "has 2 corners" in str(error)


def test_while_masks_are_unknown_the_whole_picture_is_hidden() -> None:
    may_answer = threading.Event()
    may_answer.set()

    def masks_now(_t_ns: int) -> tuple[Polygon, ...]:
        may_answer.wait()
        return ()

    camera = open_driver("csi", TWO_SIZES, current_masks=masks_now)
    try:
        assert not (read_media(camera, Frame, 3)[-1].y == MASK_LUMA).all()
        may_answer.clear()
        threading.Timer(2.5, may_answer.set).start()
        hidden = [(frame.y == MASK_LUMA).all() for frame in read_media(camera, Frame, 30)]
        assert any(hidden)
        assert not hidden[-1]
    finally:
        camera.close()


def test_masks_reach_the_large_picture_too() -> None:
    camera = open_driver("csi", TWO_SIZES, masks=WHOLE_PICTURE, frames_fps=0)
    packets = read_media(camera, Packet, 5)
    camera.close()
    decoder = av.CodecContext.create("h264", "r")
    pictures = [p for one in packets for p in decoder.decode(av.Packet(one.data))]  # type: ignore[attr-defined]
    for picture in pictures:
        luma = frame_planes(picture)[0].astype(int)
        assert np.abs(luma - MASK_LUMA).max() <= 3


def test_a_first_mask_reaches_a_running_camera_that_does_not_ask_for_each_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_camera, "MASKS_TIMEOUT_NS", 60 * NS_PER_S)
    now: list[tuple[Polygon, ...]] = [()]
    camera = open_driver("csi", TWO_SIZES, current_masks=lambda _t_ns: now[0], masks_may_lag=True)
    assert isinstance(camera, ChildCamera)
    try:
        assert camera.info.masked
        pid = camera.child_pid
        assert not (read_media(camera, Frame, 3)[-1].y == MASK_LUMA).all()
        now[0] = WHOLE_PICTURE
        hidden = [(frame.y == MASK_LUMA).all() for frame in read_media(camera, Frame, 40)]
        first = hidden.index(True)
        assert all(hidden[first:])
        assert camera.child_pid == pid
    finally:
        camera.close()


def test_a_child_that_takes_no_masks_is_ended() -> None:
    now: list[tuple[Polygon, ...]] = [()]
    camera = open_driver(
        "csi",
        TWO_SIZES,
        current_masks=lambda _t_ns: now[0],
        masks_may_lag=True,
    )
    assert isinstance(camera, ChildCamera)
    read_media(camera, Frame, 3)
    pid = camera.child_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    now[0] = WHOLE_PICTURE
    error = failure_of(camera)
    assert (error.kind, "takes no masks" in str(error)) == ("timeout", True)
