"""agent.health.clock_step: a step of UTC that its error bounds do not explain is found, and nothing else is."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.clock import SystemClock
from agent.base.model import ClockStep
from agent.faults.registry import FaultRegistry
from agent.health.clock_step import (
    FAULT_NS,
    MAX_DRIFT,
    ClockSample,
    ClockStepDetector,
    ClockStepFault,
    read_sample,
)
from tests.conftest import ManualClock

S = 1_000_000_000
BEGIN_S = 1_795_564_800


def sample(at_s: float, off_s: float, error_s: float | None, reading_s: float = 0.0) -> ClockSample:
    """A reading at `at_s` since boot, of a clock that is wrong by `off_s`."""
    return ClockSample(
        unsteered_ns=round(at_s * S),
        unix_ns=round((BEGIN_S + at_s + off_s) * 1e6) * 1000,
        error_s=error_s,
        reading_ns=round(reading_s * S),
    )


def steps(*samples: ClockSample) -> list[ClockStep]:
    detector = ClockStepDetector()
    return [step for one in samples if (step := detector.update(one)) is not None]


@pytest.mark.parametrize(
    ("samples", "step_count"),
    [
        pytest.param([sample(1, 0, 0.01), sample(2, 0, 0.01)], 0, id="no step"),
        pytest.param([sample(1, 0, 0.01), sample(2, 3600, 0.01)], 1, id="an hour forward"),
        pytest.param([sample(1, 0, 0.01), sample(2, -3600, 0.01)], 1, id="an hour back"),
        pytest.param([sample(1, 0, 0.01), sample(2, 3.2e8, 0.01)], 1, id="ten years forward"),
        pytest.param([sample(1, 0, 0.01), sample(2, -1.7e9, 0.01)], 1, id="to 1973"),
        pytest.param([sample(1, 0, 0.01), sample(2, 0.03, 0.01)], 1, id="twice both bounds"),
        pytest.param([sample(1, 0, 0.01), sample(2, 0.02, 0.01)], 0, id="both bounds"),
        pytest.param([sample(1, 0, 0.5), sample(2, 0.4, 0.01)], 0, id="a wide bound that narrows"),
        pytest.param(
            [sample(1, 0, None), sample(2, 3600, 0.01)], 0, id="the first setting after the boot"
        ),
        pytest.param([sample(1, 0, None), sample(2, 3600, None)], 0, id="nothing was stated"),
        pytest.param(
            [sample(1, 0, 0.01), sample(2, 3600, None)], 1, id="a step to an unsynchronised clock"
        ),
        pytest.param(
            [sample(1, 0, 0.01), sample(2, 3600, None), sample(63, 0, 0.01)],
            2,
            id="a step, and the way back",
        ),
        pytest.param(
            [sample(1, 0, 0.01), sample(2, 3600, 0.01), sample(3, 3600, 0.01)],
            1,
            id="one step once",
        ),
        pytest.param(
            [sample(1, 0, 0.01), sample(1 + 86400, 60, None), sample(2 + 86400, 0, 0.01)],
            0,
            id="a day without time servers, as a crystal drifts",
        ),
        pytest.param(
            [sample(1, 0, 0.01), sample(1 + 86400, 600, None)],
            1,
            id="ten minutes in a day without time servers, as no crystal drifts",
        ),
        pytest.param(
            [sample(1, 0, 0.01), sample(2, 0.08, 0.01)], 1, id="slewed by 8 % of the elapsed time"
        ),
        pytest.param(
            [sample(1, 0, 0.01), sample(2, 1.5, 0.01, reading_s=2.0)],
            0,
            id="the thread was suspended between the readings",
        ),
    ],
)
def test_a_step_is_what_the_error_bounds_do_not_explain(
    samples: list[ClockSample], step_count: int
) -> None:
    assert len(steps(*samples)) == step_count


def test_a_step_has_both_times_and_the_bound() -> None:
    assert steps(sample(10, 0, 0.01), sample(11, -60, 0.02)) == [
        ClockStep(
            expected_time="2026-11-25T00:00:11.000Z",
            found_time="2026-11-24T23:59:11.000Z",
            bound_s=0.031,
        )
    ]


def test_a_clock_that_runs_away_is_found_and_reported_once_a_minute() -> None:
    """By one per cent, less in a second than the bounds of two samples."""
    samples = [sample(at_s, at_s * 0.01, 0.02) for at_s in range(1, 601)]
    assert 9 <= len(steps(*samples)) <= 10


def test_a_clock_that_is_slewed_within_the_daemons_rate_never_steps() -> None:
    samples = [sample(at_s, at_s * 0.0009, 0.001) for at_s in range(1, 3600)]
    assert steps(*samples) == []


@given(
    errors=st.lists(st.floats(0, 1), min_size=2, max_size=20),
    fractions=st.lists(st.floats(-1, 1), min_size=20, max_size=20),
    elapsed_s=st.lists(st.floats(0.1, 1e6), min_size=20, max_size=20),
)
def test_a_clock_that_is_as_right_as_it_states_never_steps(
    errors: list[float], fractions: list[float], elapsed_s: list[float]
) -> None:
    at_s, samples = 0.0, []
    for error_s, fraction, passed_s in zip(errors, fractions, elapsed_s, strict=False):
        at_s += passed_s
        samples.append(sample(at_s, error_s * fraction * 0.999, error_s + 1e-4))
    assert steps(*samples) == []


@given(
    off_s=st.floats(-1e6, 1e6).filter(lambda off_s: abs(off_s) > 1),
    passed_s=st.floats(0.1, 100),
)
def test_every_step_beyond_the_bounds_is_found(off_s: float, passed_s: float) -> None:
    assert MAX_DRIFT * 100 + 0.2 < 1
    assert len(steps(sample(1, 0, 0.1), sample(1 + passed_s, off_s, 0.1))) == 1


def test_the_machines_own_clock_does_not_step_while_it_is_read() -> None:
    clock, detector = SystemClock(), ClockStepDetector()
    for _ in range(200):
        now = read_sample(clock)
        assert now.reading_ns >= 0
        stated = ClockSample(
            unsteered_ns=now.unsteered_ns,
            unix_ns=now.unix_ns,
            error_s=0.05,
            reading_ns=now.reading_ns,
        )
        assert detector.update(stated) is None


@pytest.mark.raises_fault("SYS-09")
def test_a_step_is_a_fault_for_an_hour_and_reported_once(clock: ManualClock) -> None:
    faults, reported = FaultRegistry(clock.boottime_ns), list[ClockStep]()
    fault = ClockStepFault(clock, faults, lambda step, _t_ns: reported.append(step))

    def pass_s(seconds: int) -> None:
        for _ in range(seconds):
            clock.advance_s(1)
            fault.check(clock.now_ns)

    pass_s(10)
    assert faults.active() == ()
    before = clock.boot_utc
    clock.step_s(-86400)
    pass_s(10)
    (active,) = faults.active()
    assert (active.code, active.subject) == ("SYS-09", "clock")
    assert active.detail == (
        "from 2026-11-25T00:00:12.000Z to 2026-11-24T00:00:12.000Z; its error bounds explain 0.021 s"
    )
    assert [step.expected_time for step in reported] == ["2026-11-25T00:00:12.000Z"]
    pass_s(FAULT_NS // S)
    assert faults.active() == ()
    clock.boot_utc = before
    pass_s(1)
    assert len(reported) == 2
    assert clock.boot_utc - before == timedelta()
