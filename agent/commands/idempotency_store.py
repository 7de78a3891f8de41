"""Idempotency store: commands that were begun, and their replies, over restarts.

    commands.db    SQLite in WAL mode, synchronous=FULL

A row is written before a command that must not be done twice, and its reply after it. A row
without a reply, of a command that does not run, is of one that a crash has cut short.
"""

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.base.atomic_file import check_journal
from agent.base.clock import Clock
from agent.base.damaged_file import set_aside
from agent.base.file_read import is_regular_or_absent
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.message import Message
from agent.base.model import CommandDone, CommandRefused
from agent.base.sqlite_damage import CheckedConnection, is_damage, is_read_error
from agent.commands.command import ValidCommand
from agent.faults.registry import FaultRegistry

log = logging.getLogger(__name__)

FinalReply = CommandDone | CommandRefused

RETENTION_H = 24.0
"""A command is kept for this long after its expiry: much longer than MAX_EXPIRY_S."""
MAX_RECORDS_PER_KIND = 5000
"""Of commands that must not be done twice, and of the others. Those that expire first are deleted
first."""
MAX_CACHED_REPLIES = 512
"""Replies in memory. They answer repeats if the disk cannot."""
PROBE_INTERVAL_S = 30.0

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS command (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL,
    expires_s REAL NOT NULL,
    at_most_once INTEGER NOT NULL,
    reply BLOB
);
CREATE INDEX IF NOT EXISTS command_by_expiry ON command (at_most_once, expires_s);
CREATE TABLE IF NOT EXISTS probe (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1), times INTEGER NOT NULL
);
"""
_UPSERT = """
INSERT INTO command (id, digest, expires_s, at_most_once, reply) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET reply = excluded.reply
"""
_TRIM = """
DELETE FROM command WHERE number IN (
    SELECT number FROM command WHERE at_most_once = ?
    ORDER BY expires_s DESC, number DESC LIMIT -1 OFFSET ?
)
"""
_FAULT_SUBJECT = "commands.db"
_REPLY_DECODER: JsonDecoder[FinalReply] = JsonDecoder(FinalReply)
T = TypeVar("T")


class IdempotencyStoreError(Exception):
    """The store cannot be read or written. `str(error)` says why in one line."""


class IdempotencyStoreFull(IdempotencyStoreError):
    """Another command would displace one that may still be repeated."""


class IdempotencyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was begun. `reply` is None if it has not ended."""

    digest: bytes
    reply: FinalReply | None


