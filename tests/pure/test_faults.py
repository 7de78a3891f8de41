"""The fault table and the board of active faults."""

from typing import get_args

from agent.faults import FAULTS, FaultBoard, FaultCode
from tests.conftest import HeldClock


def test_every_code_is_explained_and_every_explanation_has_a_code() -> None:
    assert set(FAULTS) == set(get_args(FaultCode))
    for kind in FAULTS.values():
        assert kind.title
        assert kind.advice.endswith((".", "`."))


def test_a_fault_keeps_its_first_time_and_its_newest_detail(clock: HeldClock) -> None:
    board = FaultBoard(clock.boottime_ns)
    board.raise_fault("CAM-01", "north", "no route")
    began_ns = clock.now_ns
    clock.pass_s(5)
    board.raise_fault("CAM-01", "north", "refused")
    (fault,) = board.active()
    assert (fault.since_ns, fault.detail) == (began_ns, "refused")


def test_only_a_fault_that_comes_or_goes_is_a_change(clock: HeldClock) -> None:
    board = FaultBoard(clock.boottime_ns)
    board.clear("CAM-01", "north")
    assert not board.changed.is_set()
    board.raise_fault("CAM-01", "north", "x")
    assert board.changed.is_set()
    board.changed.clear()
    board.raise_fault("CAM-01", "north", "y")
    assert not board.changed.is_set()
    board.clear("CAM-01", "north")
    assert board.changed.is_set()
    assert board.active() == ()


def test_the_same_code_on_two_cameras_is_two_faults(clock: HeldClock) -> None:
    board = FaultBoard(clock.boottime_ns)
    board.raise_fault("CAM-02", "north", "x")
    clock.pass_s(1)
    board.raise_fault("CAM-02", "south", "x")
    assert [fault.subject for fault in board.active()] == ["north", "south"]
