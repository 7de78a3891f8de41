"""agent.capture.live_stage: frames are requested while somebody looks, shared, and every look ends in time."""

import threading
from typing import Any

import numpy as np
import pytest

from agent.capture.live_command import LiveCommandHandler, LivePictures, StopLive
from agent.capture.live_keyframes import LiveKeyframes
from agent.capture.live_looks import LiveResult
from agent.capture.live_stage import LiveLink, LiveStage
from agent.capture.live_video import LiveVideo
from agent.capture.snapshot_command import FRAME_TIMEOUT_S, CameraAccess
from agent.commands.command import Deferred, Permission
from agent.commands.requester import CommandRejected, Requester, requester_of_certificate
from agent.config.link import LinkConfig
from agent.detection.image import encode_live_picture
from agent.reporting.mqtt.unstored import UnstoredMessages
from agent.runtime.link_budget import LinkBudget
from drivers.media import Frame
from tests.conftest import ManualClock
from tests.pure.live_rig import AMINA, OMAR, SESSION, LookRig, live_command

PLANE = np.zeros((2, 2), np.uint8)


class LiveRig(LookRig):
    """A stage, a command handler and two cameras, without threads."""

    def __init__(self, clock: ManualClock, budget: LinkBudget | None = None) -> None:
        super().__init__(clock)
        self.session: int | None = SESSION
        self.is_degraded = False
        self.limits: list[int] = []
        self.jpeg_bytes = 2000
        self.cameras = {
            "north": CameraAccess(is_suspended=lambda: self.is_degraded),
            "tram": CameraAccess(viewers=("omar",)),
            "yard": CameraAccess(has_frames=False),
        }
        self.messages = UnstoredMessages(lambda: clock.now_ns / 1e9, lambda: None)
        budget = budget or LinkBudget()
        self.video = LiveVideo(self.looks, self.cameras, budget, clock)
        self.keyframes = LiveKeyframes(self.looks, self.cameras, clock.boottime_ns)
        self.stage = LiveStage(
            self.looks,
            self.cameras,
            self._encode,
            LiveLink(self.messages, lambda: self.session, budget),
            clock,
            self.video,
            self.keyframes,
        )
        self.handler = LiveCommandHandler(
            self.cameras,
            self.looks,
            self.video,
            self.keyframes,
            LinkConfig(upload_hosts=("127.0.0.1",)),
            self.stage.wake,
            lambda: self.session,
            clock.boottime_ns,
        )

    def look(self, by: Requester = AMINA, camera: str = "north", **args: Any) -> Any:
        return self.handler.run(live_command(LivePictures(camera=camera, **args), by), self)  # type: ignore[arg-type]

    def stop(self, by: Requester = AMINA) -> LiveResult:
        result = self.handler.run(live_command(StopLive(camera="north"), by), self)  # type: ignore[arg-type]
        assert isinstance(result, LiveResult)
        return result

    def turn(self, *, with_frame: bool = True) -> bytes | None:
        """Let the stage turn twice around a frame of the camera; return the picture that it sends."""
        self.stage.wake()
        self.stage.run_once(threading.Event())
        if with_frame:
            frame = Frame(seq=1, t_ns=self.clock.now_ns, y=PLANE, u=PLANE[:1, :1], v=PLANE[:1, :1])
            self.cameras["north"].next_frame.offer(frame)
        self.stage.wake()
        self.stage.run_once(threading.Event())
        outgoing = self.messages.pop_picture()
        return None if outgoing is None else outgoing.data

    def count_requests(self) -> int:
        return self.cameras["north"].next_frame.count_waiting(self.clock.now_ns)

    def _encode(self, frame: Frame, max_bytes: int) -> bytes:
        assert frame.y is PLANE
        self.limits.append(max_bytes)
        return bytes(self.jpeg_bytes)


@pytest.fixture
def rig(clock: ManualClock) -> LiveRig:
    return LiveRig(clock)