class IdempotencyStore:
    """The store in one file. Used by one thread.

    CTL-01 is raised if the disk refuses a read or write, and cleared by the next write.
    """

    def __init__(self, path: Path, clock: Clock, faults: FaultRegistry) -> None:
        self._path = path
        self._clock = clock
        self._faults = faults
        self._db: sqlite3.Connection | None = None
        self._cache: OrderedDict[str, IdempotencyRecord] = OrderedDict()
        self._next_probe_ns = 0
        self._has_failed = True

    def find(self, command_id: str) -> IdempotencyRecord | None:
        """Return the record of a command, or None. Raises: IdempotencyStoreError."""
        record = self._cache.get(command_id)
        if record is not None:
            return record
        sql = "SELECT digest, reply FROM command WHERE id = ?"
        row = self._with_database(lambda db: db.execute(sql, (command_id,)).fetchone())
        return (
            None
            if row is None
            else IdempotencyRecord(digest=row[0], reply=_decode_reply(row[1], command_id))
        )

    def record_begin(self, command: ValidCommand) -> None:
        """Store durably that a command begins that must not be done twice.

        Raises: IdempotencyStoreError, and IdempotencyStoreFull if no older record may go.
        """
        self._with_database(lambda db: self._insert_begun(db, command))
        self._clear_failure()

    def record_reply(self, command: ValidCommand, reply: FinalReply, *, at_most_once: bool) -> None:
        """Store a command's last reply, in memory at least. Raises: IdempotencyStoreError."""
        self._cache[command.id] = IdempotencyRecord(digest=command.digest, reply=reply)
        while len(self._cache) > MAX_CACHED_REPLIES:
            self._cache.popitem(last=False)
        self._with_database(
            lambda db: self._upsert(
                db, command, msgspec.json.encode(reply), at_most_once=at_most_once
            )
        )
        self._clear_failure()

    def probe_after_failure(self) -> None:
        """After a failure, try a write every PROBE_INTERVAL_S seconds."""
        now_ns = self._clock.boottime_ns()
        if not self._has_failed or now_ns < self._next_probe_ns:
            return
        sql = "INSERT INTO probe VALUES (1, 1) ON CONFLICT DO UPDATE SET times = times + 1"
        with suppress(IdempotencyStoreError):
            self._with_database(lambda db: db.execute(sql))
            self._clear_failure()

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _insert_begun(self, db: sqlite3.Connection, command: ValidCommand) -> None:
        if self._is_full(db):
            raise IdempotencyStoreFull(
                f"{MAX_RECORDS_PER_KIND} commands that must not be done twice may still be repeated"
            )
        self._upsert(db, command, None, at_most_once=True)

    def _upsert(
        self,
        db: sqlite3.Connection,
        command: ValidCommand,
        reply: bytes | None,
        *,
        at_most_once: bool,
    ) -> None:
        values = (command.id, command.digest, command.expires.timestamp(), at_most_once, reply)
        db.execute("BEGIN IMMEDIATE")
        db.execute(_UPSERT, values)
        if self._clock.trust().synced:
            now = self._clock.utc(self._clock.boottime_ns())
            oldest_s = (now - timedelta(hours=RETENTION_H)).timestamp()
            db.execute("DELETE FROM command WHERE expires_s < ?", (oldest_s,))
        db.execute(_TRIM, (at_most_once, MAX_RECORDS_PER_KIND))
        db.execute("COMMIT")
        check_journal(self._path)

    def _is_full(self, db: sqlite3.Connection) -> bool:
        """Return True if a new record would displace one that has not expired.

        While the clock is not trusted, that is unknown, and the oldest is displaced.
        """
        if not self._clock.trust().synced:
            return False
        now_s = self._clock.utc(self._clock.boottime_ns()).timestamp()
        sql = "SELECT COUNT(*), MIN(expires_s) FROM command WHERE at_most_once = 1"
        count, first_expiry_s = db.execute(sql).fetchone()
        return bool(count >= MAX_RECORDS_PER_KIND and first_expiry_s > now_s)

    def _with_database(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query. After a failure the database is opened again: the state in memory after a
        failed sync is undefined.
        """
        try:
            if self._db is None:
                self._db = self._open()
            return query(self._db)
        except (sqlite3.Error, OSError) as error:
            self._next_probe_ns = self._clock.boottime_ns() + int(PROBE_INTERVAL_S * 1e9)
            self._has_failed = True
            detail = Message("{problem}: {reason}", problem=str(self._path), reason=str(error))
            self._faults.raise_fault("CTL-01", _FAULT_SUBJECT, detail)
            with suppress(sqlite3.Error):
                self.close()
            self._db = None
            if _needs_replacement(self._path, error):
                self._set_aside(error)
            raise IdempotencyStoreError(str(detail)) from error

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, factory=CheckedConnection)
        try:
            db.executescript(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    def _clear_failure(self) -> None:
        if self._has_failed:
            self._has_failed = False
            self._faults.clear("CTL-01", _FAULT_SUBJECT)

    def _set_aside(self, reason: object) -> None:
        """Set a damaged file aside. Its records are lost."""
        set_aside(self._path, reason)
        for suffix in ("-wal", "-shm"):
            with suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _needs_replacement(path: Path, error: Exception) -> bool:
    """Return True if the file is damaged, cannot be read, or is no file."""
    return is_damage(error) or is_read_error(error) or not is_regular_or_absent(path)


def _decode_reply(data: bytes | None, command_id: str) -> FinalReply | None:
    """Return the reply, or None if it cannot be decoded: the outcome is unknown then."""
    if data is None:
        return None
    try:
        return _REPLY_DECODER.decode(data)
    except MalformedJson as error:
        log.error("command %s: its stored reply cannot be decoded: %s", command_id, error)
        return None
