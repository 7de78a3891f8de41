"""Store of received messages in SQLite, committed before they are acknowledged."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import msgspec

from agent.base.atomic_file import check_journal
from agent.base.errors import UserError
from agent.reporting import topics
from agent.reporting.payloads import (
    Envelope,
    LostMessages,
    Message,
    OnlineStatus,
    ReceiptMessage,
    SeqRange,
    StatusMessage,
)
from centre.deduplicator import Deduplicator

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    box TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    topic TEXT NOT NULL,
    received TEXT NOT NULL,
    payload BLOB NOT NULL,
    properties TEXT,
    PRIMARY KEY (box, epoch, seq, id)
);
CREATE TABLE IF NOT EXISTS acked_floor (
    box TEXT NOT NULL, epoch TEXT NOT NULL, upto INTEGER NOT NULL, PRIMARY KEY (box, epoch)
);
CREATE TABLE IF NOT EXISTS lost (
    box TEXT NOT NULL, epoch TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL
);
"""


class BoxEpoch(msgspec.Struct, frozen=True):
    """A box and one epoch of its outbox: the scope of sequence numbers."""

    box: str
    epoch: str


class StoredArrival(msgspec.Struct, frozen=True, kw_only=True):
    """A received message. `properties_json` holds its MQTT user properties, if it has any.

    `message` is None if the payload does not match this version of the contract.
    """

    topic: str
    received: str
    envelope: Envelope
    message: Message | None
    payload: bytes
    properties_json: str | None

    @property
    def key(self) -> BoxEpoch:
        """The scope of its number."""
        return BoxEpoch(self.envelope.box, self.envelope.epoch)


