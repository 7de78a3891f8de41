"""Reader of the outbox for the session, on a connection of its own.

In WAL mode the reader and the writer do not wait for each other's transactions.
"""

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

from agent.reporting.outbox import schema
from agent.reporting.outbox.in_flight import InFlightMessages
from agent.reporting.outbox.salvage import needs_salvage
from agent.reporting.outbox.schema import SELECT_MESSAGES, OutboxCorruptError, OutboxRow
from agent.reporting.outgoing_messages import Priority
from agent.reporting.payloads import MAX_SEQ, SeqRange
from agent.reporting.seq_ranges import find_range, iter_gaps

_SELECT_ONE = SELECT_MESSAGES + "WHERE seq = ?"
_SELECT_URGENT = (
    SELECT_MESSAGES
    + f"WHERE priority = {int(Priority.EMERGENCY)} AND seq BETWEEN ? AND ? ORDER BY seq DESC LIMIT ?"
)
_SELECT_IN_ORDER = SELECT_MESSAGES + "WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
_SELECT_ANY = "SELECT 1 FROM message WHERE seq BETWEEN ? AND ? LIMIT 1"
_SELECT_ACKED_UPTO = """
SELECT COALESCE(
    (SELECT MIN(seq) FROM message WHERE seq > ?) - 1, (SELECT last_seq FROM state)
)
"""


class Reader:
    """Thread-safe. A damaged row is reported to `on_damage`, and the query returns nothing.

    Raises: sqlite3.Error if the database cannot be read for another reason. The next query opens it
    again.
    """

    def __init__(
        self, file: Path, in_flight: InFlightMessages, on_damage: Callable[[str], None]
    ) -> None:
        self._file = file
        self._in_flight = in_flight
        self._on_damage = on_damage
        self._db: sqlite3.Connection | None = None
        self._may_have_urgent = True

    def close(self) -> None:
        """Close the file. The next query opens the database that is current then."""
        with self._in_flight.lock:
            db, self._db = self._db, None
            self._may_have_urgent = True
            if db is not None:
                db.close()

    def note_change(self) -> None:
        """Look for emergencies at the next fetch."""
        self._may_have_urgent = True

    def requeue_in_flight(self) -> frozenset[int]:
        """Let everything that has not arrived be fetched again. Return the numbers."""
        self._may_have_urgent = True
        return self._in_flight.requeue_in_flight()

    def fetch(self, limit: int, limit_bytes: int, emergency_limit: int) -> list[OutboxRow]:
        """Return the next messages to send: at most `emergency_limit` emergencies first, the newest before the older ones, then
        the rest in order up to `limit` of both. The rest ends with the message that reaches `limit_bytes`.
        """
        fetched: list[OutboxRow] = []
        with self._in_flight.lock:
            try:
                if self._may_have_urgent:
                    self._fetch_urgent(emergency_limit, fetched)
                limit_bytes -= sum(len(row.data) for row in fetched)
                self._fetch_in_order(limit, limit_bytes, fetched)
            except sqlite3.Error:
                # Messages marked as in flight must be sent. The next call raises.
                if not fetched:
                    raise
        return fetched

    def refetch(self, seqs: Iterable[int]) -> list[OutboxRow]:
        """Return messages in flight, to be sent again, without those that were deleted."""
        with self._in_flight.lock:
            return [row for seq in seqs for row in self._select(_SELECT_ONE, seq)]

    def acked_upto(self, by_centre: tuple[SeqRange, ...] = ()) -> int:
        """Return the number up to which no message will be sent any more, or `by_centre` has each."""
        with self._in_flight.lock:
            acked = self._acked_upto_above(0)
            while True:
                if self._in_flight.is_acked(acked + 1):
                    acked = self._acked_upto_above(acked + 1)
                elif span := find_range(by_centre, acked + 1):
                    acked = self._acked_upto_above(span.last)
                else:
                    return acked

    def oldest_unacked(self) -> OutboxRow | None:
        """Return the oldest message that has not arrived."""
        with self._in_flight.lock:
            first = self.acked_upto() + 1
            return next(iter(self._select(_SELECT_IN_ORDER, first, MAX_SEQ, 1)), None)

    def has_unsettled(self) -> bool:
        """Return True if no message is settled, or if one is not."""
        with self._in_flight.lock:
            settled = self._in_flight.settled
            return not settled or any(
                self._rows(_SELECT_ANY, span.first, span.last) for span in iter_gaps(settled)
            )

    def _acked_upto_above(self, seq: int) -> int:
        for row in self._rows(_SELECT_ACKED_UPTO, seq):
            return max(seq, cast("int", row[0]))
        return seq

    def _fetch_urgent(self, limit: int, fetched: list[OutboxRow]) -> None:
        quota = min(limit, self._in_flight.urgent_quota)
        if not quota:
            return
        limit = quota + self._in_flight.tracked_count
        for span in reversed(tuple(iter_gaps(self._in_flight.settled))):
            if len(fetched) == quota:
                break
            for row in self._select(_SELECT_URGENT, span.first, span.last, limit):
                if len(fetched) == quota:
                    break
                if self._in_flight.try_mark_in_flight(row.seq, is_urgent=True):
                    fetched.append(row)
        self._may_have_urgent = len(fetched) == quota

    def _fetch_in_order(self, limit: int, limit_bytes: int, fetched: list[OutboxRow]) -> None:
        """Fetch up to a reserved number; the commit causes the next fetch."""
        for span in iter_gaps(self._in_flight.settled):
            while len(fetched) < limit and self._in_flight.cursor < span.last:
                first = max(span.first, self._in_flight.cursor + 1)
                rows = self._select(_SELECT_IN_ORDER, first, span.last, limit - len(fetched))
                for row in rows:
                    if limit_bytes <= 0 or self._in_flight.is_reserved(row.seq):
                        return
                    if self._in_flight.try_mark_in_flight(row.seq, is_urgent=False):
                        fetched.append(row)
                        limit_bytes -= len(row.data)
                    self._in_flight.advance_cursor(row.seq)
                if not rows:
                    break

    def _select(self, sql: str, *values: int) -> list[OutboxRow]:
        try:
            return [schema.decode_row(row) for row in self._rows(sql, *values)]
        except OutboxCorruptError as error:
            self._on_damage(str(error))
            return []

    def _rows(self, sql: str, *values: int) -> list[tuple[object, ...]]:
        try:
            if self._db is None:
                self._db = schema.open_connection(self._file)
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            if not needs_salvage(error):
                self.close()
                raise
            self._on_damage(str(error))
            return []
