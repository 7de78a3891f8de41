"""agent.ptz.automation.panorama_scan: rights, results, and the reasons of an end."""

import functools
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from agent.base.errors import UserError
from agent.base.model import RefusalCode
from agent.capture.snapshot_command import CameraAccess
from agent.commands.command import ValidCommand
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import FieldOfView, HeadConfig, SweepConfig
from agent.ptz.automation.panorama_scan import PanoramaScan, check_sweep
from agent.ptz.ptz_args import PanoramaResult, PtzAcquireArgs, PtzResult
from agent.ptz.ptz_command import HeadAssembly, PtzCommandHandler
from agent.ptz.requests import AbsoluteMove
from drivers.media import Frame
from simulation.ptz.fake import Options
from simulation.surround.surround_renderer import SurroundRenderer
from tests.parts.head_rig import (
    ANNA,
    BRAHIM,
    INCIDENT,
    PLAIN_CONFIG,
    HeadRig,
    RecordingProgressSink,
)

FOV = FieldOfView(wide=60.0, tele=6.0)
SWEEP = SweepConfig(tilt_deg=-12.0, speed=1.0)
TURNS = msgspec.structs.replace(PLAIN_CONFIG, fov_deg=FOV, sweep=SWEEP)
WIDTH_PX, HEIGHT_PX = 320, 180
LONGEST_S = 150.0


class Shelf:
    """Keeps what it is given; a chain of custody that cannot be written refuses."""

    def __init__(self) -> None:
        self.looked: list[str] = []
        self.pictures: list[bytes] = []
        self.broken = False

    def record_snapshot_view(self, camera: str, by: str, t_ns: int) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.looked.append(by)

    def publish_snapshot(self, camera: str, jpeg: bytes, t_ns: int) -> None:
        self.pictures.append(jpeg)


@functools.cache
def street() -> SurroundRenderer:
    return SurroundRenderer(WIDTH_PX, HEIGHT_PX, px_per_deg=4)


