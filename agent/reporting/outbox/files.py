"""The outbox's folder, and the replacement of a damaged database.

    <folder>/lock          locked as long as an agent uses the outbox
    <folder>/current/      messages.db with its WAL
    <folder>/building/     an incomplete database
    <folder>/new/          a complete one, until it is `current`
    <folder>/damaged-<n>/  a damaged one; the newest MAX_DAMAGED_COPIES are kept

A database and its WAL belong together, so they are moved together, by the rename of their folder.
Whenever the power fails, either `current` exists, or `new` does and replaces it.
"""

import fcntl
import re
import shutil
import sqlite3
import sys
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import msgspec

from agent.base.atomic_file import fsync_dir
from agent.base.errors import UserError
from agent.base.sqlite_damage import is_damage
from agent.reporting.outbox import schema
from agent.reporting.outbox.in_flight import InFlightMessages
from agent.reporting.outbox.schema import (
    SELECT_MESSAGES,
    OutboxCorruptError,
    OutboxRow,
    OutboxState,
)
from agent.reporting.outbox.store import Store
from agent.reporting.payloads import OutboxDamaged

MAX_DAMAGED_COPIES = 3
NO_LIMIT = sys.maxsize
_DAMAGED_DIR_NAME = re.compile(r"damaged-(\d+)")
_TRANSIENT_CODES = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)
_READ_ERROR_CODES = (
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
    sqlite3.SQLITE_IOERR_DATA,
)


class _Salvage(msgspec.Struct, frozen=True, kw_only=True):
    """The readable rows of a damaged database. `unreadable` is None if it cannot be counted."""

    state: OutboxState | None
    messages: tuple[OutboxRow, ...]
    unreadable: int | None


def lock_dir(folder: Path) -> IO[bytes]:
    """Create the folder and lock it until the file is closed or the process ends.

    Raises: UserError if another process holds the lock, OSError if the folder cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock_file = (folder / "lock").open("wb")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock_file.close()
        raise UserError(f"outbox {str(folder)!r}: another agent uses it") from error
    return lock_file


def database_path(folder: Path) -> Path:
    """Return the path of the database in use."""
    return folder / "current" / "messages.db"


def find_damage(folder: Path) -> str | None:
    """Read the whole database; create it if there is none. Return what is damaged in one line, or
    None.

    Raises: sqlite3.Error if it cannot be read for another reason, such as a full disk.
    """
    current, new = folder / "current", folder / "new"
    if not current.exists():
        if not new.exists():
            _build_new(folder, (), centre_known=False)
        _activate_new(folder)
    shutil.rmtree(new, ignore_errors=True)
    connection = schema.open_connection(database_path(folder))
    try:
        schema.set_pragmas(connection)
        schema.check_integrity(connection)
    except OutboxCorruptError as error:
        return str(error)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return str(error)
    finally:
        connection.close()
    return None


def replace_damaged_database(
    folder: Path, reason: str, make_receipt: Callable[[OutboxDamaged], OutboxRow]
) -> str:
    """Quarantine the database and create one under a new epoch, with a receipt and with every
    message that can still be read. Return the quarantine's name. No connection may be open.

    Raises: OSError or sqlite3.Error if it fails, as on a full disk. Nothing is lost then, and the
    next call continues.
    """
    current, new = folder / "current", folder / "new"
    damaged_numbers = [
        int(match[1])
        for path in folder.iterdir()
        if (match := _DAMAGED_DIR_NAME.fullmatch(path.name))
    ]
    if new.exists() and not current.exists():
        # An earlier call has failed after that.
        _activate_new(folder)
        return f"damaged-{max(damaged_numbers, default=0)}"
    shutil.rmtree(new, ignore_errors=True)
    salvage = _salvage(database_path(folder))
    damaged_dir = folder / f"damaged-{max(damaged_numbers, default=0) + 1}"
    damage = OutboxDamaged(
        reason=reason,
        quarantined_as=damaged_dir.name,
        epoch_before=salvage.state.epoch if salvage.state else None,
        last_seq_before=salvage.state.last_seq if salvage.state else None,
        recovered=len(salvage.messages),
        unreadable=salvage.unreadable,
    )
    centre_known = salvage.state is not None and salvage.state.centre_known
    _build_new(folder, (make_receipt(damage), *salvage.messages), centre_known=centre_known)
    current.rename(damaged_dir)
    _activate_new(folder)
    for number in sorted([*damaged_numbers, int(damaged_dir.name.removeprefix("damaged-"))])[
        :-MAX_DAMAGED_COPIES
    ]:
        shutil.rmtree(folder / f"damaged-{number}", ignore_errors=True)
    return damaged_dir.name


def _salvage(file: Path) -> _Salvage:
    """Read the rows with a good checksum, from both ends: SQLite stops at the first page that it
    cannot read. Raises: sqlite3.Error if SQLite had no resources to read: such rows do not count as
    unreadable.
    """
    connection = schema.open_connection(file)
    try:
        state = _read_or_none(lambda: schema.read_state(connection))
        messages: dict[int, OutboxRow] = {}
        unreadable: set[object] = set()
        complete = False
        for order in ("ASC", "DESC"):
            if not complete:
                complete = _salvage_in_order(connection, order, messages, unreadable)
    finally:
        connection.close()
    return _Salvage(
        state=state,
        messages=tuple(messages[seq] for seq in sorted(messages)),
        unreadable=len(unreadable) if complete else None,
    )


def _salvage_in_order(
    connection: sqlite3.Connection,
    order: str,
    messages: dict[int, OutboxRow],
    unreadable: set[object],
) -> bool:
    """Read in one direction up to the first error. Return True if all rows were read."""
    try:
        for row in connection.execute(SELECT_MESSAGES + f"ORDER BY seq {order}"):
            try:
                message = schema.decode_row(row)
            except OutboxCorruptError:
                unreadable.add(row[0])
            else:
                messages[message.seq] = message
    except sqlite3.DatabaseError as error:
        if _is_transient(error):
            raise
        return False
    return True


def _read_or_none(read: Callable[[], OutboxState]) -> OutboxState | None:
    try:
        return read()
    except OutboxCorruptError:
        return None
    except sqlite3.DatabaseError as error:
        if _is_transient(error):
            raise
        return None


def _is_transient(error: sqlite3.DatabaseError) -> bool:
    """Return True if SQLite had no space, handle or lock: the file may be good then. To open a
    database with a WAL takes space for its index.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        return code not in _READ_ERROR_CODES
    return code & 0xFF in _TRANSIENT_CODES


def _build_new(folder: Path, messages: Iterable[OutboxRow], *, centre_known: bool) -> None:
    """Create `new`: a database under a new epoch with these messages, in their order."""
    building = folder / "building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    connection = schema.open_connection(building / "messages.db")
    try:
        schema.set_pragmas(connection)
        state = OutboxState(
            epoch=str(uuid.uuid4()), last_seq=0, session=0, centre_known=centre_known, lost=0
        )
        schema.create_tables(connection, state)
        store = Store(connection, NO_LIMIT, InFlightMessages())
        store.begin()
        for message in messages:
            store.add(message)
        store.commit()
    finally:
        # Closing the last connection writes the WAL into the database and syncs it.
        connection.close()
    fsync_dir(building)
    building.rename(folder / "new")
    fsync_dir(folder)


def _activate_new(folder: Path) -> None:
    """Rename `new` to `current`, which must not exist."""
    (folder / "new").rename(folder / "current")
    fsync_dir(folder)
