"""Which messages of the outbox are being sent, so that the writer does not take them away and
the session does not send them twice.
"""

import threading
from collections.abc import Iterable

from agent.reporting.payloads import SeqRange

URGENT_MOST = 100
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
        self._lent_upto = 0
        self._on_loan: dict[int, bool] = {}
        self._claimed: set[int] = set()
        self._settled: set[int] = set()

    @property
    def urgent_room(self) -> int:
        """How many more emergencies may be lent out of order."""
        return max(0, URGENT_MOST - sum(self._on_loan.values()))

    @property
    def busy(self) -> int:
        """How many numbers a query may meet in vain."""
        return len(self._on_loan) + len(self._claimed) + len(self._settled)

    @property
    def settled_count(self) -> int:
        """How many have arrived, were lent then, and are still on the disk as far as is known here."""
        return len(self._settled)

    def is_claimed(self, seq: int) -> bool:
        """Whether to come back for it when the transaction is over."""
        return seq in self._claimed

    def is_settled(self, seq: int) -> bool:
        """Whether it has arrived."""
        return seq in self._settled

    def fetch(self, seq: int, *, urgent: bool) -> bool:
        """Mark it as lent; False where it cannot be."""
        if seq in self._claimed or seq in self._on_loan or seq in self._settled:
            return False
        self._on_loan[seq] = urgent
        return True

    def advance_cursor(self, seq: int) -> None:
        """The walk in order has come to here."""
        self.cursor = seq
        self._lent_upto = max(self._lent_upto, seq)

    def reserve(self, seq: int, *, unsent: bool) -> bool:
        """For the writer, see `outbox_store.Loans`."""
        with self.lock:
            if seq in self._on_loan or seq in self._settled or (unsent and seq <= self._lent_upto):
                return False
            self._claimed.add(seq)
            return True

    def end_claims(self) -> None:
        """The transaction is over, one way or the other."""
        with self.lock:
            self._claimed.clear()

    def acknowledge(self, ranges: Iterable[SeqRange]) -> None:
        """They have arrived."""
        with self.lock:
            arrived = {
                seq for seq in self._on_loan for span in ranges if span.first <= seq <= span.last
            }
            for seq in arrived:
                del self._on_loan[seq]
            self._settled |= arrived

    def deleted(self, ranges: Iterable[SeqRange]) -> None:
        """They are gone from the disk."""
        with self.lock:
            self._settled = {
                seq
                for seq in self._settled
                if not any(span.first <= seq <= span.last for span in ranges)
            }

    def requeue_in_flight(self) -> None:
        """The session lost its connection: everything that has not arrived waits again."""
        with self.lock:
            self._on_loan.clear()
            self.cursor = 0

    def reset(self) -> None:
        """A new database: no number means anything any more."""
        with self.lock:
            self.requeue_in_flight()
            self._claimed.clear()
            self._settled.clear()
            self._lent_upto = 0
