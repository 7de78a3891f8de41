"""agent.console.check_result: with a running agent a check fails by its faults, and by no others."""

import msgspec
import pytest

from agent.base.health_model import Fault
from agent.console.check_result import (
    CheckResult,
    agree_with_faults,
    failed,
    passed,
    passed_if,
    unknown,
)
from agent.faults.registry import FaultCode

HOT = passed_if("heat", "81 C", ok=False, code="SYS-02")
COOL = passed_if("heat", "76 C", ok=True, code="SYS-02")
REFUSED = failed("TCP", "refused", "NET-01")


def fault(code: str, subject: str = "board") -> Fault:
    return Fault(
        code=code, severity="error", title="t", subject=subject, since_ns=0, detail=f"the {subject}"
    )


def agreed(
    results: list[CheckResult], *faults: Fault, codes: tuple[FaultCode, ...] = ()
) -> list[tuple[bool | None, str | None]]:
    return [(result.ok, result.shown_code) for result in agree_with_faults(results, faults, codes)]


@pytest.mark.parametrize(
    ("result", "is_active", "shown"),
    [
        (HOT, True, (False, "SYS-02")),
        (HOT, False, (None, None)),
        (COOL, True, (False, "SYS-02")),
        (COOL, False, (True, None)),
        (REFUSED, True, (False, "NET-01")),
        (REFUSED, False, (False, None)),
        (unknown("heat", "no sensor"), False, (None, None)),
        (passed("TCP", "3 ms"), True, (True, None)),
    ],
)
def test_a_fault_is_named_if_and_only_if_the_agent_has_it(
    result: CheckResult, *, is_active: bool, shown: tuple[bool | None, str | None]
) -> None:
    faults = [fault("SYS-02"), fault("NET-01", "broker")] if is_active else []
    assert agreed([result], *faults) == [shown]


def test_a_fault_that_no_result_names_is_added_by_the_check_that_owns_it() -> None:
    faults = (fault("SYS-07"), fault("CAM-02", "yard"))
    assert agreed([COOL], *faults, codes=("SYS-02", "SYS-07")) == [(True, None), (False, "SYS-07")]


def test_a_result_names_the_fault_of_its_own_subject_only() -> None:
    north = msgspec.structs.replace(failed("camera north", "x", "CAM-01"), fault_subject="north")
    faults = (fault("CAM-01", "north"), fault("CAM-01", "yard"))
    results = list(agree_with_faults([north], faults, ("CAM-01",)))
    assert [(str(one.subject), one.code) for one in results] == [
        ("camera north", "CAM-01"),
        ("yard", "CAM-01"),
    ]


def test_a_good_reading_of_an_active_fault_says_when_the_fault_ends() -> None:
    (result,) = agree_with_faults([COOL], (fault("SYS-02"),), ())
    assert str(result.message) == ("76 C; better now: the fault ends after 30 s of good readings")
    (hot,) = agree_with_faults([HOT], (fault("SYS-02"),), ())
    assert str(hot.message) == "81 C"