def test_nothing_is_requested_of_a_camera_while_no_requester_looks(rig: LiveRig) -> None:
    assert rig.turn() is None
    assert rig.count_requests() == 0


def test_a_look_sends_pictures_at_its_rate_until_its_time_is_over(
    rig: LiveRig, clock: ManualClock
) -> None:
    deferred = rig.look(for_s=5.0, per_s=2.0)
    assert isinstance(deferred, Deferred)
    assert deferred.timeout_s > 5.0
    pictures = 0
    for _ in range(60):
        pictures += rig.turn() is not None
        clock.advance_s(0.1)
    assert pictures == 10
    assert rig.reasons() == ["expired"]
    (ended,) = rig.answers[0].ended
    assert (ended.sent, ended.size_bytes) == (10, 20_000)
    assert rig.count_requests() == 0


def test_requesters_of_one_camera_share_its_pictures(rig: LiveRig, clock: ManualClock) -> None:
    rig.look(AMINA, per_s=0.5)
    rig.look(OMAR, per_s=2.0)
    pictures = 0
    for _ in range(40):
        pictures += rig.turn() is not None
        clock.advance_s(0.1)
    assert pictures == 8
    assert [look.sent for look in rig.looks.running()] == [8, 8]


def test_a_repeat_extends_the_look(rig: LiveRig, clock: ManualClock) -> None:
    rig.look(for_s=5.0)
    clock.advance_s(4.0)
    rig.look(for_s=5.0)
    clock.advance_s(4.0)
    assert rig.turn() is not None
    clock.advance_s(1.0)
    assert rig.turn() is None
    assert rig.reasons() == ["extended", "expired"]


def test_the_requester_ends_their_own_look_and_no_other(rig: LiveRig) -> None:
    rig.look(AMINA)
    rig.look(OMAR)
    (ended,) = rig.stop(AMINA).ended
    assert ended.reason == "stopped"
    assert [look.requester.id for look in rig.looks.running()] == ["omar"]
    assert rig.turn() is not None
    rig.stop(OMAR)
    assert rig.turn() is None
    assert rig.stop(OMAR).ended == ()


def test_a_waiting_picture_is_not_sent_after_the_end_of_its_look(
    rig: LiveRig, clock: ManualClock
) -> None:
    rig.look()
    rig.stage.run_once(threading.Event())
    frame = Frame(seq=1, t_ns=clock.now_ns, y=PLANE, u=PLANE, v=PLANE)
    rig.cameras["north"].next_frame.offer(frame)
    rig.stage.run_once(threading.Event())
    assert rig.messages.is_waiting("live/north")
    rig.stop()
    rig.stage.wake()
    rig.stage.run_once(threading.Event())
    assert not rig.messages.is_waiting("live/north")


@pytest.mark.parametrize("session", [None, SESSION + 1])
def test_a_lost_connection_ends_the_look(rig: LiveRig, session: int | None) -> None:
    rig.look()
    rig.session = session
    assert rig.turn() is None
    assert rig.reasons() == ["disconnected"]


def test_degradation_ends_the_look(rig: LiveRig) -> None:
    rig.look()
    rig.is_degraded = True
    assert rig.turn() is None
    assert rig.reasons() == ["degraded"]


def test_the_end_of_the_agent_ends_the_look(rig: LiveRig) -> None:
    rig.look()
    rig.stage.close()
    assert rig.reasons() == ["stopped"]


def test_a_link_that_is_slower_than_the_look_gets_fewer_and_smaller_pictures(
    rig: LiveRig, clock: ManualClock
) -> None:
    rig.look(per_s=1.0, max_bytes=30_000)
    assert rig.turn() is not None
    clock.advance_s(2.0)
    rig.messages.pop_picture()  # the picture of 2000 bytes was acknowledged after 2 s
    assert rig.turn() is not None
    assert rig.limits == [8000, 4000]


