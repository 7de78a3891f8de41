"""Rate limit of the journal: a peer that refuses or a disk that fails again and again must not fill it.

A broker that refused every publication made 4,374 lines in a minute.
"""

import logging
import threading
import time
from collections.abc import Callable

import msgspec

INTERVAL_S = 60.0
MAX_WARNINGS = 20
"""Of one line of code in an interval."""
MAX_INFOS = 120
"""Each command is one: an operator who turns a head sends one a second."""


class _CallSite(msgspec.Struct):
    """A line of code that logs: its records since `begin_s`."""

    begin_s: float
    count: int = 0


class LogRateLimit(logging.Filter):
    """Passes the first records of each line of code in each interval, and counts the others. Thread-safe."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._sites: dict[tuple[str, int], _CallSite] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a record beyond the limit. The others get a note if some were or will be left out."""
        limit = MAX_WARNINGS if record.levelno >= logging.WARNING else MAX_INFOS
        omitted = 0
        with self._lock:
            now_s = self._monotonic_s()
            site = self._sites.setdefault((record.pathname, record.lineno), _CallSite(now_s))
            if now_s - site.begin_s >= INTERVAL_S:
                omitted = max(0, site.count - limit)
                site.begin_s, site.count = now_s, 0
            site.count += 1
            count = site.count
        if count > limit:
            return False
        if omitted:
            _add_note(record, f"{omitted} such lines were left out")
        elif count == limit:
            _add_note(record, f"more such lines are left out for up to {INTERVAL_S:.0f} s")
        return True


def limit_log_rate() -> None:
    """Limit the rate of everything that the root logger's handlers write."""
    rate_limit = LogRateLimit()
    for handler in logging.getLogger().handlers:
        handler.addFilter(rate_limit)


def _add_note(record: logging.LogRecord, note: str) -> None:
    record.msg, record.args = f"{record.getMessage()} ({note})", ()