class CentreStore:
    """The stored messages, and the deduplicators, which are rebuilt from them."""

    @classmethod
    def open(cls, file: Path) -> Self:
        """Open or create the file. Raises: UserError if it cannot be used."""
        try:
            connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_SCHEMA)
            return cls(connection, file)
        except sqlite3.Error as error:
            raise UserError(f"--store {str(file)!r}: {error}") from error

    def __init__(self, connection: sqlite3.Connection, file: Path) -> None:
        self._db = connection
        self._path = file
        self._deduplicators: dict[BoxEpoch, Deduplicator] = {}
        self._is_outdated = True
        self._load()

    def deduplicator(self, key: BoxEpoch) -> Deduplicator:
        """Return the deduplicator of a box and epoch."""
        return self._deduplicators.setdefault(key, Deduplicator(key.epoch))

    def commit(self, arrivals: Iterable[StoredArrival], centre: str) -> tuple[StoredArrival, ...]:
        """Commit messages without repeats. Return those that `centre` is to acknowledge: repeats, too, and births.

        Raises: UserError if the file is locked or its disk is full or fails; then none is to be acknowledged.
        """
        try:
            if self._is_outdated:
                self._load()
            self._db.execute("BEGIN IMMEDIATE")
            to_ack = tuple(arrival for arrival in arrivals if self._insert(arrival, centre))
            self._db.execute("COMMIT")
            check_journal(self._path)
        except BaseException as error:
            # The deduplicators have counted messages that may not be on the disk: until they are read again none
            # is acknowledged.
            self._deduplicators.clear()
            self._is_outdated = True
            with contextlib.suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error | OSError):
                raise UserError(f"--store: {error}") from error
            raise
        return to_ack

    def event_payloads(self) -> list[bytes]:
        """Return the payloads of all stored events, by box, epoch and sequence number."""
        rows = self._db.execute(
            "SELECT payload FROM message WHERE type = 'event' ORDER BY box, epoch, seq"
        )
        return [payload for (payload,) in rows]

    def newest_heads(self) -> list[ReceiptMessage]:
        """Return the newest message of each box with a chain head."""
        rows = self._db.execute(
            "WITH newest AS (SELECT box, epoch, max(rowid) FROM message GROUP BY box) "
            "SELECT payload, max(seq) FROM message JOIN newest USING (box, epoch) "
            "WHERE type = 'receipt' AND topic LIKE '%/receipt/head' GROUP BY box"
        )
        messages = (topics.decode_as(ReceiptMessage, payload) for payload, _seq in rows)
        return [message for message in messages if message is not None]

    def missing_ranges(self) -> dict[BoxEpoch, tuple[SeqRange, ...]]:
        """Return the missing sequence numbers of each box and epoch that has some."""
        return {
            key: missing
            for key, deduplicator in self._deduplicators.items()
            if (missing := deduplicator.missing_ranges())
        }

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _load(self) -> None:
        """Read the deduplicators. Raises: sqlite3.Error; then they are outdated."""
        self._deduplicators.clear()
        for box, epoch, seq in self._db.execute("SELECT box, epoch, seq FROM message"):
            self.deduplicator(BoxEpoch(box, epoch)).add(seq)
        for box, epoch, upto in self._db.execute("SELECT box, epoch, upto FROM acked_floor"):
            self.deduplicator(BoxEpoch(box, epoch)).set_floor(upto)
        for box, epoch, first, last in self._db.execute("SELECT box, epoch, first, last FROM lost"):
            self.deduplicator(BoxEpoch(box, epoch)).mark_lost((SeqRange(first, last),))
        self._is_outdated = False

    def _insert(self, arrival: StoredArrival, centre: str) -> bool:
        """Insert a message. Return True if it asks for an acknowledgement."""
        envelope, message, key = arrival.envelope, arrival.message, arrival.key
        deduplicator = self.deduplicator(key)
        if envelope.seq is None:
            return self._store_floor(key, message, centre)
        if deduplicator.add(envelope.seq) or not self._is_stored(envelope):
            self._db.execute(
                "INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    envelope.box,
                    envelope.epoch,
                    envelope.seq,
                    envelope.id,
                    arrival.topic.split("/")[4],
                    arrival.topic,
                    arrival.received,
                    arrival.payload,
                    arrival.properties_json,
                ),
            )
            if isinstance(message, ReceiptMessage) and isinstance(message.data, LostMessages):
                deduplicator.mark_lost(message.data.ranges)
                self._db.executemany(
                    "INSERT INTO lost VALUES (?, ?, ?, ?)",
                    [(*key_columns(key), span.first, span.last) for span in message.data.ranges],
                )
        return True

    def _is_stored(self, envelope: Envelope) -> bool:
        """Return False of a number that the box has given again, to another message: an older state of it was put back."""
        found = self._db.execute(
            "SELECT 1 FROM message WHERE (box, epoch, seq, id) = (?, ?, ?, ?)",
            (envelope.box, envelope.epoch, envelope.seq, envelope.id),
        )
        return found.fetchone() is not None

    def _store_floor(self, key: BoxEpoch, message: Message | None, centre: str) -> bool:
        if not isinstance(message, StatusMessage) or not isinstance(message.data, OnlineStatus):
            return False
        birth = message.data
        floor = birth.acked_upto_by_centre.get(centre, birth.acked_upto)
        self.deduplicator(key).set_floor(floor)
        self._db.execute(
            "INSERT OR REPLACE INTO acked_floor VALUES (?, ?, ?)",
            (*key_columns(key), floor),
        )
        return True


def read_received(file: Path, topic: str) -> Iterator[tuple[str, bytes]]:
    """Yield when each stored message of a topic was received, and its payload, in this order. A centre may write meanwhile.

    Raises: UserError if the store cannot be read.
    """
    try:
        uri = f"{file.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            yield from connection.execute(
                "SELECT received, payload FROM message WHERE topic = ? ORDER BY received", (topic,)
            )
    except sqlite3.Error as error:
        raise UserError(f"--store {str(file)!r}: {error}") from error


def key_columns(key: BoxEpoch) -> tuple[str, str]:
    """Return the key as the values of two columns."""
    return key.box, key.epoch
