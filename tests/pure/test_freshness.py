"""agent.authority.freshness: a message is of now, or of the present connection. No I/O."""

from datetime import timedelta

import pytest

from agent.authority.freshness import CLOCK_TOLERANCE_S, check_freshness
from agent.authority.refusal import RefusedMessage
from tests.authority_rig import NOW
from tests.conftest import ManualClock

LIFETIME_S = 3600.0


def reason_of(
    clock: ManualClock,
    issued_s: float = 0.0,
    expires_s: float = 60.0,
    session: int | None = None,
) -> str | None:
    """Why a message is refused that was issued and expires this long after the clock's time; None if it is fresh."""
    now = clock.utc(clock.boottime_ns())
    try:
        check_freshness(
            issued=now + timedelta(seconds=issued_s),
            expires=now + timedelta(seconds=expires_s),
            session=session,
            present_session=12,
            clock=clock,
            max_lifetime_s=LIFETIME_S,
        )
    except RefusedMessage as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize(
    ("issued_s", "expires_s", "reason"),
    [
        (0, 60, None),
        (-59, 1, None),
        (-60, 0, "stale"),
        (-60, -0.001, "stale"),
        (-1e9, -1e9 + 60, "stale"),
        (CLOCK_TOLERANCE_S, 60, None),
        (CLOCK_TOLERANCE_S + 1, 60, "early"),
        (1e9, 1e9 + 60, "early"),
        (0, LIFETIME_S, None),
        (0, LIFETIME_S + 1, "stale"),
        (5, LIFETIME_S + 5, None),
        (-1, LIFETIME_S, "stale"),
        (5, 4, "stale"),
        (0, 0, "stale"),
    ],
)
def test_with_a_trusted_clock_a_message_is_fresh_from_its_issue_to_its_expiry(
    clock: ManualClock, issued_s: float, expires_s: float, reason: str | None
) -> None:
    assert reason_of(clock, issued_s, expires_s) == reason
    assert reason_of(clock, issued_s, expires_s, session=12) == reason


def test_a_session_that_is_named_is_the_present_one(clock: ManualClock) -> None:
    assert reason_of(clock, session=11) == "other_session"
    assert reason_of(clock, session=13) == "other_session"


@pytest.mark.parametrize("error", [0.0, 20 * 365 * 86_400.0, -20 * 365 * 86_400.0])
def test_without_a_trusted_clock_the_session_alone_counts(clock: ManualClock, error: float) -> None:
    clock.synced = False
    for session, reason in ((None, "other_session"), (11, "other_session"), (12, None)):
        assert reason_of(clock, error, error + 60, session) == reason


def test_the_error_of_the_boxs_clock_is_allowed_for(clock: ManualClock) -> None:
    assert clock.utc(0) == NOW
    assert reason_of(clock, CLOCK_TOLERANCE_S + 0.009) is None
    assert reason_of(clock, CLOCK_TOLERANCE_S + 0.02) == "early"
