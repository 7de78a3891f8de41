"""Moved by velocity, no head enters a sector, at any latency of orders and answers."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.commands.requester import CommandRejected
from agent.config.heads import ForbiddenSector
from agent.ptz.requests import AbsoluteMove, ContinuousMove
from drivers.commanded_speed import CommandedSpeed, position_error_deg
from drivers.contracts import Pose, PtzCapabilities, PtzPosition, Range, Velocity
from simulation.ptz.fake import FakeHead, Options
from tests.parts.head_rig import ANNA, PLAIN_CONFIG, STAGE_INTERVAL_S, HeadRig

T = TypeVar("T")

EDGE_DEG = 60.0
WINDOWS = ForbiddenSector(name="windows", pan_deg=(EDGE_DEG, 120.0))
STANDS_WITHIN_S = 0.1 + 0.38
"""Of the body: its lag and its ramp. That is less than `brake_s`."""
BODY = Options(pan_deg=Range(low=-170, high=170), pan_max_deg_s=60, lag_s=0.1, ramp_s=0.38)
TRUE_DEG = 0.1


class SlowHead(FakeHead):
    """A position query takes `look_s`; the position is of the moment after a share `at` of it. An order
    takes `order_s` until its answer, and takes effect after such a share. The position is of the query,
    or `as_of_answer`, and its error is honest.
    """

    rig: "SlowRig"
    as_of_answer = False

    def read_position(self) -> PtzPosition:
        requested_ns = self.rig.clock.now_ns
        fastest_deg_s = self.rig.speed_told.max_speed_deg_s(requested_ns)
        reported = self._late(next(self.rig.look_s), super().read_position)
        fastest_deg_s = max(fastest_deg_s, self.rig.speed_told.max_speed_deg_s(requested_ns))
        moving_deg_s = fastest_deg_s if reported.moving else 0.0
        error = position_error_deg(TRUE_DEG, moving_deg_s, requested_ns, self.rig.clock.now_ns)
        t_ns = self.rig.clock.now_ns if self.as_of_answer else requested_ns
        return msgspec.structs.replace(reported, t_ns=t_ns, error_deg=error)

    def move(self, velocity: Velocity) -> None:
        self._order(abs(velocity.pan_deg_s), lambda: FakeHead.move(self, velocity))

    def stop(self) -> None:
        self._order(0.0, lambda: FakeHead.stop(self))

    def goto(self, pose: Pose, speed: float) -> None:
        self._order(60.0, lambda: FakeHead.goto(self, pose, speed))

    def _order(self, deg_s: float, do: Callable[[], None]) -> None:
        self.rig.speed_told.begin_order(deg_s)
        self._late(self.rig.order_s, do)
        self.rig.speed_told.confirm_order(deg_s, self.rig.clock.now_ns)

    def _late(self, takes_s: float, do: Callable[[], T]) -> T:
        at = next(self.rig.at)
        self.rig.passes(takes_s * at)
        done = do()
        self.rig.passes(takes_s * (1 - at))
        return done


class AsOfAnswer(SlowHead):
    as_of_answer = True


class Reckoned(SlowHead):
    """It reports only its arrival; its position is dead-reckoned."""

    @property
    def capabilities(self) -> PtzCapabilities:
        return msgspec.structs.replace(super().capabilities, absolute=False)

    def read_position(self) -> PtzPosition:
        self.rig.passes(next(self.rig.look_s))
        return msgspec.structs.replace(FakeHead.read_position(self), error_deg=0.5)


class SlowRig(HeadRig):
    """`furthest_deg` is how far to the right the body came."""

    def __init__(
        self,
        folder: Path,
        look_s: Iterator[float],
        order_s: float,
        at: Iterator[float],
        *,
        kind: type[SlowHead] = SlowHead,
        forbidden: tuple[ForbiddenSector, ...] = (WINDOWS,),
    ) -> None:
        self.look_s, self.order_s, self.at = look_s, order_s, at
        self.speed_told = CommandedSpeed(STANDS_WITHIN_S)
        self.furthest_deg = -180.0
        config = msgspec.structs.replace(PLAIN_CONFIG, forbidden=forbidden)
        super().__init__(folder, config, head_options=BODY, head_class=kind)

    def _open(self) -> FakeHead:
        head = super()._open()
        assert isinstance(head, SlowHead)
        head.rig = self
        return head

    def passes(self, seconds: float) -> None:
        """Time passes without a turn of the stage; the body is observed."""
        for _ in range(round(seconds / 0.02)):
            self.clock.advance_s(0.02)
            self.furthest_deg = max(self.furthest_deg, self.pose.pan_deg)

    def goes_on(self, seconds: float) -> None:
        """The stage turns as it does."""
        end_ns = self.clock.now_ns + int(seconds * 1e9)
        while self.clock.now_ns < end_ns:
            self.passes(STAGE_INTERVAL_S)
            self.run_stage()

    def placed(self, pan_deg: float) -> "SlowRig":
        """Open, and at rest there."""
        self.run_stage()
        self.opened_heads[-1].simulator.goto(self.clock.now_ns, Pose(pan_deg=pan_deg, tilt_deg=0))
        self.goes_on(12)
        assert self.pose.pan_deg == pytest.approx(pan_deg)
        self.furthest_deg = pan_deg
        return self


def slow(
    folder: Path, look_s: float, at: float = 0.5, *, order_s: float = 0.0, pan_deg: float = 0.0
) -> SlowRig:
    return SlowRig(folder, repeat(look_s), order_s, repeat(at)).placed(pan_deg)


@pytest.mark.parametrize("pan_deg", [-140.0, -75.0, -33.0, 10.0])
@pytest.mark.parametrize("at", [0.0, 0.5, 1.0], ids=["read at once", "midway", "read last"])
@pytest.mark.parametrize("look_s", [0.04, 0.1, 0.2, 0.3, 0.5, 0.74, 1.0, 1.5, 2.0])
def test_a_continuous_move_ends_before_the_sector_at_any_answer_latency(
    tmp_path: Path, look_s: float, at: float, pan_deg: float
) -> None:
    rig = slow(tmp_path, look_s, at, pan_deg=pan_deg)
    rig.head.move(ContinuousMove(pan=1.0, for_s=20), ANNA)
    rig.goes_on(26)
    assert rig.speed == 0
    assert pan_deg < rig.furthest_deg < EDGE_DEG
    if look_s <= 0.5:
        assert rig.furthest_deg > EDGE_DEG - 20, "so near it does come"


@pytest.mark.parametrize("look_s", [0.1, 0.3, 1.0, 2.0])
def test_a_continuous_move_ends_before_the_sector_for_old_or_current_positions(
    tmp_path: Path, look_s: float
) -> None:
    for at in (0.0, 0.5, 1.0):
        made = SlowRig(tmp_path / f"{at}", repeat(look_s), 0.0, repeat(at), kind=AsOfAnswer)
        rig = made.placed(-75)
        rig.head.move(ContinuousMove(pan=1.0, for_s=20), ANNA)
        rig.goes_on(26)
        assert rig.speed == 0
        assert -75 < rig.furthest_deg < EDGE_DEG


@pytest.mark.parametrize("order_s", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("look_s", [0.0, 0.5, 2.0])
def test_a_continuous_move_ends_before_the_sector_at_any_order_latency(
    tmp_path: Path, look_s: float, order_s: float
) -> None:
    for at in (0.0, 1.0):
        rig = slow(tmp_path / f"{at}", look_s, at, order_s=order_s, pan_deg=-60)
        rig.head.move(ContinuousMove(pan=1.0, for_s=20), ANNA)
        rig.goes_on(30)
        assert rig.speed == 0
        assert -60 < rig.furthest_deg < EDGE_DEG


def test_a_move_that_cannot_end_before_the_sector_does_not_start(tmp_path: Path) -> None:
    rig = slow(tmp_path, 2.0, pan_deg=50)
    orders = rig.opened_heads[-1].simulator.order_count
    with pytest.raises(CommandRejected, match="sector 'windows' is in the way"):
        rig.head.move(ContinuousMove(pan=1.0), ANNA)
    assert rig.opened_heads[-1].simulator.order_count == orders
    rig.head.move(ContinuousMove(pan=-1.0, for_s=1.0), ANNA)
    assert rig.opened_heads[-1].simulator.order_count == orders + 1


def test_a_move_that_would_end_too_late_starts_slowly(tmp_path: Path) -> None:
    rig = slow(tmp_path, 1.0, pan_deg=0)
    rig.head.move(ContinuousMove(pan=1.0, for_s=10), ANNA)
    rig.passes(1.0)
    assert 0 < rig.speed <= 15


def test_a_move_shorter_than_the_latency_starts_once_the_position_is_known(
    tmp_path: Path,
) -> None:
    rig = slow(tmp_path, 1.5, pan_deg=-150)
    rig.head.move(ContinuousMove(pan=0.5, for_s=1.0), ANNA)
    rig.goes_on(6)
    assert rig.furthest_deg > -150 + 10
    assert rig.speed == 0


@pytest.mark.parametrize("after_s", [0.6, 1.0, 1.4, 1.8, 2.2, 2.6])
@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_a_new_velocity_during_a_move_does_not_enter_the_sector(
    tmp_path: Path, share: float, after_s: float
) -> None:
    rig = slow(tmp_path, 0.4, 1.0, order_s=1.0, pan_deg=-75)
    rig.head.move(AbsoluteMove(pan_deg=59, tilt_deg=0), ANNA)
    rig.goes_on(after_s)
    with suppress(CommandRejected):
        rig.head.move(ContinuousMove(pan=share, for_s=10), ANNA)
    rig.goes_on(15)
    assert rig.furthest_deg < EDGE_DEG


def sent_by_its_speed_alone(folder: Path, look_s: float, target_deg: float) -> SlowRig:
    made = SlowRig(folder, repeat(look_s), 0.0, repeat(0.5), kind=Reckoned)
    rig = made.placed(-75)
    rig.head.move(AbsoluteMove(pan_deg=target_deg, tilt_deg=0), ANNA)
    rig.goes_on(25)
    assert rig.speed == 0
    return rig


@pytest.mark.parametrize("target_deg", [50.0, 58.5])
@pytest.mark.parametrize("look_s", [0.04, 0.1, 0.3, 0.5])
def test_a_move_by_velocity_alone_arrives_without_entering_a_sector(
    tmp_path: Path, look_s: float, target_deg: float
) -> None:
    rig = sent_by_its_speed_alone(tmp_path, look_s, target_deg)
    assert rig.furthest_deg < EDGE_DEG
    assert rig.pose.pan_deg == pytest.approx(target_deg, abs=1)


@pytest.mark.raises_fault("PTZ-04")
def test_a_move_too_slow_to_arrive_enters_no_sector_either(tmp_path: Path) -> None:
    rig = sent_by_its_speed_alone(tmp_path, 1.0, 50.0)
    assert rig.furthest_deg < EDGE_DEG


def test_a_short_move_below_the_latency_is_not_a_fault(tmp_path: Path) -> None:
    rig = slow(tmp_path, 1.5, order_s=1.5)
    rig.head.move(AbsoluteMove(pan_deg=5, tilt_deg=0), ANNA)
    rig.goes_on(12)
    assert rig.pose.pan_deg == pytest.approx(5)
    assert rig.active_fault_codes() == set()


def test_the_way_out_of_a_sector_ends_before_the_next_one(tmp_path: Path) -> None:
    here = ForbiddenSector(name="here", pan_deg=(-30.0, 10.0))
    rig = SlowRig(tmp_path, repeat(1.0), 0.0, repeat(0.5), forbidden=(here, WINDOWS))
    rig.run_stage()
    rig.head.move(ContinuousMove(pan=1.0, for_s=15), ANNA)
    rig.goes_on(20)
    assert 10 < rig.furthest_deg < EDGE_DEG


LATE_S = st.sampled_from((0.02, 0.1, 0.26, 0.5, 1.0, 2.0))
WORD = st.one_of(
    st.builds(
        ContinuousMove,
        pan=st.sampled_from((-1.0, -0.4, 0.1, 0.3, 0.6, 1.0)),
        for_s=st.floats(0.2, 8),
    ),
    st.builds(AbsoluteMove, pan_deg=st.floats(-160, 59), tilt_deg=st.just(0.0)),
    st.none(),
)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from((SlowHead, AsOfAnswer, Reckoned)),
    slowest_s=LATE_S,
    shares=st.lists(st.floats(0.01, 1), min_size=1, max_size=8),
    order_s=LATE_S,
    at=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    words=st.lists(st.tuples(WORD, st.floats(0, 3)), min_size=1, max_size=12),
    pan_deg=st.floats(-100, 55),
)
def test_no_request_enters_a_sector_at_any_latency(
    kind: type[SlowHead],
    slowest_s: float,
    shares: list[float],
    order_s: float,
    at: list[float],
    words: list[tuple[ContinuousMove | AbsoluteMove | None, float]],
    pan_deg: float,
) -> None:
    with TemporaryDirectory() as folder:
        look_s = cycle([slowest_s, *(slowest_s * share for share in shares)])
        rig = SlowRig(Path(folder), look_s, order_s, cycle(at), kind=kind).placed(pan_deg)
        for word, wait_s in words:
            with suppress(CommandRejected):
                if word is None:
                    rig.head.stop()
                else:
                    rig.head.move(word, ANNA)
            rig.goes_on(wait_s)
            assert rig.furthest_deg < EDGE_DEG
        rig.goes_on(12)
        assert rig.furthest_deg < EDGE_DEG