def test_a_picture_that_waits_is_not_encoded_again(rig: LiveRig, clock: ManualClock) -> None:
    rig.look(per_s=2.0)
    for _ in range(20):
        rig.stage.wake()
        rig.stage.run_once(threading.Event())
        rig.cameras["north"].next_frame.offer(
            Frame(seq=1, t_ns=clock.now_ns, y=PLANE, u=PLANE, v=PLANE)
        )
        clock.advance_s(0.1)
    assert len(rig.limits) == 1
    assert rig.stage.health().pictures_skipped >= 2


def test_a_camera_without_frames_is_asked_again_after_a_while(
    rig: LiveRig, clock: ManualClock
) -> None:
    rig.look(per_s=2.0)
    for _ in range(30):
        rig.turn(with_frame=False)
        clock.advance_s(0.1)
    assert rig.count_requests() == 1
    clock.advance_s(FRAME_TIMEOUT_S)
    assert rig.turn() is not None


def test_the_rate_of_the_link_skips_pictures_and_its_bytes_of_a_day_end_the_look(
    clock: ManualClock,
) -> None:
    rig = LiveRig(clock, LinkBudget(rate_kbit_s=16, bytes_per_day=11_000))
    rig.look(per_s=2.0)
    pictures = 0
    for _ in range(70):
        pictures += rig.turn() is not None
        clock.advance_s(0.1)
    assert pictures == 5
    assert rig.stage.health().pictures_skipped > 0
    assert rig.reasons() == ["link"]


@pytest.mark.parametrize(
    ("by", "reasons"),
    [
        (OMAR, []),
        (AMINA, ["link"]),
        (requester_of_certificate("omar", "incident"), []),
        (requester_of_certificate("zineb", "viewer"), ["link"]),
    ],
)
def test_an_incident_alone_is_not_limited_by_the_bytes_of_a_day(
    clock: ManualClock, by: Requester, reasons: list[str]
) -> None:
    rig = LiveRig(clock, LinkBudget(bytes_per_day=1_000))
    rig.look(by)
    assert (rig.turn() is None) == bool(reasons)
    assert rig.reasons() == reasons


@pytest.mark.parametrize(
    ("camera", "code", "message"),
    [
        ("south", "unknown", "none of that name; there are: north, tram, yard"),
        ("tram", "forbidden", "not among its viewers"),
        ("yard", "unsupported", "has no pictures"),
    ],
)
def test_a_look_at_another_camera_is_refused(
    rig: LiveRig, camera: str, code: str, message: str
) -> None:
    with pytest.raises(CommandRejected, match=message) as refused:
        rig.look(camera=camera)
    assert refused.value.code == code
    assert rig.begun == []


def test_a_viewer_of_a_lent_camera_may_look(rig: LiveRig) -> None:
    assert isinstance(rig.look(OMAR, camera="tram"), Deferred)


def test_a_look_at_a_box_that_is_not_connected_is_refused(rig: LiveRig) -> None:
    rig.session = None
    with pytest.raises(CommandRejected, match="no command could end the look"):
        rig.look()


def test_a_look_needs_the_permission_to_see_its_camera(rig: LiveRig) -> None:
    for args in (LivePictures(camera="north"), StopLive(camera="north")):
        assert rig.handler.permission(args) == Permission(action="see", cameras=("north",))
    assert rig.handler.command.describe(StopLive(camera="north")) == "stop north"


@pytest.mark.parametrize("max_bytes", [4_000, 8_000, 30_000, 60_000])
def test_a_live_picture_fits_its_limit(max_bytes: int) -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 255, (45, 80), np.uint8)
    y = np.kron(coarse, np.ones((16, 16), np.uint8))
    chroma = np.full((360, 640), 128, np.uint8)
    jpeg = encode_live_picture(Frame(seq=1, t_ns=1, y=y, u=chroma, v=chroma), max_bytes)
    assert jpeg.startswith(b"\xff\xd8")
    assert len(jpeg) <= max_bytes
