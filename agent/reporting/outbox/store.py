"""What is done to the outbox's database within a transaction. One thread at a time is inside."""

import sqlite3
from collections import Counter
from typing import Protocol

import msgspec

from agent.reporting.outbox import schema
from agent.reporting.outbox.schema import INSERT, OutboxRow, State, checksum, size_bytes
from agent.reporting.payloads import LostMessages, MessageType, SeqRange
from agent.reporting.topics import Priority

SHEDDABLE = (Priority.SNAPSHOT, Priority.HEALTH, Priority.FLOW)
"""In the order in which they go. Receipts never go, because they name what went."""
RANGES_IN_A_RECEIPT = 500


class Loans(Protocol):
    """Which messages somebody is sending. Asked before a message is taken away or changed."""

    def reserve(self, seq: int, *, unsent: bool) -> bool:
        """Whether this transaction may take the message, which then is not lent until it ends.
        With `unsent`, only where the message was never lent to anybody.
        """
        ...


class _Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the database without asking it."""

    state: State
    depth: int
    bytes: int
    unreported: int
    newest: dict[str, int]


class Store:
    """The database, the counters that follow it, and the drop rule.

    `begin`, then work, then `commit`. Raises sqlite3.Error; the store is then to be closed, which
    undoes what is not committed, and not to be used again.
    """

    def __init__(self, connection: sqlite3.Connection, max_bytes: int, loans: Loans) -> None:
        self._db = connection
        self._max_bytes = max_bytes
        self._loans = loans
        depth, total = self._one("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM message")
        shed, refused = self._one("SELECT (SELECT COUNT(*) FROM shed), COUNT(*) FROM refused")
        self._now = _Counters(
            state=schema.read_state(connection),
            depth=depth,
            bytes=total,
            unreported=shed + refused,
            newest={},
        )
        self._kept = self._now.state

    @property
    def state(self) -> State:
        """The database's own row, with what this transaction has changed."""
        return self._now.state

    @property
    def depth(self) -> int:
        """How many messages wait."""
        return self._now.depth

    @property
    def bytes(self) -> int:
        """What they count against the cap."""
        return self._now.bytes

    @property
    def has_losses(self) -> bool:
        """Whether messages went that no receipt names yet."""
        return self._now.unreported > 0

    def begin(self) -> None:
        """Begin a transaction, or go on with the one that is open."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make it durable: with synchronous=FULL the WAL is on the disk when this returns."""
        if self.state != self._kept:
            schema.write_state(self._db, self.state)
        self._db.execute("COMMIT")
        self._kept = self.state

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def add(self, message: OutboxRow, *, newest_only: bool = False) -> int | None:
        """Keep the message and return its number; the number that it comes with is not looked at.

        None where it was refused, because nothing of less worth was left to go.
        """
        size = size_bytes(message.data, message.header)
        place = self._now.newest.get(message.topic) if newest_only else None
        if place is not None and self._loans.reserve(place, unsent=True):
            self._replace(message, place, size)
            return place
        if not self._make_room(size, message.priority):
            self._refuse(message.type)
            return None
        seq = self.state.last_seq + 1
        self._insert(message, seq)
        newest = {**self._now.newest, message.topic: seq} if newest_only else self._now.newest
        self._set(depth=self.depth + 1, bytes=self.bytes + size, newest=newest)
        self._set_state(last_seq=seq)
        return seq

    def acknowledge(self, ranges: tuple[SeqRange, ...]) -> int:
        """Take away what has arrived; how many messages that were."""
        gone = 0
        for span in ranges:
            within = (span.first, span.last)
            count, total = self._one(
                "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM message WHERE seq BETWEEN ? AND ?",
                *within,
            )
            if count:
                self._db.execute("DELETE FROM message WHERE seq BETWEEN ? AND ?", within)
                self._set(depth=self.depth - count, bytes=self.bytes - total)
                gone += count
        return gone

    def pop_losses(self) -> LostMessages | None:
        """What went and is not reported yet, for a receipt in this same transaction."""
        rows = self._db.execute(
            "SELECT type, first, last FROM shed ORDER BY last LIMIT ?", (RANGES_IN_A_RECEIPT,)
        ).fetchall()
        refused = self._db.execute("SELECT type, count FROM refused").fetchall()
        if not rows and not refused:
            return None
        by_type: Counter[str] = Counter(dict(refused))
        for kind, first, last in rows:
            by_type[kind] += last - first + 1
            self._db.execute("DELETE FROM shed WHERE type = ? AND last = ?", (kind, last))
        self._db.execute("DELETE FROM refused")
        self._set(unreported=self._now.unreported - len(rows) - len(refused))
        return LostMessages(
            count=by_type.total(),
            by_type=dict(by_type),
            ranges=joined(tuple(SeqRange(first, last) for _, first, last in rows)),
        )

    def next_session(self) -> int:
        """Count one more connection."""
        self._set_state(session=self.state.session + 1)
        return self.state.session

    def remember_centre(self, *, known: bool) -> None:
        """Keep whether a centre has ever announced itself."""
        self._set_state(centre_known=known)

    def _make_room(self, size: int, priority: Priority) -> bool:
        """Shed what is worth least until `size` more bytes fit. Whether the message may come in.

        Nothing goes for a message that is worth less. If all room is taken by what never goes,
        events and receipts come in over the cap.
        """
        excess = self.bytes + size - self._max_bytes
        for victim in SHEDDABLE:
            if excess <= 0 or victim < priority:
                break
            excess -= self._shed(victim, excess)
        return excess <= 0 or priority <= Priority.RECEIPT

    def _shed(self, priority: Priority, wanted_bytes: int) -> int:
        """Shed the oldest of a priority. The bytes that this freed."""
        freed = 0
        victims: list[tuple[int, str]] = []
        for seq, size, kind in self._db.execute(
            "SELECT seq, size, type FROM message WHERE priority = ? ORDER BY seq", (int(priority),)
        ):
            if freed >= wanted_bytes:
                break
            if self._loans.reserve(seq, unsent=False):
                victims.append((seq, kind))
                freed += size
        for seq, kind in victims:
            self._db.execute("DELETE FROM message WHERE seq = ?", (seq,))
            self._note_shed(seq, kind)
        gone = {seq for seq, _ in victims}
        newest = {topic: seq for topic, seq in self._now.newest.items() if seq not in gone}
        self._set(depth=self.depth - len(victims), bytes=self.bytes - freed, newest=newest)
        self._set_state(lost=self.state.lost + len(victims))
        return freed

    def _note_shed(self, seq: int, kind: str) -> None:
        """Ranges of one type grow at their end, so that a long outage makes few of them."""
        row = self._db.execute(
            "SELECT first FROM shed WHERE type = ? AND last = ?", (kind, seq - 1)
        ).fetchone()
        first = seq
        if row is None:
            self._set(unreported=self._now.unreported + 1)
        else:
            first = row[0]
            self._db.execute("DELETE FROM shed WHERE type = ? AND last = ?", (kind, seq - 1))
        values = (kind, first, seq)
        self._db.execute("INSERT INTO shed VALUES (?, ?, ?, ?)", (*values, checksum(*values)))

    def _refuse(self, kind: MessageType) -> None:
        row = self._db.execute("SELECT count FROM refused WHERE type = ?", (kind,)).fetchone()
        if row is None:
            self._set(unreported=self._now.unreported + 1)
        values = (kind, 1 if row is None else row[0] + 1)
        self._db.execute(
            "INSERT OR REPLACE INTO refused VALUES (?, ?, ?)", (*values, checksum(*values))
        )
        self._set_state(lost=self.state.lost + 1)

    def _replace(self, message: OutboxRow, seq: int, size: int) -> None:
        (before,) = self._one("SELECT COALESCE(MAX(size), 0) FROM message WHERE seq = ?", seq)
        self._insert(message, seq)
        self._set(bytes=self.bytes - before + size)

    def _insert(self, message: OutboxRow, seq: int) -> None:
        numbered = msgspec.structs.replace(message, seq=seq)
        self._db.execute(INSERT, schema.message_values(numbered))

    def _set(self, **changes: object) -> None:
        self._now = msgspec.structs.replace(self._now, **changes)

    def _set_state(self, **changes: object) -> None:
        self._set(state=msgspec.structs.replace(self._now.state, **changes))

    def _one(self, sql: str, *values: object) -> tuple[int, ...]:
        row: tuple[int, ...] = self._db.execute(sql, values).fetchone()
        return row


def joined(ranges: tuple[SeqRange, ...]) -> tuple[SeqRange, ...]:
    """The same numbers in as few ranges as there can be, in order."""
    out: list[SeqRange] = []
    for span in sorted(ranges, key=lambda span: span.first):
        if out and span.first <= out[-1].last + 1:
            out[-1] = SeqRange(out[-1].first, max(out[-1].last, span.last))
        else:
            out.append(span)
    return tuple(out)
