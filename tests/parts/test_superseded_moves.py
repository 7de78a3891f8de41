"""A stop, or another requester's lease, arrives while the box plans a motion by itself."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import FieldOfView, ForbiddenSector
from agent.ptz.head_stage import LEAVE_SECTOR_AFTER_S, LEAVE_SECTOR_RETRY_S
from agent.ptz.requests import AbsoluteMove, ContinuousMove, HeadState, MoveRequest
from drivers.contracts import Pose
from tests.parts.head_rig import ANNA, BRAHIM, PLAIN_CONFIG, TOUR, HeadRig

LEASE_S = 5.0
CALM = msgspec.structs.replace(PLAIN_CONFIG, lease_s=LEASE_S)
TRACKING = Requester(id="tracking", role="tracking")


class Meanwhile:
    """A provider of dynamic sectors, called in the middle of each plan: it has none, but runs the next of
    `happens` at each call.
    """

    def __init__(self) -> None:
        self.happens: list[Callable[[], object]] = []

    def __call__(self, _t_ns: int) -> tuple[ForbiddenSector, ...]:
        if self.happens:
            self.happens.pop(0)()
        return ()


class Wanderer:
    """A mover that requests another position. While its first request is planned, something happens."""

    tour = None

    def __init__(self, requester: Requester, meanwhile: Meanwhile) -> None:
        self.requester = requester
        self.happens: list[Callable[[], object]] = []
        self.refusals: list[str] = []
        self._meanwhile = meanwhile

    def step(self, t_ns: int, state: HeadState) -> MoveRequest | None:
        self._meanwhile.happens, self.happens = self.happens, []
        return None if state.moving else AbsoluteMove(pan_deg=90, tilt_deg=0)

    def on_rejected(self, t_ns: int, request: MoveRequest, rejection: CommandRejected) -> None:
        self.refusals.append(rejection.code)


def wanders(folder: Path, mover_requester: Requester) -> tuple[HeadRig, Wanderer]:
    """A head at rest, and a mover that is called at its next turn."""
    meanwhile = Meanwhile()
    rig = HeadRig(folder, CALM, forbidden=meanwhile).start()
    return rig, Wanderer(mover_requester, meanwhile)


def stands_s(rig: HeadRig, seconds: float) -> bool:
    """Return True if the head stays at its position for so long."""
    pan_deg = rig.pose.pan_deg
    for _ in range(round(seconds * 10)):
        rig.advance_s(0.1)
        if rig.pose.pan_deg != pan_deg:
            return False
    return True


@pytest.mark.parametrize(
    "mover_requester", [TOUR, TRACKING, ANNA], ids=lambda mover_requester: mover_requester.role
)
def test_a_stop_supersedes_a_movers_planned_move(
    tmp_path: Path, mover_requester: Requester
) -> None:
    rig, mover = wanders(tmp_path, mover_requester)
    orders = rig.opened_heads[0].simulator.order_count
    mover.happens = [rig.head.stop]
    rig.head.movers.add(mover)
    rig.run_stage()
    assert mover.refusals == ["expired"]
    assert rig.opened_heads[0].simulator.order_count == orders + 1  # the stop, and nothing after it
    assert rig.head.movers.is_paused(rig.clock.now_ns)
    assert stands_s(rig, LEASE_S - 0.1)
    rig.advance_s(4)
    assert rig.pose.pan_deg == pytest.approx(90)


def test_a_stop_supersedes_the_return_home(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    meanwhile = Meanwhile()
    config = msgspec.structs.replace(CALM, home="gate", home_after_s=8.0)
    rig = HeadRig(tmp_path, config, forbidden=meanwhile).start()
    rig.store_preset("gate", Pose(pan_deg=-30, tilt_deg=5))
    rig.advance_s(8.0 - 0.1 - (rig.clock.now_ns - rig.head.last_request_ns) / 1e9)
    # Before it goes home it looks whether it rests where it may not.
    meanwhile.happens = [lambda: None, rig.head.stop]
    rig.advance_s(0.1)
    assert "does not return home: head 'mast': it was acquired" in caplog.text
    assert stands_s(rig, LEASE_S)
    rig.advance_s(8)
    assert rig.head.state().preset == "gate"


def test_a_stop_supersedes_leaving_a_sector(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    meanwhile = Meanwhile()
    here = ForbiddenSector(name="here", pan_deg=(-50.0, -10.0), tilt_deg=(-30.0, 90.0))
    config = msgspec.structs.replace(
        CALM, forbidden=(here,), fov_deg=FieldOfView(wide=40.0, tele=4.0)
    )
    rig = HeadRig(tmp_path, config, forbidden=meanwhile)
    rig.run_stage()
    meanwhile.happens = [rig.head.stop]
    assert stands_s(rig, LEAVE_SECTOR_AFTER_S + LEASE_S)
    assert "does not leave sector 'here': head 'mast': it was acquired" in caplog.text
    rig.advance_s(LEAVE_SECTOR_RETRY_S)
    assert rig.pose.pan_deg == pytest.approx(11, abs=1)


def test_a_requester_that_takes_the_head_from_an_equals_mover_keeps_it(tmp_path: Path) -> None:
    rig, mover = wanders(tmp_path, ANNA)
    mover.happens = [lambda: rig.head.acquire(BRAHIM)]
    rig.head.movers.add(mover)
    rig.run_stage()
    lease = rig.head.state().lease
    assert lease is not None
    assert lease.holder == BRAHIM
    assert mover.refusals == ["expired"]
    assert rig.speed == 0


def test_a_requesters_own_move_supersedes_their_mover(tmp_path: Path) -> None:
    rig, mover = wanders(tmp_path, ANNA)

    def left() -> None:
        rig.head.movers.remove(mover)
        rig.head.move(ContinuousMove(pan=-0.5, for_s=1.0), ANNA)

    mover.happens = [left]
    rig.head.movers.add(mover)
    rig.run_stage()
    rig.advance_s(3)
    assert rig.pose.pan_deg == pytest.approx(-30, abs=5)


def test_after_a_stop_the_head_returns_home_only_after_the_lease_time(tmp_path: Path) -> None:
    config = msgspec.structs.replace(PLAIN_CONFIG, home="gate", home_after_s=5.0, lease_s=20.0)
    rig = HeadRig(tmp_path, config).start()
    rig.store_preset("gate", Pose(pan_deg=-30, tilt_deg=5))
    rig.head.stop()
    assert stands_s(rig, 19.8)
    rig.advance_s(4)
    assert rig.head.state().preset == "gate"