class Mast:
    """A head in the rendered avenue, with a camera that gives ten pictures a second."""

    def __init__(
        self, folder: Path, *, shown: CameraAccess | None = None, hidden: bool = False
    ) -> None:
        self.rig = HeadRig(folder, TURNS, head_options=Options(pan_deg=None)).start()
        self.shelf = Shelf()
        self.access = CameraAccess() if shown is None else shown
        self.look = PanoramaScan(
            self.rig.head,
            "street",
            self.access,
            FOV,
            self.shelf,
            self.rig.clock.boottime_ns,
            is_masked=lambda: hidden,
        )
        self.street = street()
        self.reported: list[float] = []
        self.work: Callable[[], PanoramaResult] | None = None

    def begin(self, requester: Requester = ANNA, token: int | None = None) -> float:
        return self.look.begin(
            requester, token, lambda share, _: self.reported.append(share), self.finish
        )

    def finish(self, work: Callable[[], PanoramaResult]) -> None:
        assert self.work is None
        self.work = work

    def pass_s(self, seconds: float) -> None:
        end_ns = self.rig.clock.now_ns + int(seconds * 1e9)
        while self.rig.clock.now_ns < end_ns and self.work is None:
            self.access.next_frame.offer(self.frame())
            self.rig.advance_s(0.1)

    def frame(self) -> Frame:
        pose = self.rig.pose
        image = self.street.render(pose.pan_deg, pose.tilt_deg, FOV.wide, 3.0)
        flat = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
        y, rest = flat[:HEIGHT_PX], flat[HEIGHT_PX:].reshape(-1)
        half = (HEIGHT_PX // 2, WIDTH_PX // 2)
        u, v = (part.reshape(half) for part in np.split(rest, 2))
        return Frame(seq=0, t_ns=self.rig.clock.now_ns, y=y, u=u, v=v)

    def result(self) -> PanoramaResult:
        assert self.work is not None
        return self.work()


@pytest.fixture
def mast(tmp_path: Path) -> Mast:
    return Mast(tmp_path)


def refusal(of: Callable[[], object]) -> tuple[RefusalCode, str]:
    with pytest.raises(CommandRejected) as caught:
        of()
    return caught.value.code, str(caught.value)


def test_a_sweep_gives_one_panorama_under_the_requesters_name(mast: Mast) -> None:
    within_s = mast.begin()
    mast.pass_s(LONGEST_S)
    assert mast.rig.clock.now_ns / 1e9 < within_s + LONGEST_S
    made = mast.result()
    assert (made.camera, made.frames, made.missing) == ("street", 10, ())
    (jpeg,) = mast.shelf.pictures
    assert made.size_bytes == len(jpeg)
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    height, width = image.shape[:2]
    assert width > 5 * height
    assert mast.shelf.looked == ["anna"]
    assert mast.reported == sorted(mast.reported)
    assert len(mast.reported) == 9
    assert mast.rig.head.movers.all == ()


def test_only_one_sweep_runs_at_a_time(mast: Mast) -> None:
    mast.begin()
    assert refusal(lambda: mast.begin(BRAHIM)) == ("busy", "head 'mast' sweeps already")
    mast.look.cancel("enough")
    assert refusal(mast.result) == ("failed", "enough")
    mast.work = None
    mast.begin(BRAHIM)


@pytest.mark.parametrize(
    ("shown", "hidden", "kind", "words"),
    [
        (CameraAccess(viewers=("nadia",)), False, "forbidden", "'anna' is not among its viewers"),
        (CameraAccess(has_frames=False), False, "unsupported", "detection is off"),
        (CameraAccess(), True, "forbidden", "hide everything but the presets"),
    ],
)
def test_a_requester_without_view_rights_gets_no_sweep(
    tmp_path: Path, shown: CameraAccess, hidden: bool, kind: str, words: str
) -> None:
    mast = Mast(tmp_path, shown=shown, hidden=hidden)
    message = refusal(mast.begin)
    assert message[0] == kind
    assert words in message[1]
    assert mast.rig.head.state().lease is None


def test_a_weaker_requester_gets_no_sweep_and_the_holder_keeps_the_head(mast: Mast) -> None:
    mast.rig.head.acquire(ANNA)
    assert refusal(lambda: mast.begin(INCIDENT))[0] == "busy"
    assert mast.rig.head.movers.all == ()


def test_a_stale_token_starts_no_sweep(mast: Mast) -> None:
    lease = mast.rig.head.acquire(ANNA)
    mast.rig.head.release(ANNA, lease.token)
    assert refusal(lambda: mast.begin(token=lease.token))[0] == "stale_token"
    assert mast.rig.head.movers.all == ()


def test_a_sweep_ends_when_another_requester_takes_the_head(mast: Mast) -> None:
    mast.begin()
    mast.pass_s(3)
    mast.rig.head.move(AbsoluteMove(pan_deg=0, tilt_deg=0), BRAHIM)
    mast.rig.advance_s(5)
    assert refusal(mast.result) == ("failed", "'brahim' has acquired the head")
    assert mast.rig.pose.pan_deg == pytest.approx(0)
    assert mast.shelf.pictures == []


def test_a_stronger_requesters_sweep_replaces_a_weaker_ones_and_completes(mast: Mast) -> None:
    ended: list[Callable[[], PanoramaResult]] = []
    mast.look.begin(INCIDENT, None, lambda _share, _detail: None, ended.append)
    mast.rig.advance_s(3)
    mast.begin(ANNA)
    (work,) = ended
    assert refusal(work) == ("failed", "'anna' sweeps instead")
    assert [mover.requester for mover in mast.rig.head.movers.all] == [ANNA]
    assert refusal(lambda: mast.begin(INCIDENT))[0] == "busy"
    mast.pass_s(LONGEST_S)
    assert mast.result().frames == 10


@pytest.mark.parametrize(
    ("begun_by", "taken_by", "goes_on"),
    [(INCIDENT, ANNA, False), (ANNA, BRAHIM, False), (ANNA, ANNA, True)],
)
def test_a_sweep_continues_only_if_its_own_requester_takes_the_head(
    mast: Mast, begun_by: Requester, taken_by: Requester, goes_on: bool
) -> None:
    mast.begin(begun_by)
    mast.pass_s(3)
    take = ValidCommand(arrival_number=1, verb="ptz", id="1", requester=taken_by, expires=mast.rig.clock.utc(0),
                 args=PtzAcquireArgs(head="mast"), digest=b"")  # fmt: skip
    mounted = HeadAssembly(head=mast.rig.head, camera="street", panorama_scan=mast.look)
    made = PtzCommandHandler({"mast": mounted}, mast.rig.clock.boottime_ns).run(
        take, RecordingProgressSink()
    )
    assert isinstance(made, PtzResult)
    assert made.lease is not None
    mast.rig.head.release(taken_by, made.lease.token)
    mast.pass_s(LONGEST_S)
    if goes_on:
        assert mast.result().frames == 10
    else:
        assert refusal(mast.result) == ("failed", f"{taken_by.id!r} has acquired the head")
    assert mast.rig.head.movers.all == ()


def test_no_picture_is_shown_if_the_view_receipt_cannot_be_written(mast: Mast) -> None:
    mast.begin()
    mast.pass_s(LONGEST_S)
    mast.shelf.broken = True
    kind, why = refusal(mast.result)
    assert kind == "failed"
    assert "cannot be recorded" in why
    assert mast.shelf.pictures == []


def test_a_sweep_without_frames_fails_with_a_message(mast: Mast) -> None:
    mast.begin()
    mast.rig.advance_s(LONGEST_S)
    assert refusal(mast.result) == ("failed", "there is no image: the time is over")


def test_a_sweep_of_too_many_pictures_is_refused_in_the_configuration() -> None:
    zoomed = msgspec.structs.replace(TURNS, sweep=SweepConfig(zoom=1.0))
    with pytest.raises(
        UserError, match=r"box\.toml: head\[0\]\.sweep\.zoom = 1: a sweep would take"
    ):
        check_sweep(zoomed, "box.toml: head[0]")
    check_sweep(TURNS, "box.toml: head[0]")
    check_sweep(
        HeadConfig(name="mast", driver="fake", sweep=SweepConfig(zoom=1.0)), "box.toml: head[0]"
    )
