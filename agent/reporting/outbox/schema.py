"""Schema of the outbox's database, and the checksum of every row.

Invariants:

1. `state` has one row. `last_seq` only grows; a number is never given twice in one epoch.
2. Every number from 1 to `last_seq` is in `message`, or in `shed`, or acknowledged (the centre has
   it), or named in a receipt that is in `message` or acknowledged.
3. `centre` has the centres that the box knows, the one that was heard longest ago first. What one of them
   has acknowledged may be too little after a power cut, never too much.
4. A row's `crc` is the CRC-32 of its other columns. SQLite detects torn pages, but 18 of 200
   single flipped bits passed its integrity check (measured).
"""

import sqlite3
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import msgspec

from agent.base.clock import ClockTrust
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.sqlite_damage import CheckedConnection
from agent.reporting.outgoing_messages import Priority
from agent.reporting.payloads import OutboxMessageType, SeqRange
from agent.reporting.topics import EnvelopeFields

APPLICATION_ID = 0x56494F42
"""`VIOB`, in the header of the file: PRAGMA application_id."""
SCHEMA_VERSION = 2
ROW_OVERHEAD_BYTES = 300
"""Size of a message in addition to its data: envelope, topic, index."""

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch TEXT NOT NULL,
    last_seq INTEGER NOT NULL,
    session INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE centre (
    name TEXT NOT NULL UNIQUE,
    retired INTEGER NOT NULL,
    acked TEXT NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE message (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    topic TEXT NOT NULL,
    priority INTEGER NOT NULL,
    boot TEXT NOT NULL,
    t_ns INTEGER NOT NULL,
    time TEXT NOT NULL,
    clock TEXT NOT NULL,
    expiry_s INTEGER,
    data BLOB NOT NULL,
    header BLOB,
    size INTEGER NOT NULL,
    crc INTEGER NOT NULL
);
CREATE INDEX message_by_priority ON message (priority, seq, size);
CREATE TABLE shed (
    type TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (type, last)
) WITHOUT ROWID;
CREATE TABLE refused (type TEXT PRIMARY KEY, count INTEGER NOT NULL, crc INTEGER NOT NULL)
WITHOUT ROWID;
"""

SELECT_MESSAGES = """
SELECT seq, id, type, topic, priority, boot, t_ns, time, clock, expiry_s, data, header, size, crc
FROM message
"""
INSERT_MESSAGE = "INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


SELECT_CENTRES = "SELECT name, retired, acked, crc FROM centre ORDER BY rowid"

_CLOCK_DECODER = JsonDecoder(ClockTrust)
_ACKED_DECODER = JsonDecoder(tuple[SeqRange, ...])


class OutboxCorruptError(Exception):
    """The database is damaged. `str(error)` says in one line what was found."""


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """One message in the outbox."""

    seq: int
    id: str
    type: OutboxMessageType
    topic: str
    priority: Priority
    boot: str
    t_ns: int
    time: str
    clock: str
    expiry_s: int | None
    data: bytes
    header: bytes | None


class OutboxState(msgspec.Struct, frozen=True, kw_only=True):
    """The row of table `state`."""

    epoch: str
    last_seq: int
    session: int
    lost: int


class CentreRow(msgspec.Struct, frozen=True, kw_only=True):
    """A centre. `acked` are the messages that it has acknowledged, if the configuration names it."""

    name: str
    is_retired: bool
    acked: tuple[SeqRange, ...] = ()


def checksum(*values: object) -> int:
    """Return the CRC-32 of a row's values, including their types."""
    return zlib.crc32(msgspec.msgpack.encode(values))


def open_connection(file: Path) -> sqlite3.Connection:
    """Open a connection without implicit transactions. Raises: sqlite3.Error.

    Damaged UTF-8 is read with replacement characters, so that the checksum detects it.
    """
    connection = sqlite3.connect(
        file,
        timeout=5.0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
        factory=CheckedConnection,
    )
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def set_pragmas(connection: sqlite3.Connection) -> None:
    """Set WAL mode and `synchronous=FULL`: NORMAL does not sync the WAL at commit and may lose a
    committed message at a power cut.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def create_tables(connection: sqlite3.Connection, state: OutboxState) -> None:
    """Create the tables of a new database."""
    connection.executescript(_SCHEMA)
    write_state(connection, state)


def read_state(connection: sqlite3.Connection) -> OutboxState:
    """Read the row of table `state`. Raises: OutboxCorruptError."""
    row = connection.execute("SELECT epoch, last_seq, session, lost, crc FROM state").fetchone()
    if row is None or checksum(*row[:-1]) != row[-1]:
        raise OutboxCorruptError("the outbox's own row has a wrong checksum")
    epoch, last_seq, session, lost, _ = row
    return OutboxState(
        epoch=epoch,
        last_seq=last_seq,
        session=session,
        lost=lost,
    )


def write_state(connection: sqlite3.Connection, state: OutboxState) -> None:
    """Replace the row of table `state`."""
    values = (state.epoch, state.last_seq, state.session, state.lost)
    connection.execute(
        "INSERT OR REPLACE INTO state VALUES (1, ?, ?, ?, ?, ?)", (*values, checksum(*values))
    )


def write_centres(connection: sqlite3.Connection, centres: Iterable[CentreRow]) -> None:
    """Replace the rows of table `centre`."""
    connection.execute("DELETE FROM centre")
    for centre in centres:
        values = (centre.name, int(centre.is_retired), msgspec.json.encode(centre.acked).decode())
        connection.execute("INSERT INTO centre VALUES (?, ?, ?, ?)", (*values, checksum(*values)))


def decode_centre(row: tuple[object, ...]) -> CentreRow:
    """Return the centre of a row of SELECT_CENTRES. Raises: OutboxCorruptError."""
    *values, crc = row
    if checksum(*values) != crc:
        raise OutboxCorruptError(f"centre {values[0]!r} has a wrong checksum")
    name, retired, acked = values
    try:
        ranges = _ACKED_DECODER.decode(cast("str", acked))
    except MalformedJson as error:
        raise OutboxCorruptError(f"centre {name!r}: {error}") from error
    return CentreRow(name=cast("str", name), is_retired=bool(retired), acked=ranges)


def encode_row(message: OutboxRow) -> tuple[object, ...]:
    """Return a message as the values of a row, with size and checksum."""
    values = (
        message.seq,
        message.id,
        message.type,
        message.topic,
        int(message.priority),
        message.boot,
        message.t_ns,
        message.time,
        message.clock,
        message.expiry_s,
        message.data,
        message.header,
        row_size_bytes(message.data, message.header),
    )
    return (*values, checksum(*values))


def decode_row(row: tuple[object, ...]) -> OutboxRow:
    """Return the message of a row of SELECT_MESSAGES. Raises: OutboxCorruptError."""
    values, crc = row[:-1], row[-1]
    if checksum(*values) != crc:
        raise OutboxCorruptError(f"message {values[0]!r} has a wrong checksum")
    (
        seq,
        message_id,
        message_type,
        topic,
        priority,
        boot,
        t_ns,
        time,
        clock,
        expiry_s,
        data,
        header,
        _,
    ) = values
    return OutboxRow(
        seq=cast("int", seq),
        id=cast("str", message_id),
        type=cast("OutboxMessageType", message_type),
        topic=cast("str", topic),
        priority=Priority(cast("int", priority)),
        boot=cast("str", boot),
        t_ns=cast("int", t_ns),
        time=cast("str", time),
        clock=cast("str", clock),
        expiry_s=cast("int | None", expiry_s),
        data=cast("bytes", data),
        header=cast("bytes | None", header),
    )


def envelope_of(message: OutboxRow, box: str, epoch: str) -> EnvelopeFields:
    """Return the envelope of a stored message."""
    return EnvelopeFields(
        id=message.id,
        box=box,
        epoch=epoch,
        seq=message.seq,
        boot=message.boot,
        time=message.time,
        clock=_CLOCK_DECODER.decode(message.clock),
    )


def row_size_bytes(data: bytes, header: bytes | None) -> int:
    """Return a message's size as counted against the cap."""
    return len(data) + len(header or b"") + ROW_OVERHEAD_BYTES


def check_integrity(connection: sqlite3.Connection) -> None:
    """Read every row. Raises: OutboxCorruptError, or sqlite3.DatabaseError if SQLite cannot read."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if (application_id, version) != (APPLICATION_ID, SCHEMA_VERSION):
        raise OutboxCorruptError(f"it has schema {application_id:#x} version {version}")
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise OutboxCorruptError(f"SQLite finds: {found.splitlines()[-1]}")
    state = read_state(connection)
    for row in connection.execute(SELECT_CENTRES):
        decode_centre(row)
    last_seq = 0
    for row in connection.execute(SELECT_MESSAGES + "ORDER BY seq"):
        last_seq = decode_row(row).seq
    if last_seq > state.last_seq:
        raise OutboxCorruptError(
            f"message {last_seq} is above the last number given, {state.last_seq}"
        )
    for query in (
        "SELECT type, first, last, crc FROM shed",
        "SELECT type, count, crc FROM refused",
    ):
        for *values, crc in connection.execute(query):
            if checksum(*values) != crc:
                raise OutboxCorruptError("a row about what was shed has a wrong checksum")
