"""agent.faults.registry: the fault table, the active faults, and that each code is raised by a test."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import agent
from agent.base.message import Message
from agent.faults.registry import FAULTS, FaultCode, FaultRegistry, Severity
from agent.gpio import status_led
from agent.health.camera_watchdog import CLOCK_SYNC_TIMEOUT_S, CameraWatchdog
from tests.conftest import ManualClock
from tests.fault_witness import RaisedFaultRecorder

AGENT = Path(agent.__file__).parent
TESTS = Path(__file__).parents[1]
CODE = re.compile(r"[A-Z]{3}-\d\d")


def nodes(folder: Path) -> Iterator[tuple[Path, ast.AST]]:
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            yield file, node


def named_in_the_agent() -> set[str]:
    """The codes that are string literals in the agent, outside of the table."""
    return {
        node.value
        for file, node in nodes(AGENT)
        if file != AGENT / "faults" / "registry.py"
        and isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and CODE.fullmatch(node.value)
    }


def proved_by_tests() -> set[str]:
    """The codes of every `pytest.mark.raises_fault(...)`; tests/conftest.py holds each test to it."""
    return {
        argument.value
        for _, node in nodes(TESTS)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.raises_fault"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def test_every_code_has_its_table_row() -> None:
    assert set(FAULTS) == set(get_args(FaultCode))
    assert all(CODE.fullmatch(code) for code in FAULTS)
    assert {code.split("-")[0] for code in FAULTS} == set(status_led.FAMILY_BLINKS)
    assert {kind.severity for kind in FAULTS.values()} == set(get_args(Severity))


def test_the_numbers_of_a_family_have_no_gaps() -> None:
    for family in status_led.FAMILY_BLINKS:
        numbers = sorted(int(code.split("-")[1]) for code in FAULTS if code.startswith(family))
        assert numbers == list(range(1, len(numbers) + 1)), family


def test_every_code_is_raised_in_the_agent_and_no_other_exists() -> None:
    assert named_in_the_agent() == set(FAULTS)


def test_every_code_is_raised_by_a_test() -> None:
    assert proved_by_tests() == set(FAULTS)


def test_no_fault_is_raised_without_a_code_of_the_table() -> None:
    """A code that is a variable is a FaultCode: mypy sees to it."""
    for file, node in nodes(AGENT):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == "Fault":
            assert file == AGENT / "faults" / "registry.py", (
                f"{file.name}:{node.lineno} makes a fault by itself"
            )
        if isinstance(node.func, ast.Attribute) and node.func.attr == "raise_fault":
            code = node.args[0]
            if isinstance(code, ast.Constant):
                assert code.value in FAULTS, f"{file.name}:{node.lineno}"


def test_an_unknown_code_cannot_be_raised(clock: ManualClock) -> None:
    board = FaultRegistry(clock.boottime_ns)
    with pytest.raises(KeyError):
        board.raise_fault("CAM-99", "north", Message("x"))  # type: ignore[arg-type]
    assert board.active() == ()


def test_the_fault_recorder_counts_calls_of_the_agent_and_not_of_a_test(clock: ManualClock) -> None:
    witness = RaisedFaultRecorder()
    board = FaultRegistry(clock.boottime_ns)
    rounds = CameraWatchdog([], board, clock)
    clock.synced = False
    clock.advance_s(CLOCK_SYNC_TIMEOUT_S)
    with witness.recording():
        board.raise_fault("CAM-01", "north", Message("by hand"))
        assert witness.raised_codes() == set()
        rounds.check()
        assert witness.raised_codes() == {"SYS-01"}
        witness.reset()
        assert witness.raised_codes() == set()
    rounds.check()
    assert witness.raised_codes() == set()


def test_a_test_fails_if_the_agent_does_not_raise_its_marked_codes(tmp_path: Path) -> None:
    claims = tmp_path / "test_claims.py"
    claims.write_text(CLAIMS)
    requested = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        f"--rootdir={tmp_path}",
        claims,
    ]
    reported = subprocess.run(
        requested, cwd=TESTS.parent, capture_output=True, text=True, check=False
    )
    assert "1 failed, 1 passed" in reported.stdout, reported.stdout + reported.stderr
    assert "the agent did not raise SYS-01" in reported.stdout


CLAIMS = """
import pytest
from agent.faults.registry import FaultRegistry
from agent.base.message import Message
from agent.health.camera_watchdog import CLOCK_SYNC_TIMEOUT_S, CameraWatchdog

@pytest.mark.raises_fault("SYS-01")
def test_outside_the_agent(clock):
    FaultRegistry(clock.boottime_ns).raise_fault("SYS-01", "clock", Message("by hand"))

@pytest.mark.raises_fault("SYS-01")
def test_inside_the_agent(clock):
    rounds = CameraWatchdog([], FaultRegistry(clock.boottime_ns), clock)
    clock.synced = False
    clock.advance_s(CLOCK_SYNC_TIMEOUT_S)
    rounds.check()
"""


def test_a_fault_keeps_its_first_time_and_its_newest_detail(clock: ManualClock) -> None:
    board = FaultRegistry(clock.boottime_ns)
    board.raise_fault("CAM-01", "north", Message("no route"))
    began_ns = clock.now_ns
    clock.advance_s(5)
    board.raise_fault("CAM-01", "north", Message("refused"))
    (fault,) = board.active()
    assert (fault.since_ns, fault.detail) == (began_ns, "refused")
    assert (fault.severity, fault.title) == (FAULTS["CAM-01"].severity, FAULTS["CAM-01"].title)


def test_the_same_code_on_two_cameras_is_two_faults(clock: ManualClock) -> None:
    board = FaultRegistry(clock.boottime_ns)
    board.raise_fault("CAM-02", "north", Message("x"))
    clock.advance_s(1)
    board.raise_fault("CAM-02", "south", Message("x"))
    assert [fault.subject for fault in board.active()] == ["north", "south"]


def test_the_worst_fault_comes_first_and_a_degraded_mode_after_its_equals(
    clock: ManualClock,
) -> None:
    board = FaultRegistry(clock.boottime_ns)
    codes: tuple[FaultCode, ...] = ("SYS-01", "SYS-07", "CAM-02", "SVC-02", "STO-02")
    for code in codes:
        board.raise_fault(code, "x", Message("d"))
    assert [fault.code for fault in board.active()] == [
        *("STO-02", "CAM-02", "SVC-02", "SYS-07", "SYS-01")
    ]
