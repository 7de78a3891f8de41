"""What the session reads from the outbox, on a connection of its own: in WAL mode a reader and
the writer do not wait for each other.
"""

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

from agent.reporting.outbox import files, schema
from agent.reporting.outbox.in_flight import InFlightMessages
from agent.reporting.outbox.schema import SELECT, OutboxDamage, OutboxRow
from agent.reporting.topics import Priority

_ONE = SELECT + "WHERE seq = ?"
_URGENT = SELECT + f"WHERE priority = {int(Priority.EMERGENCY)} ORDER BY seq DESC LIMIT ?"
_IN_ORDER = SELECT + "WHERE seq > ? ORDER BY seq LIMIT ?"
_FLOOR = """
SELECT COALESCE(
    (SELECT MIN(seq) FROM message WHERE seq > ?) - 1, (SELECT last_seq FROM state)
)
"""


class Reader:
    """Any thread may call. `on_damage` is told where a row is not what was written, and what was
    asked for then gives nothing. Where the database cannot be read for another reason, sqlite3.Error
    is raised; the next question opens it anew.
    """

    def __init__(
        self, file: Path, book: InFlightMessages, on_damage: Callable[[str], None]
    ) -> None:
        self._file = file
        self._book = book
        self._on_damage = on_damage
        self._db: sqlite3.Connection | None = None
        self._may_be_urgent = True

    def let_go(self) -> None:
        """Close the file. The next question opens the database that stands there then: whatever
        becomes of a replacement, nobody has to remember to open it again.
        """
        with self._book.lock:
            db, self._db = self._db, None
            self._may_be_urgent = True
            if db is not None:
                db.close()

    def note_commit(self) -> None:
        """There may be new emergencies."""
        self._may_be_urgent = True

    def requeue_in_flight(self) -> None:
        """Everything that has not arrived may be lent again."""
        self._book.requeue_in_flight()
        self._may_be_urgent = True

    def fetch(self, limit: int, limit_bytes: int) -> list[OutboxRow]:
        """The next messages to send, at most `limit`: emergencies first, the newest before the
        older ones, then the rest in order. With the first that brings them to `limit_bytes` they
        end, but for emergencies.
        """
        lent: list[OutboxRow] = []
        with self._book.lock:
            try:
                if self._may_be_urgent:
                    self._lend_urgent(limit, lent)
                limit_bytes -= sum(len(row.data) for row in lent)
                self._lend_in_order(limit, limit_bytes, lent)
            except sqlite3.Error:
                # What is lent has to go out. Who asks next is told.
                if not lent:
                    raise
        return lent

    def refetch(self, seqs: Iterable[int]) -> list[OutboxRow]:
        """Messages that are on loan, to be sent once more; those that are gone are left out."""
        with self._book.lock:
            return [row for seq in seqs for row in self._query(_ONE, seq)]

    def floor(self) -> int:
        """No number up to this one will be lent any more."""
        with self._book.lock:
            floor = self._floor_above(0)
            while self._book.is_settled(floor + 1):
                floor = self._floor_above(floor + 1)
            return floor

    def oldest(self) -> OutboxRow | None:
        """The message that has waited longest."""
        with self._book.lock:
            return next(iter(self._query(_IN_ORDER, self.floor(), 1)), None)

    def _floor_above(self, seq: int) -> int:
        for row in self._rows(_FLOOR, seq):
            return max(seq, cast("int", row[0]))
        return seq

    def _lend_urgent(self, limit: int, lent: list[OutboxRow]) -> None:
        room = min(limit, self._book.urgent_room)
        if not room:
            return
        for row in self._query(_URGENT, room + self._book.busy):
            if len(lent) == room:
                break
            if self._book.fetch(row.seq, urgent=True):
                lent.append(row)
        self._may_be_urgent = len(lent) == room

    def _lend_in_order(self, limit: int, limit_bytes: int, lent: list[OutboxRow]) -> None:
        """Stops before a number that a transaction works on; its commit calls for another look."""
        while len(lent) < limit:
            met = self._query(_IN_ORDER, self._book.cursor, limit - len(lent))
            for row in met:
                if limit_bytes <= 0 or self._book.is_claimed(row.seq):
                    return
                if self._book.fetch(row.seq, urgent=False):
                    lent.append(row)
                    limit_bytes -= len(row.data)
                self._book.advance_cursor(row.seq)
            if not met:
                return

    def _query(self, sql: str, *values: int) -> list[OutboxRow]:
        try:
            return [schema.message_of(row) for row in self._rows(sql, *values)]
        except OutboxDamage as error:
            self._on_damage(str(error))
            return []

    def _rows(self, sql: str, *values: int) -> list[tuple[object, ...]]:
        try:
            if self._db is None:
                self._db = schema.connect(self._file)
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            if not files.is_damage(error):
                self.let_go()
                raise
            self._on_damage(str(error))
            return []
