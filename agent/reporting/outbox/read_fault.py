"""The fault of an outbox that cannot be read: STO-01, until reading has worked for a while."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from agent.base.message import Message
from agent.faults.registry import FaultRegistry

CLEAR_AFTER_NS = 30 * 1_000_000_000
"""The fault is cleared this long after the last failed read."""
T = TypeVar("T")


class ReadFault:
    """Used by the session's thread and the health stage."""

    def __init__(self, faults: FaultRegistry, clock_ns: Callable[[], int]) -> None:
        self._faults = faults
        self._clock_ns = clock_ns
        self._failed_ns: int | None = None

    def guard(self, query: Callable[[], T], default: T) -> T:
        """Return a query's result, or `default` with a fault if the database cannot be read. Health is
        still sent then.
        """
        try:
            return query()
        except sqlite3.Error as error:
            self._failed_ns = self._clock_ns()
            self._faults.raise_fault(
                "STO-01", "outbox reader", Message("it cannot be read: {reason}", reason=str(error))
            )
            return default

    def clear_if_over(self) -> None:
        """Clear the fault if the last failure is long ago."""
        failed_ns = self._failed_ns
        if failed_ns is None or self._clock_ns() - failed_ns < CLEAR_AFTER_NS:
            return
        self._failed_ns = None
        self._faults.clear("STO-01", "outbox reader")
