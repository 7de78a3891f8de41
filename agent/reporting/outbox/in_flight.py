"""Which messages of the outbox are being sent, so that the writer does not take them away and
the session does not send them twice.
"""

import threading
from collections.abc import Iterable

from agent.reporting.payloads import SeqRange

MAX_URGENT_IN_FLIGHT = 100
"""So many emergencies may pass the rest at once. A centre that acknowledges only in order would
otherwise never come to the rest."""


class InFlightMessages:
    """The state of each number that is not simply waiting. Guarded by `lock`, which a reader of
    the database holds from before its query until it has lent what the query gave: so nothing is
    lent that a transaction has just taken.

    claimed: a transaction that is not over takes or changes it. on loan: the session has it.
    settled: it has arrived and its deletion is under way.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.cursor = 0
        """What is not urgent has been lent in order up to here."""
        self._fetched_upto = 0
        self._in_flight: dict[int, bool] = {}
        self._reserved: set[int] = set()
        self._acked: set[int] = set()

    @property
    def urgent_quota(self) -> int:
        """How many more emergencies may be lent out of order."""
        return max(0, MAX_URGENT_IN_FLIGHT - sum(self._in_flight.values()))

    @property
    def tracked_count(self) -> int:
        """How many numbers a query may meet in vain."""
        return len(self._in_flight) + len(self._reserved) + len(self._acked)

    @property
    def acked_count(self) -> int:
        """How many have arrived, were lent then, and are still on the disk as far as is known here."""
        return len(self._acked)

    def is_reserved(self, seq: int) -> bool:
        """Whether to come back for it when the transaction is over."""
        return seq in self._reserved

    def is_acked(self, seq: int) -> bool:
        """Whether it has arrived."""
        return seq in self._acked

    def try_mark_in_flight(self, seq: int, *, is_urgent: bool) -> bool:
        """Mark it as lent; False where it cannot be."""
        if seq in self._reserved or seq in self._in_flight or seq in self._acked:
            return False
        self._in_flight[seq] = is_urgent
        return True

    def advance_cursor(self, seq: int) -> None:
        """The walk in order has come to here."""
        self.cursor = seq
        self._fetched_upto = max(self._fetched_upto, seq)

    def reserve(self, seq: int, *, unsent_only: bool) -> bool:
        """For the writer, see `outbox_store.Loans`."""
        with self.lock:
            if (
                seq in self._in_flight
                or seq in self._acked
                or (unsent_only and seq <= self._fetched_upto)
            ):
                return False
            self._reserved.add(seq)
            return True

    def release_reservations(self) -> None:
        """The transaction is over, one way or the other."""
        with self.lock:
            self._reserved.clear()

    def acknowledge(self, ranges: Iterable[SeqRange]) -> None:
        """They have arrived."""
        with self.lock:
            acked = {
                seq for seq in self._in_flight for span in ranges if span.first <= seq <= span.last
            }
            for seq in acked:
                del self._in_flight[seq]
            self._acked |= acked

    def forget_deleted(self, ranges: Iterable[SeqRange]) -> None:
        """They are gone from the disk."""
        with self.lock:
            self._acked = {
                seq
                for seq in self._acked
                if not any(span.first <= seq <= span.last for span in ranges)
            }

    def requeue_in_flight(self) -> None:
        """The session lost its connection: everything that has not arrived waits again."""
        with self.lock:
            self._in_flight.clear()
            self.cursor = 0

    def reset(self) -> None:
        """A new database: no number means anything any more."""
        with self.lock:
            self.requeue_in_flight()
            self._reserved.clear()
            self._acked.clear()
            self._fetched_upto = 0
