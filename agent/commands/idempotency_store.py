"""Which commands were begun and how they ended, over restarts: none is done twice.

    commands.db    SQLite in WAL mode, synchronous=FULL

A row is written before what must not be done twice, and its reply after it. A row without a reply,
of a command that nobody works on, is of one that a crash has cut short.
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

from agent.base.clock import Clock
from agent.base.model import CommandDone, CommandRefused
from agent.commands.command import ValidCommand
from agent.faults.registry import FaultRegistry

log = logging.getLogger(__name__)

Final = CommandDone | CommandRefused

KEPT_H = 24.0
"""So long after its expiry a command is remembered: much longer than one may be good for."""
KEPT_MOST = 5000
"""Of either kind: of those that must not be done twice, and of the others. Those that expire first
are forgotten first."""
RECENT_MOST = 512
"""Replies in memory: they answer repeats where the disk cannot."""
MEND_EVERY_S = 30.0

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS command (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL,
    expires_s REAL NOT NULL,
    once INTEGER NOT NULL,
    reply BLOB
);
CREATE INDEX IF NOT EXISTS command_by_expiry ON command (once, expires_s);
CREATE TABLE IF NOT EXISTS mended (one INTEGER PRIMARY KEY CHECK (one = 1), times INTEGER NOT NULL);
"""
_KEEP = """
INSERT INTO command (id, digest, expires_s, once, reply) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET reply = excluded.reply
"""
_TRIM = """
DELETE FROM command WHERE number IN (
    SELECT number FROM command WHERE once = ? ORDER BY expires_s DESC, number DESC LIMIT -1 OFFSET ?
)
"""
_SUBJECT = "ledger of commands"
_FINAL: msgspec.json.Decoder[Final] = msgspec.json.Decoder(Final)
T = TypeVar("T")


class LedgerError(Exception):
    """The ledger cannot be read or written. `str(error)` says why in one line."""


class LedgerFull(LedgerError):
    """Another command would push out one that may still be repeated."""


class IdempotencyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a command. `reply` is None where it was begun, and has not ended."""

    digest: bytes
    reply: Final | None


class IdempotencyStore:
    """The ledger in one file. One thread uses it.

    Where the disk refuses, CTL-01 is raised, and cleared when it takes something again.
    """

    def __init__(self, path: Path, clock: Clock, faults: FaultRegistry) -> None:
        self._path = path
        self._clock = clock
        self._faults = faults
        self._db: sqlite3.Connection | None = None
        self._recent: OrderedDict[str, IdempotencyRecord] = OrderedDict()
        self._mend_ns = 0
        self._troubled = True

    def find(self, ident: str) -> IdempotencyRecord | None:
        """What is known of the command with this id. Raises LedgerError."""
        entry = self._recent.get(ident)
        if entry is not None:
            return entry
        sql = "SELECT digest, reply FROM command WHERE id = ?"
        row = self._do(lambda db: db.execute(sql, (ident,)).fetchone())
        return (
            None if row is None else IdempotencyRecord(digest=row[0], reply=_final(row[1], ident))
        )

    def begin(self, order: ValidCommand) -> None:
        """Keep that an order is begun which must not be done twice. It is on the disk when this
        returns. Raises LedgerError, also where too many that may still be repeated are kept.
        """
        self._do(lambda db: self._begin(db, order))
        self._told()

    def end(self, order: ValidCommand, reply: Final, *, once: bool) -> None:
        """Keep how an order ended; in memory at least. Raises LedgerError."""
        self._recent[order.id] = IdempotencyRecord(digest=order.digest, reply=reply)
        while len(self._recent) > RECENT_MOST:
            self._recent.popitem(last=False)
        self._do(lambda db: self._keep(db, order, msgspec.json.encode(reply), once=once))
        self._told()

    def mend(self) -> None:
        """Where the disk has refused, see now and then whether it still does."""
        now_ns = self._clock.boottime_ns()
        if not self._troubled or now_ns < self._mend_ns:
            return
        sql = "INSERT INTO mended VALUES (1, 1) ON CONFLICT (one) DO UPDATE SET times = times + 1"
        with suppress(LedgerError):
            self._do(lambda db: db.execute(sql))
            self._told()

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _begin(self, db: sqlite3.Connection, order: ValidCommand) -> None:
        if self._is_full(db):
            raise LedgerFull(
                f"{KEPT_MOST} commands that must not be done twice may still be repeated"
            )
        self._keep(db, order, None, once=True)

    def _keep(
        self, db: sqlite3.Connection, order: ValidCommand, reply: bytes | None, *, once: bool
    ) -> None:
        values = (order.id, order.digest, order.expires.timestamp(), once, reply)
        db.execute("BEGIN IMMEDIATE")
        db.execute(_KEEP, values)
        if self._clock.trust().synced:
            now = self._clock.utc(self._clock.boottime_ns())
            oldest_s = (now - timedelta(hours=KEPT_H)).timestamp()
            db.execute("DELETE FROM command WHERE expires_s < ?", (oldest_s,))
        db.execute(_TRIM, (once, KEPT_MOST))
        db.execute("COMMIT")

    def _is_full(self, db: sqlite3.Connection) -> bool:
        """Whether one that is still good would have to be forgotten for another. Where the clock is
        not trusted nobody knows that, and the oldest goes.
        """
        if not self._clock.trust().synced:
            return False
        now_s = self._clock.utc(self._clock.boottime_ns()).timestamp()
        sql = "SELECT COUNT(*), MIN(expires_s) FROM command WHERE once = 1"
        count, soonest_s = db.execute(sql).fetchone()
        return bool(count >= KEPT_MOST and soonest_s > now_s)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Work on the open database. After a failure it is opened anew: of what a failed sync has
        left in memory nothing can be said.
        """
        try:
            if self._db is None:
                self._db = self._open()
            return work(self._db)
        except (sqlite3.Error, OSError) as error:
            self._mend_ns = self._clock.boottime_ns() + int(MEND_EVERY_S * 1e9)
            self._troubled = True
            why = f"{self._path}: {error}"
            self._faults.raise_fault("CTL-01", _SUBJECT, why)
            with suppress(sqlite3.Error):
                self.close()
            self._db = None
            if _is_damage(error):
                self._set_aside()
            raise LedgerError(why) from error

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None)
        try:
            db.executescript(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    def _told(self) -> None:
        """The disk has taken something."""
        if self._troubled:
            self._troubled = False
            self._faults.clear("CTL-01", _SUBJECT)

    def _set_aside(self) -> None:
        """A damaged file is kept under another name. What it knew is forgotten."""
        aside = self._path.with_name(f"{self._path.name}.damaged")
        try:
            self._path.replace(aside)
            for tail in ("-wal", "-shm"):
                self._path.with_name(self._path.name + tail).unlink(missing_ok=True)
        except OSError as error:
            log.error("%s: damaged, and cannot be set aside: %s", self._path, error)
        else:
            log.error("%s: damaged; set aside as %s", self._path, aside.name)


def _final(data: bytes | None, ident: str) -> Final | None:
    """A reply that cannot be read is as if there were none: nobody knows how it ended."""
    if data is None:
        return None
    try:
        return _FINAL.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.error("command %s: its reply in the ledger cannot be read: %s", ident, error)
        return None


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
