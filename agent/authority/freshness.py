"""Freshness of a signed message: it was issued now, for this connection, and has not expired. Pure."""

from datetime import datetime, timedelta

from agent.authority.refusal import RefusedMessage
from agent.base.clock import Clock

CLOCK_TOLERANCE_S = 10.0
"""Of the clock of a signer, such as an operator's computer, in addition to the error of the box's."""


def check_freshness(
    *,
    issued: datetime,
    expires: datetime,
    session: int | None,
    present_session: int | None,
    clock: Clock,
    max_lifetime_s: float,
) -> None:
    """Raise RefusedMessage unless a message is fresh.

    `session` is the number of the box's connection that the message names, `present_session` that of its present
    birth. A box whose clock is not trusted cannot tell how old a message is: it accepts one that names the present
    session, so that it was signed after that began.
    """
    if session is not None and session != present_session:
        raise RefusedMessage(
            "other_session",
            f"session = {session}; allowed: {present_session}, of the present birth",
        )
    trust = clock.trust()
    if not trust.synced:
        if session is None:
            raise RefusedMessage(
                "other_session",
                "session: missing; it has to be given, because the box's clock is not trusted",
            )
        return
    now = clock.utc(clock.boottime_ns())
    early_s = (issued - now).total_seconds()
    tolerance = timedelta(seconds=CLOCK_TOLERANCE_S + (trust.error_s or 0.0))
    if timedelta(seconds=early_s) > tolerance:
        raise RefusedMessage(
            "early",
            f"issued {early_s:.1f} s ahead of the box's clock; "
            f"allowed: {tolerance.total_seconds():.1f}",
        )
    lifetime_s = (expires - issued).total_seconds()
    if not 0 < lifetime_s <= max_lifetime_s:
        raise RefusedMessage(
            "stale",
            f"expires {lifetime_s:.0f} s after it was issued; allowed: up to {max_lifetime_s:.0f}",
        )
    late_s = (now - expires).total_seconds()
    if late_s >= 0:
        raise RefusedMessage("stale", f"it expired {late_s:.1f} s before it could begin")
