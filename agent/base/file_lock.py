"""Exclusive locks between processes, flock(2), with a bounded wait: a stopped process keeps its lock."""

import fcntl
import time
from pathlib import Path

LOCK_TIMEOUT_S = 10.0
"""A holder needs milliseconds, and seconds while its card is busy. A loop of the agent counts as hung after 30 s."""
_POLL_INTERVAL_S = 0.005


class LockTimeout(OSError):
    """Another process has held a lock for LOCK_TIMEOUT_S. `str(error)` is one line with the path."""


def lock_exclusively(fd: int, path: Path) -> None:
    """Lock an open file or folder until it is closed or the process ends. `path` is for the error.

    Raises LockTimeout, or OSError.
    """
    deadline_s = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                raise LockTimeout(
                    f"{path}: another process has held the lock for {LOCK_TIMEOUT_S:g} s"
                ) from None
            time.sleep(_POLL_INTERVAL_S)
        else:
            return
