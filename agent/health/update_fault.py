"""Faults of updates, from files that root writes: one that fell back (SYS-08), and a feed that has expired (SYS-10)."""

from datetime import datetime
from pathlib import Path

from agent.base import slot_state
from agent.base.message import Message
from agent.base.seen_feed import seen_feed_file
from agent.faults.registry import FaultRegistry

SLOT_STATE_DIR = "state/rauc"
FAULT_SUBJECT = "update"
CHECK_INTERVAL_NS = 60_000_000_000


class UpdateFault:
    """Raises SYS-08 while the newest update has fallen back and is neither replaced nor accepted.

    With a feed in the configuration it raises SYS-10 while the newest one that the box has seen is expired, whether the
    server repeats it or sends none.
    """

    def __init__(self, root: Path, faults: FaultRegistry, *, has_feed: bool) -> None:
        self._folder = root / SLOT_STATE_DIR
        self._faults = faults
        self._has_feed = has_feed
        self._checked_ns: int | None = None

    def check(self, t_ns: int, utc: datetime | None) -> None:
        """Read the files if a minute has passed. `utc` is None while the clock cannot be trusted.

        A box without slots has no such files.
        """
        if self._checked_ns is not None and t_ns - self._checked_ns < CHECK_INTERVAL_NS:
            return
        self._checked_ns = t_ns
        self._check_fallback()
        if self._has_feed and utc is not None:
            self._check_feed(utc)

    def _check_fallback(self) -> None:
        failed = slot_state.read(self._folder).failed_trial
        if failed is None:
            self._faults.clear("SYS-08", FAULT_SUBJECT)
            return
        reason = slot_state.FAILURE_TEXTS[failed.reason]
        detail = Message(
            "version {version}: {reason} ({time})",
            version=failed.version or Message("(unknown)"),
            reason=reason,
            time=failed.time,
        )
        self._faults.raise_fault("SYS-08", FAULT_SUBJECT, detail)

    def _check_feed(self, utc: datetime) -> None:
        seen = seen_feed_file(self._folder).read()
        if seen is None or utc < seen.expires:
            self._faults.clear("SYS-10", FAULT_SUBJECT)
            return
        detail = Message(
            "the feed of {issued} has expired {expires}",
            issued=seen.issued.isoformat(),
            expires=seen.expires.isoformat(),
        )
        self._faults.raise_fault("SYS-10", FAULT_SUBJECT, detail)
