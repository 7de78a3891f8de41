"""agent.health.machine_faults: each fault is raised at one threshold and cleared at another, after a
delay.
"""

from typing import Any

import pytest

from agent.base.health_model import Degradation, DegradationLevel, DiskHealth
from agent.faults.registry import FaultRegistry
from agent.health.degradation import ResourceLoad
from agent.health.machine_faults import MachineFaults
from tests.conftest import ManualClock

FULL = Degradation(level="full", reason="", since_ns=0)


class Watched:
    """The machine's faults, looked at once a second."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.board = FaultRegistry(clock.boottime_ns)
        self._faults = MachineFaults(self.board)

    def codes(
        self,
        seconds: int,
        strained: ResourceLoad = ResourceLoad(),  # noqa: B008 - frozen
        disk: DiskHealth = DiskHealth(),  # noqa: B008 - frozen
        degradation: Degradation = FULL,
    ) -> list[str]:
        for _ in range(seconds):
            self.clock.advance_s(1)
            self._faults.update(self.clock.now_ns, strained, disk, degradation)
        return [fault.code for fault in self.board.active()]


def comes_and_goes(clock: ManualClock, code: str, bad: Any, between: Any, good: Any) -> None:
    """With `bad` it comes, and only after a while; with `between` it stays; with `good` it goes."""
    watched = Watched(clock)
    assert watched.codes(600, ResourceLoad(**good)) == []
    if between is not None:
        assert watched.codes(600, ResourceLoad(**between)) == []
    assert watched.codes(130, ResourceLoad(**bad)) == [code]
    if between is not None:
        assert watched.codes(600, ResourceLoad(**between)) == [code]
    assert watched.codes(20, ResourceLoad(**good)) == [code]
    assert watched.codes(60, ResourceLoad(**good)) == []


@pytest.mark.raises_fault("SYS-02")
def test_a_hot_board_is_a_fault_until_it_has_cooled(clock: ManualClock) -> None:
    comes_and_goes(clock, "SYS-02", {"celsius": 81.0}, {"celsius": 77.0}, {"celsius": 74.0})


@pytest.mark.raises_fault("SYS-03")
@pytest.mark.parametrize("sign", ["under_voltage", "throttled"])
def test_undervoltage_and_throttling_are_a_fault_at_once(clock: ManualClock, sign: str) -> None:
    assert Watched(clock).codes(1, ResourceLoad(**{sign: True})) == ["SYS-03"]
    comes_and_goes(clock, "SYS-03", {sign: True}, None, {sign: False})


@pytest.mark.raises_fault("SYS-04")
@pytest.mark.parametrize(
    ("bad", "between", "good"),
    [
        ({"memory_free_ratio": 0.05}, {"memory_free_ratio": 0.1}, {"memory_free_ratio": 0.3}),
        ({"memory_pressure": 0.2}, {"memory_pressure": 0.05}, {"memory_pressure": 0.0}),
    ],
)
def test_too_little_memory_is_a_fault(
    clock: ManualClock, bad: Any, between: Any, good: Any
) -> None:
    comes_and_goes(clock, "SYS-04", bad, between, good)


@pytest.mark.raises_fault("SYS-05")
def test_a_load_above_the_cores_is_a_fault_if_it_persists(clock: ManualClock) -> None:
    comes_and_goes(
        clock, "SYS-05", {"load_per_core": 2.5}, {"load_per_core": 1.7}, {"load_per_core": 1.0}
    )


@pytest.mark.raises_fault("STO-05")
def test_a_disk_filled_by_other_files_is_a_fault(clock: ManualClock) -> None:
    comes_and_goes(
        clock,
        "STO-05",
        {"footage_space_ratio": 0.9},
        {"footage_space_ratio": 1.2},
        {"footage_space_ratio": 2.0},
    )


@pytest.mark.raises_fault("STO-06")
def test_a_slow_disk_is_a_fault(clock: ManualClock) -> None:
    comes_and_goes(clock, "STO-06", {"write_ms": 1500.0}, {"write_ms": 700.0}, {"write_ms": 20.0})


@pytest.mark.raises_fault("STO-07")
@pytest.mark.parametrize(
    ("disk", "message"),
    [
        (DiskHealth(life_used=0.9), "90% of its life is used"),
        (DiskHealth(reserve="warning"), "spare blocks: warning"),
        (DiskHealth(days_left=30.0, days_left_basis="capacity"), "about 30 days are left"),
    ],
)
def test_a_worn_disk_is_a_fault_by_its_registers_or_by_the_days_left(
    clock: ManualClock, disk: DiskHealth, message: str
) -> None:
    watched = Watched(clock)
    assert watched.codes(1, disk=disk) == ["STO-07"]
    assert watched.board.active()[0].detail == message


def test_a_good_disk_and_one_without_readings_raise_no_fault(clock: ManualClock) -> None:
    good = DiskHealth(life_used=0.3, reserve="normal", days_left=900.0, days_left_basis="register")
    assert Watched(clock).codes(600, disk=good) == []
    assert Watched(clock).codes(600) == []


@pytest.mark.raises_fault("STO-05")
def test_a_full_disk_of_the_state_folder_is_a_fault_of_its_own(clock: ManualClock) -> None:
    watched = Watched(clock)
    assert watched.codes(60, ResourceLoad(footage_space_ratio=9.0, state_space_ratio=0.9)) == [
        "STO-05"
    ]
    assert [fault.subject for fault in watched.board.active()] == ["state disk"]
    assert watched.codes(60, ResourceLoad(footage_space_ratio=9.0, state_space_ratio=2.0)) == []


@pytest.mark.raises_fault("SYS-07")
@pytest.mark.parametrize("level", ["no_detection", "record_only", "heartbeat"])
def test_a_degraded_box_raises_a_fault(clock: ManualClock, level: DegradationLevel) -> None:
    watched = Watched(clock)
    low = Degradation(level=level, reason="heat: 84 °C", since_ns=0)
    assert watched.codes(1, degradation=low) == ["SYS-07"]
    assert watched.board.active()[0].detail == f"{level.replace('_', ' ')}: heat: 84 °C"
    assert watched.codes(1) == []
