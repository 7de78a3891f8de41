"""Changes to the outbox's database within a transaction. Used by one thread at a time."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from agent.base.atomic_file import check_journal
from agent.reporting.outbox import schema
from agent.reporting.outbox.in_flight import InFlightMessages
from agent.reporting.outbox.schema import (
    INSERT_MESSAGE,
    CentreRow,
    OutboxRow,
    OutboxState,
    checksum,
    row_size_bytes,
)
from agent.reporting.outgoing_messages import Priority
from agent.reporting.payloads import LostMessages, OutboxMessageType, SeqRange
from agent.reporting.seq_ranges import merge_ranges

SHED_ORDER = (Priority.SNAPSHOT, Priority.TRAFFIC_COUNTS)
"""In the order of shedding. Receipts are never shed: they name the shed messages."""
MAX_RANGES_PER_RECEIPT = 500


class _StoreCounters(msgspec.Struct, frozen=True, kw_only=True):
    """Counters that follow the database without a query."""

    state: OutboxState
    depth: int
    bytes: int
    unreported: int
    newest: dict[str, int]


class Store:
    """The database, its counters, and the shedding rule.

    `begin`, changes, `commit`. After sqlite3.Error the store must be closed, which rolls back, and
    not be used again.
    """

    def __init__(
        self, connection: sqlite3.Connection, max_bytes: int, in_flight: InFlightMessages
    ) -> None:
        self._db = connection
        self._max_bytes = max_bytes
        self._in_flight = in_flight
        depth, total_bytes = self._fetch_one("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM message")
        shed, refused = self._fetch_one("SELECT (SELECT COUNT(*) FROM shed), COUNT(*) FROM refused")
        self._counters = _StoreCounters(
            state=schema.read_state(connection),
            depth=depth,
            bytes=total_bytes,
            unreported=shed + refused,
            newest={},
        )
        self._committed_state = self._counters.state
        _, _, path = connection.execute("PRAGMA database_list").fetchone()
        self._path = Path(path)

    @property
    def state(self) -> OutboxState:
        """The row of table `state`, with the changes of this transaction."""
        return self._counters.state

    @property
    def depth(self) -> int:
        """Number of messages."""
        return self._counters.depth

    @property
    def total_bytes(self) -> int:
        """Their size as counted against the cap."""
        return self._counters.bytes

    @property
    def has_losses(self) -> bool:
        """True if messages were shed or refused that no receipt names yet."""
        return self._counters.unreported > 0

    def begin(self) -> None:
        """Begin a transaction, unless one is open."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit. With synchronous=FULL the WAL is on the disk when this returns. Raises: sqlite3.Error."""
        if self.state != self._committed_state:
            schema.write_state(self._db, self.state)
        self._db.execute("COMMIT")
        try:
            check_journal(self._path)
        except OSError as error:
            raise sqlite3.OperationalError(f"disk I/O error: {error}") from error
        self._committed_state = self.state

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def add(self, message: OutboxRow, *, newest_only: bool = False) -> int | None:
        """Insert a message and return its new number, or None if it was refused because no message
        of a lower priority was left to shed. Its own `seq` is ignored.
        """
        row_bytes = row_size_bytes(message.data, message.header)
        replaced_seq = self._counters.newest.get(message.topic) if newest_only else None
        if replaced_seq is not None and self._in_flight.reserve(replaced_seq, unsent_only=True):
            self._replace_row(message, replaced_seq, row_bytes)
            return replaced_seq
        if not self._free_space(row_bytes, message.priority):
            self.count_refused(message.type)
            return None
        seq = self.state.last_seq + 1
        self._insert(message, seq)
        newest = (
            {**self._counters.newest, message.topic: seq} if newest_only else self._counters.newest
        )
        self._update_counters(
            depth=self.depth + 1, bytes=self.total_bytes + row_bytes, newest=newest
        )
        self._update_state(last_seq=seq)
        return seq

    def acknowledge(self, ranges: tuple[SeqRange, ...]) -> int:
        """Delete messages that have arrived. Return how many there were."""
        deleted = 0
        for span in ranges:
            bounds = (span.first, span.last)
            count, freed_bytes = self._fetch_one(
                "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM message WHERE seq BETWEEN ? AND ?",
                *bounds,
            )
            if count:
                self._db.execute("DELETE FROM message WHERE seq BETWEEN ? AND ?", bounds)
                self._update_counters(
                    depth=self.depth - count, bytes=self.total_bytes - freed_bytes
                )
                deleted += count
        return deleted

    def pop_losses(self) -> LostMessages | None:
        """Remove and return the unreported losses, for a receipt in this transaction."""
        rows = self._db.execute(
            "SELECT type, first, last FROM shed ORDER BY last LIMIT ?", (MAX_RANGES_PER_RECEIPT,)
        ).fetchall()
        refused = self._db.execute("SELECT type, count FROM refused").fetchall()
        if not rows and not refused:
            return None
        by_type: Counter[str] = Counter(dict(refused))
        for message_type, first, last in rows:
            by_type[message_type] += last - first + 1
            self._db.execute("DELETE FROM shed WHERE type = ? AND last = ?", (message_type, last))
        self._db.execute("DELETE FROM refused")
        self._update_counters(unreported=self._counters.unreported - len(rows) - len(refused))
        return LostMessages(
            count=by_type.total(),
            by_type=dict(by_type),
            ranges=merge_ranges(tuple(SeqRange(first, last) for _, first, last in rows)),
        )

    def next_session(self) -> int:
        """Return the number of a new connection."""
        self._update_state(session=self.state.session + 1)
        return self.state.session

    def read_centres(self) -> tuple[CentreRow, ...]:
        """Return the centres that the box knows. Raises: OutboxCorruptError."""
        return tuple(map(schema.decode_centre, self._db.execute(schema.SELECT_CENTRES)))

    def write_centres(self, centres: Iterable[CentreRow]) -> None:
        """Replace the centres that the box knows, and what each has acknowledged."""
        schema.write_centres(self._db, centres)

    def _free_space(self, row_bytes: int, priority: Priority) -> bool:
        """Shed lower priorities until `row_bytes` more fit. Return True if the message is accepted.

        Nothing is shed for a message of a lower priority. Events and receipts are accepted beyond the
        cap.
        """
        excess_bytes = self.total_bytes + row_bytes - self._max_bytes
        for shed_priority in SHED_ORDER:
            if excess_bytes <= 0 or shed_priority < priority:
                break
            excess_bytes -= self._shed(shed_priority, excess_bytes)
        return excess_bytes <= 0 or priority <= Priority.RECEIPT

    def _shed(self, priority: Priority, wanted_bytes: int) -> int:
        """Shed the oldest messages of a priority. Return the bytes freed."""
        freed_bytes = 0
        victims: list[tuple[int, str]] = []
        for seq, row_bytes, message_type in self._db.execute(
            "SELECT seq, size, type FROM message WHERE priority = ? ORDER BY seq", (int(priority),)
        ):
            if freed_bytes >= wanted_bytes:
                break
            if self._in_flight.reserve(seq, unsent_only=False):
                victims.append((seq, message_type))
                freed_bytes += row_bytes
        for seq, message_type in victims:
            self._db.execute("DELETE FROM message WHERE seq = ?", (seq,))
            self._note_shed(seq, message_type)
        shed_seqs = {seq for seq, _ in victims}
        newest = {
            topic: seq for topic, seq in self._counters.newest.items() if seq not in shed_seqs
        }
        self._update_counters(
            depth=self.depth - len(victims), bytes=self.total_bytes - freed_bytes, newest=newest
        )
        self._update_state(lost=self.state.lost + len(victims))
        return freed_bytes

    def _note_shed(self, seq: int, message_type: str) -> None:
        """Extend the last range of the type, so that a long outage makes few ranges."""
        row = self._db.execute(
            "SELECT first FROM shed WHERE type = ? AND last = ?", (message_type, seq - 1)
        ).fetchone()
        first = seq
        if row is None:
            self._update_counters(unreported=self._counters.unreported + 1)
        else:
            first = row[0]
            self._db.execute(
                "DELETE FROM shed WHERE type = ? AND last = ?", (message_type, seq - 1)
            )
        values = (message_type, first, seq)
        self._db.execute("INSERT INTO shed VALUES (?, ?, ?, ?)", (*values, checksum(*values)))

    def count_refused(self, message_type: OutboxMessageType, count: int = 1) -> None:
        """Count messages that never get a number, for the next receipt of losses."""
        row = self._db.execute(
            "SELECT count FROM refused WHERE type = ?", (message_type,)
        ).fetchone()
        if row is None:
            self._update_counters(unreported=self._counters.unreported + 1)
        values = (message_type, count if row is None else row[0] + count)
        self._db.execute(
            "INSERT OR REPLACE INTO refused VALUES (?, ?, ?)", (*values, checksum(*values))
        )
        self._update_state(lost=self.state.lost + count)

    def _replace_row(self, message: OutboxRow, seq: int, row_bytes: int) -> None:
        (previous_bytes,) = self._fetch_one(
            "SELECT COALESCE(MAX(size), 0) FROM message WHERE seq = ?", seq
        )
        self._insert(message, seq)
        self._update_counters(bytes=self.total_bytes - previous_bytes + row_bytes)

    def _insert(self, message: OutboxRow, seq: int) -> None:
        numbered = msgspec.structs.replace(message, seq=seq)
        self._db.execute(INSERT_MESSAGE, schema.encode_row(numbered))

    def _update_counters(self, **changes: object) -> None:
        self._counters = msgspec.structs.replace(self._counters, **changes)

    def _update_state(self, **changes: object) -> None:
        self._update_counters(state=msgspec.structs.replace(self._counters.state, **changes))

    def _fetch_one(self, sql: str, *values: object) -> tuple[int, ...]:
        row: tuple[int, ...] = self._db.execute(sql, values).fetchone()
        return row
