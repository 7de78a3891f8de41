"""agent.pipeline.camera_pipeline: a suspended camera is closed, not missed, and soon opened again."""

import random
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from agent.capture.capture_stage import CaptureCounts, CaptureStage, MediaQueues
from agent.capture.snapshot_command import CameraAccess
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import TourConfig, TourStopConfig
from agent.faults.registry import FaultRegistry
from agent.health.camera_condition import LOST_AFTER_S, CameraMonitor
from agent.health.camera_watchdog import CameraWatchdog, WatchedCamera
from agent.ptz.automation.guard_tours import GuardTours
from agent.ptz.requests import GotoPreset, HeadState
from agent.reporting.mqtt.send_window import SendWindow
from agent.runtime.queues import LatestFrame, PacketQueue
from drivers.contracts import Pose, PtzPosition, StreamRequest
from drivers.media import Frame, Packet, StreamInfo
from tests.conftest import ManualClock

PLANE = np.zeros((2, 2), dtype=np.uint8)
INFO = StreamInfo(codec="h264", width_px=2, height_px=2, fps=25)
FRAME = Frame(seq=0, t_ns=7, y=PLANE, u=PLANE[:1, :1], v=PLANE[:1, :1])
PACKET = Packet(t_ns=5, pts_ns=0, dts_ns=0, is_key=True, data=b"x")
BOTH = StreamRequest(packets=True, frames_fps=10.0)
PACKETS = StreamRequest(packets=True, frames_fps=0.0)


class Camera:
    """Gives what it was opened for, for ever."""

    info = INFO

    def __init__(self, wanted: StreamRequest) -> None:
        self._media: Sequence[Packet | Frame] = (PACKET, FRAME) if wanted.frames_fps else (PACKET,)
        self._reads = 0
        self.closed = False

    def read(self, timeout_s: float) -> Packet | Frame:
        self._reads += 1
        return self._media[self._reads % len(self._media)]

    def close(self) -> None:
        self.closed = True


class Open:
    """A capture of such cameras, and what is wanted of it."""

    def __init__(self, clock: ManualClock) -> None:
        self.wanted: StreamRequest | None = BOTH
        self.cameras: list[Camera] = []
        self.packets = PacketQueue(10_000, lambda _begin, _end: None)
        self.stopping = threading.Event()
        self.capture = CaptureStage(
            "north",
            self._open,
            clock.boottime_ns,
            MediaQueues(frames=LatestFrame(), packets=self.packets),
            on_open=lambda _info: None,
            wanted=lambda: self.wanted,
        )

    def turn(self, times: int = 1) -> CaptureCounts:
        for _ in range(times):
            self.capture.run_once(self.stopping)
        return self.capture.counts()

    def _open(self) -> Camera:
        assert self.wanted is not None
        self.cameras.append(Camera(self.wanted))
        return self.cameras[-1]


def test_at_a_lower_level_the_camera_is_opened_with_less(clock: ManualClock) -> None:
    it = Open(clock)
    assert it.turn(4).frames == 2
    it.wanted = PACKETS
    counts = it.turn(4)
    assert (counts.frames, counts.packets, counts.is_open, counts.reconnects) == (2, 6, True, 1)
    assert [camera.closed for camera in it.cameras] == [True, False]
    it.turn(4)
    assert len(it.cameras) == 2


def test_a_suspended_camera_is_closed_until_it_is_needed(clock: ManualClock) -> None:
    it = Open(clock)
    it.turn()
    it.wanted = None
    it.stopping.set()  # So that no test waits for the second of a suspended turn.
    counts = it.turn(3)
    assert (counts.is_open, counts.is_suspended, counts.last_media_ns) == (
        False,
        True,
        clock.now_ns,
    )
    assert it.cameras[0].closed
    clock.advance_s(3600)
    it.wanted = BOTH
    counts = it.turn()
    assert (counts.is_open, counts.is_suspended, counts.last_media_ns) == (
        True,
        False,
        clock.now_ns,
    )


class Rested:
    """A camera that is silent, and may be."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.rests = True
        self.last_ns = clock.now_ns
        self.looked = 0
        self.faults = FaultRegistry(clock.boottime_ns)
        watched = WatchedCamera(
            name="north",
            monitor=CameraMonitor(clock.now_ns),
            counts=self._counts,
            on_check=lambda _t_ns, _last_ns: self._look(),
            is_shed=lambda: self.rests,
        )
        self.rounds = CameraWatchdog([watched], self.faults, clock)

    def _look(self) -> None:
        self.looked += 1

    def _counts(self) -> CaptureCounts:
        return CaptureCounts(
            is_open=not self.rests,
            could_open=not self.rests,
            packets=0,
            frames=0,
            reconnects=0,
            last_media_ns=self.last_ns,
            last_error=None,
        )


@pytest.mark.raises_fault("CAM-02")
def test_a_suspended_camera_is_not_lost(clock: ManualClock) -> None:
    it = Rested(clock)
    clock.advance_s(10 * LOST_AFTER_S)
    it.rounds.check()
    assert it.faults.active() == ()
    assert it.looked == 0
    it.rests = False
    it.rounds.check()
    assert it.faults.active() == ()
    clock.advance_s(LOST_AFTER_S)
    it.rounds.check()
    assert [fault.code for fault in it.faults.active()] == ["CAM-02"]
    it.rests = True
    it.rounds.check()
    assert it.faults.active() == ()


def test_no_tour_turns_the_head_of_a_suspended_box() -> None:
    rests = True
    config = TourConfig(name="round", stop=(TourStopConfig(preset="gate", dwell_s=10),))
    tours = GuardTours([config], "UTC", lambda _: None, random.Random(1), print, lambda: rests)
    tours.start("round")
    position = PtzPosition(pose=Pose(pan_deg=0, tilt_deg=0), error_deg=0, moving=False, t_ns=0)
    state = HeadState(
        head="mast",
        position=position,
        moving=False,
        settled=True,
        preset="home",
        lease=None,
        tour="round",
        error=None,
    )
    assert tours.step(0, state) is None
    rests = False
    assert tours.step(1, state) == GotoPreset(preset="gate", speed=config.stop[0].speed)


def test_a_snapshot_of_a_camera_without_frames_is_rejected() -> None:
    rests = True
    shown = CameraAccess(is_suspended=lambda: rests)
    amina = Requester(id="amina", role="operator")
    with pytest.raises(CommandRejected, match="SYS-07") as refused:
        shown.check("north", amina)
    assert refused.value.code == "failed"
    rests = False
    shown.check("north", amina)


def test_the_round_trip_is_measured_on_a_message_sent_alone() -> None:
    window = SendWindow(20)
    assert window.round_trip_s is None
    window.note_sent(1, 1, 100, 10.0)
    window.note_sent(2, 2, 100, 10.5)
    window.note_puback(1, 0, 10.04)
    assert window.round_trip_s == pytest.approx(0.04)
    window.note_puback(2, 0, 15.0)
    assert window.round_trip_s == pytest.approx(0.04)
    window.note_sent(3, 3, 100, 20.0)
    window.note_puback(3, 0, 20.3)
    assert window.round_trip_s == pytest.approx(0.3)
