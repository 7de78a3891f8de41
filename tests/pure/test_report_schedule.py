"""agent.health.report_schedule: a report at once at a change, else each interval, and bounded when a fault flaps."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from agent.base.health_model import (
    CameraHealth,
    ClockHealth,
    Degradation,
    Fault,
    HealthReport,
    LinkHealth,
    StageHealth,
    SupplyHealth,
)
from agent.health.report_schedule import CHANGE_INTERVAL_S, MAX_CHANGES, ReportSchedule
from tests.parts.test_health_file import REPORT

INTERVAL_S = 600
DAY_S = 86_400
FAULT = Fault(
    code="CAM-01", severity="error", title="not open", subject="north", since_ns=1, detail="gone"
)


def with_(report: HealthReport, **fields: Any) -> HealthReport:
    return msgspec.structs.replace(report, **fields)


def with_outbox(report: HealthReport, **fields: Any) -> HealthReport:
    return with_(report, outbox=msgspec.structs.replace(report.outbox, **fields))


def with_vitals(report: HealthReport, **fields: Any) -> HealthReport:
    return with_(report, vitals=msgspec.structs.replace(report.vitals, **fields))


def camera(**fields: Any) -> CameraHealth:
    values: dict[str, Any] = dict.fromkeys(CameraHealth.__struct_fields__)
    values |= {"name": "north", "open": True, "state": "delivering", "stream_fps": 15.0}
    return CameraHealth(**{**values, "unsupported": (), **fields})


def stage(state: str, age_s: float = 0.0) -> StageHealth:
    return StageHealth(
        name="detect",
        state=state,  # type: ignore[arg-type]
        heartbeat_age_s=age_s,
        failures=0,
        last_error=None,
    )


def sent_s(
    seconds: int,
    report_at: Callable[[int], HealthReport],
    session_at: Callable[[int], int | None] = lambda _: 1,
) -> list[int]:
    """The seconds whose report is sent."""
    schedule = ReportSchedule(INTERVAL_S, 0)
    return [
        s for s in range(seconds) if schedule.is_due(report_at(s), session_at(s), s * 1_000_000_000)
    ]


def test_without_a_change_a_report_is_sent_at_the_begin_and_each_interval() -> None:
    assert sent_s(1801, lambda _: REPORT) == [0, 600, 1200, 1800]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (REPORT, with_(REPORT, faults=(FAULT,))),
        (with_(REPORT, faults=(FAULT,)), REPORT),
        *(
            (
                with_(REPORT, degradation=Degradation(level="full", reason="", since_ns=0)),
                with_(REPORT, degradation=Degradation(level=level, reason="heat", since_ns=9)),
            )
            for level in ("reduced_detection", "no_detection")
        ),
        (
            with_(REPORT, clock=ClockHealth(synced=True, source="ntp", error_s=1, offset_s=0)),
            with_(REPORT, clock=ClockHealth(synced=False, source="none", error_s=None, offset_s=0)),
        ),
        (
            with_(REPORT, link=LinkHealth(adapter="eth0", kind="wired", up=True)),
            with_(REPORT, link=LinkHealth(adapter="wwan0", kind="modem", up=True)),
        ),
        (
            with_vitals(REPORT, supplies=(SupplyHealth(name="ups", is_online=True),)),
            with_vitals(REPORT, supplies=(SupplyHealth(name="ups", is_online=False),)),
        ),
        (
            with_(REPORT, cameras=(camera(state="waiting", age_s=None),)),
            with_(REPORT, cameras=(camera(age_s=0.1),)),
        ),
        (with_(REPORT, stages=(stage("running"),)), with_(REPORT, stages=(stage("failing"),))),
    ],
)
def test_a_change_of_a_state_is_sent_at_once(before: HealthReport, after: HealthReport) -> None:
    assert sent_s(1100, lambda s: before if s < 400 else after) == [0, 400, 1000]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (with_vitals(REPORT, soc_celsius=40.0), with_vitals(REPORT, soc_celsius=70.0)),
        (REPORT, with_outbox(REPORT, depth=200, oldest_age_s=9.0)),
        (
            with_(REPORT, faults=(FAULT,)),
            with_(REPORT, faults=(msgspec.structs.replace(FAULT, detail="refused"),)),
        ),
        (with_(REPORT, link=LinkHealth(signal=0.9)), with_(REPORT, link=LinkHealth(signal=0.2))),
        (
            with_(REPORT, cameras=(camera(age_s=0.1, decoding="motion"),)),
            with_(
                REPORT,
                cameras=(camera(age_s=3.0, state="waiting", stream_fps=3.0, decoding="keyframes"),),
            ),
        ),
        (with_(REPORT, stages=(stage("starting"),)), with_(REPORT, stages=(stage("running", 2),))),
    ],
)
def test_a_reading_waits_for_the_next_report(before: HealthReport, after: HealthReport) -> None:
    assert sent_s(700, lambda s: before if s < 400 else after) == [0, 600]


def test_a_connection_begins_with_a_report_and_none_is_made_without_one() -> None:
    sessions = [None] * 50 + [1] * 50 + [None] * 700 + [2] * 10 + [3] * 90
    assert sent_s(900, lambda _: REPORT, lambda s: sessions[s]) == [50, 800, 810]


def test_a_fault_that_flaps_is_bounded_and_its_last_state_is_sent() -> None:
    flaps_s = DAY_S - 100
    sent = sent_s(DAY_S, lambda s: with_(REPORT, faults=(FAULT,) if s < flaps_s and s % 2 else ()))
    assert sent[:MAX_CHANGES] == list(range(MAX_CHANGES))
    assert len(sent) <= MAX_CHANGES + DAY_S / CHANGE_INTERVAL_S
    later = [second - first for first, second in pairwise(sent[MAX_CHANGES:])]
    assert min(later) >= CHANGE_INTERVAL_S - 1
    last = sent[-1]
    assert flaps_s - 1 <= last + CHANGE_INTERVAL_S, "the end of the last fault is not left out"


def test_a_report_of_the_shortest_interval_is_sent_at_each_check_also_if_a_check_is_early() -> None:
    schedule = ReportSchedule(1, 0)
    checks_s = (0.0, 1.0, 1.99, 3.01, 4.0)
    assert all(schedule.is_due(REPORT, 1, int(t_s * 1e9)) for t_s in checks_s)


def test_a_connection_that_flaps_is_bounded_too() -> None:
    sent = sent_s(3600, lambda _: REPORT, lambda s: s)
    assert len(sent) <= MAX_CHANGES + 3600 / CHANGE_INTERVAL_S + 3600 / INTERVAL_S
