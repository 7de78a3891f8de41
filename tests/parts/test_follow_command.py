"""The commands that start and end auto tracking: rights, leases, and the reasons of an end."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.base.model import BoundingBox, FrameResult, Track
from agent.capture.snapshot_command import CameraAccess
from agent.commands.command import Deferred, ValidCommand
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import FieldOfView, TrackingConfig
from agent.ptz import ptz_args as words
from agent.ptz.automation.auto_tracking import AutoTracker
from agent.ptz.automation.panorama_scan import PanoramaScan
from agent.ptz.ptz_command import HeadAssembly, PtzCommandHandler
from simulation.ptz.fake import Options
from tests.parts.head_rig import (
    ANNA,
    BRAHIM,
    INCIDENT,
    PLAIN_CONFIG,
    HeadRig,
    RecordingProgressSink,
)

FOV = FieldOfView(wide=60.0, tele=6.0)
FOLLOW = words.PtzFollowArgs(head="mast", track=7)


class NoPictures:
    """No round comes to its end here."""

    def record_snapshot_view(self, camera: str, by: str, t_ns: int) -> None:
        raise AssertionError

    def publish_snapshot(self, camera: str, jpeg: bytes, t_ns: int) -> None:
        raise AssertionError


class Corner:
    """A head with auto tracking and panorama sweeps, and a person to the right of its view."""

    def __init__(self, folder: Path) -> None:
        config = msgspec.structs.replace(PLAIN_CONFIG, fov_deg=FOV)
        self.rig = HeadRig(folder, config, head_options=Options(pan_deg=None)).start()
        head = self.rig.head
        self.tracker = AutoTracker(TrackingConfig(enabled=True), FOV, lambda: head.capabilities)
        head.movers.add(self.tracker)
        clock_ns = self.rig.clock.boottime_ns
        self.sweep = PanoramaScan(
            head, "street", CameraAccess(), FOV, NoPictures(), clock_ns, is_masked=lambda: False
        )
        mounted = HeadAssembly(
            head=head, camera="street", panorama_scan=self.sweep, tracker=self.tracker
        )
        self.verb = PtzCommandHandler({"mast": mounted}, clock_ns)
        self.course = RecordingProgressSink()
        self.number = 0
        self.see()

    def see(self) -> None:
        t_ns = self.rig.clock.now_ns
        track = Track(
            id=7, label="person", score=0.9, box=BoundingBox(0.9, 0.4, 0.05, 0.2), vx=0, vy=0, begin_ns=0,
            seen_ns=t_ns,
        )  # fmt: skip
        self.tracker.on_frame_result(
            FrameResult(seq=0, t_ns=t_ns, width_px=1, height_px=1, gate_luma=np.zeros((1, 1), np.uint8), moving_ratio=0.1, tracks=(track,),
                  inference_count=1)
        )  # fmt: skip

    def ask(self, args: Any, requester: Requester = ANNA) -> words.PtzResult:
        reply = self.begin(args, requester)
        assert isinstance(reply, words.PtzResult)
        return reply

    def begin(self, args: Any, requester: Requester = ANNA) -> words.PtzResult | Deferred:
        self.number += 1
        order = ValidCommand(arrival_number=self.number, verb="ptz", id=str(self.number), requester=requester,
                      expires=self.rig.clock.utc(0), args=args, digest=b"")  # fmt: skip
        return self.verb.run(order, self.course)

    def pass_s(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.see()
            self.rig.advance_s(0.1)


@pytest.fixture
def corner(tmp_path: Path) -> Corner:
    return Corner(tmp_path)


def test_an_operator_starts_auto_tracking(corner: Corner) -> None:
    token = corner.ask(words.PtzAcquireArgs(head="mast")).lease
    assert token is not None
    assert corner.ask(msgspec.structs.replace(FOLLOW, token=token.token)).lease is None
    corner.pass_s(1)
    assert corner.rig.pose.pan_deg > 2
    lease = corner.rig.head.state().lease
    assert lease is not None
    assert lease.holder.role == "tracking"


def test_a_track_outside_the_picture_cannot_be_followed(corner: Corner) -> None:
    with pytest.raises(CommandRejected, match="no track 8 is in the picture now") as caught:
        corner.ask(msgspec.structs.replace(FOLLOW, track=8))
    assert caught.value.code == "unknown"
    assert corner.tracker.followed_track is None


def test_a_requester_weaker_than_the_holder_cannot_start_tracking(corner: Corner) -> None:
    corner.ask(words.PtzAcquireArgs(head="mast"))
    with pytest.raises(CommandRejected) as caught:
        corner.ask(FOLLOW, INCIDENT)
    assert caught.value.code == "busy"
    assert corner.tracker.followed_track is None


@pytest.mark.parametrize(
    "args",
    [
        words.PtzStopFollowArgs(head="mast"),
        words.PtzStopArgs(head="mast"),
        words.PtzMoveArgs(head="mast", pan=-0.1, for_s=0.1),
        words.PtzGotoArgs(head="mast", pan_deg=-20, tilt_deg=0),
    ],
)
def test_tracking_ends_with_a_reason(corner: Corner, args: Any) -> None:
    corner.ask(FOLLOW)
    corner.pass_s(1)
    assert corner.tracker.followed_track == 7
    corner.ask(args)
    corner.pass_s(40)
    assert corner.tracker.followed_track is None
    assert corner.rig.speed == 0


def test_a_head_without_tracking_names_the_missing_option(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path).start()
    verb = PtzCommandHandler({"mast": HeadAssembly(head=rig.head)}, rig.clock.boottime_ns)
    order = ValidCommand(arrival_number=1, verb="ptz", id="1", requester=ANNA, expires=rig.clock.utc(0), args=FOLLOW,
                  digest=b"")  # fmt: skip
    with pytest.raises(CommandRejected, match=r"head\.tracking\.enabled") as caught:
        verb.run(order, RecordingProgressSink())
    assert caught.value.code == "unsupported"


def test_tracking_ends_when_another_requester_takes_the_head_and_does_not_resume(
    corner: Corner,
) -> None:
    corner.ask(FOLLOW)
    corner.pass_s(1)
    lease = corner.ask(words.PtzAcquireArgs(head="mast"), BRAHIM).lease
    assert lease is not None
    corner.pass_s(1)
    corner.ask(words.PtzReleaseArgs(head="mast", token=lease.token), BRAHIM)
    pan_deg = corner.rig.pose.pan_deg
    corner.pass_s(3)
    assert corner.tracker.followed_track is None
    assert corner.rig.pose.pan_deg == pan_deg


def test_the_tracking_requester_may_take_the_head_and_return_it(corner: Corner) -> None:
    corner.ask(FOLLOW)
    corner.pass_s(1)
    lease = corner.ask(words.PtzAcquireArgs(head="mast")).lease
    assert lease is not None
    corner.pass_s(1)
    assert corner.rig.speed == 0
    corner.ask(words.PtzReleaseArgs(head="mast", token=lease.token))
    corner.pass_s(1)
    assert corner.tracker.followed_track == 7
    assert corner.rig.speed > 0


@pytest.mark.parametrize("requester", [ANNA, BRAHIM], ids=lambda requester: requester.id)
def test_a_sweep_ends_tracking_and_tracking_ends_a_sweep(
    corner: Corner, requester: Requester
) -> None:
    corner.ask(FOLLOW)
    corner.pass_s(1)
    corner.begin(words.PtzSweepArgs(head="mast"), requester)
    corner.ask(FOLLOW, requester)
    (end,) = corner.course.finishers
    with pytest.raises(CommandRejected, match="starts the tracker"):
        end()
    corner.begin(words.PtzSweepArgs(head="mast"), requester)
    corner.pass_s(1)
    corner.sweep.cancel("enough")
    corner.pass_s(PLAIN_CONFIG.lease_s + 1)
    assert corner.rig.head.movers.all == (corner.tracker,)
    assert corner.tracker.followed_track is None


@pytest.mark.parametrize(
    "args",
    [words.PtzAcquireArgs(head="mast"), words.PtzGotoArgs(head="mast", pan_deg=-20, tilt_deg=0)],
)
def test_a_rejected_requester_ends_no_tracking(corner: Corner, args: Any) -> None:
    corner.ask(FOLLOW)
    corner.rig.head.acquire(ANNA)
    with pytest.raises(CommandRejected) as caught:
        corner.ask(args, INCIDENT)
    assert caught.value.code == "busy"
    corner.pass_s(PLAIN_CONFIG.lease_s + 1)
    assert corner.tracker.followed_track == 7
