"""Salvage of a damaged outbox: the rows that can be read, and how many cannot.

The count is stated only if the structure of the file is sound, so that each row was seen. A B-tree with a
damaged page can end early without an error: of 300 messages 13 were found, and none was counted as missing.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.base.sqlite_damage import is_damage, is_read_error, is_transient
from agent.reporting.outbox import page_scan, schema
from agent.reporting.outbox.schema import (
    SELECT_CENTRES,
    SELECT_MESSAGES,
    CentreRow,
    OutboxCorruptError,
    OutboxRow,
    OutboxState,
    checksum,
)

_MESSAGE_COLUMNS = 14
T = TypeVar("T")


class Salvage(msgspec.Struct, frozen=True, kw_only=True):
    """The readable content of a damaged database. `unreadable` is None if it cannot be counted.

    `losses` counts, by type, messages that were shed or refused and that no receipt names yet.
    """

    state: OutboxState | None
    centres: tuple[CentreRow, ...]
    messages: tuple[OutboxRow, ...]
    unreadable: int | None
    losses: Mapping[str, int]


NOTHING_SALVAGED = Salvage(state=None, centres=(), messages=(), unreadable=None, losses={})
"""Of a database in whose place is no file."""


def needs_salvage(error: Exception) -> bool:
    """Return True if the database is damaged, or the disk refuses to read a part of it."""
    return is_damage(error) or is_read_error(error)


def salvage(file: Path) -> Salvage:
    """Read what can be read: in order, from the end, then page by page.

    Raises: sqlite3.Error if SQLite had no resources to read: such rows do not count as unreadable.
    """
    found: dict[int, OutboxRow] = {}
    unreadable: set[object] = set()
    connection = schema.open_connection(file)
    try:
        state = _read_or_none(lambda: schema.read_state(connection))
        centres = _read_or_none(lambda: _read_centres(connection))
        losses = _read_or_none(lambda: _read_losses(connection))
        is_complete = _read_in_order(connection, "ASC", found, unreadable)
        is_counted = is_complete and losses is not None and _is_sound(connection)
        if not is_complete:
            _read_in_order(connection, "DESC", found, unreadable)
    finally:
        # Closing the last connection writes the WAL into the file that is scanned now.
        connection.close()
    if not is_counted:
        _scan_pages(file, found)
    return Salvage(
        state=state,
        centres=centres or (),
        messages=tuple(found[seq] for seq in sorted(found)),
        unreadable=len(unreadable) if is_counted else None,
        losses=losses or {},
    )


def _read_in_order(
    connection: sqlite3.Connection,
    order: str,
    found: dict[int, OutboxRow],
    unreadable: set[object],
) -> bool:
    """Read in one direction up to the first error. Return True if there was none."""
    try:
        for row in connection.execute(SELECT_MESSAGES + f"ORDER BY seq {order}"):
            try:
                message = schema.decode_row(row)
            except OutboxCorruptError:
                unreadable.add(row[0])
            else:
                found[message.seq] = message
    except sqlite3.DatabaseError as error:
        if is_transient(error):
            raise
        return False
    return True


def _scan_pages(file: Path, found: dict[int, OutboxRow]) -> None:
    """Add the rows with a good checksum that the B-tree did not lead to."""
    try:
        for row in page_scan.iter_rows(file, _MESSAGE_COLUMNS):
            try:
                message = schema.decode_row(row)
            except OutboxCorruptError:
                continue
            found.setdefault(message.seq, message)
    except OSError:
        return


def _is_sound(connection: sqlite3.Connection) -> bool:
    """Return True if SQLite finds no damage in the structure of the file."""
    found = _read_or_none(lambda: connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return found == "ok"


def _read_centres(connection: sqlite3.Connection) -> tuple[CentreRow, ...]:
    centres = []
    for row in connection.execute(SELECT_CENTRES):
        with suppress(OutboxCorruptError):
            centres.append(schema.decode_centre(row))
    return tuple(centres)


def _read_losses(connection: sqlite3.Connection) -> Mapping[str, int]:
    losses: Counter[str] = Counter()
    for message_type, first, last, crc in connection.execute(
        "SELECT type, first, last, crc FROM shed"
    ):
        if checksum(message_type, first, last) != crc:
            raise OutboxCorruptError("a row about what was shed has a wrong checksum")
        losses[message_type] += last - first + 1
    for message_type, count, crc in connection.execute("SELECT type, count, crc FROM refused"):
        if checksum(message_type, count) != crc:
            raise OutboxCorruptError("a row about what was refused has a wrong checksum")
        losses[message_type] += count
    return losses


def _read_or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except OutboxCorruptError:
        return None
    except sqlite3.DatabaseError as error:
        if is_transient(error):
            raise
        return None
