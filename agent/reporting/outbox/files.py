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
import os
import re
import shutil
import sqlite3
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

import msgspec

from agent.base.atomic_file import fsync_dir
from agent.base.damaged_file import set_aside
from agent.base.errors import UserError
from agent.base.file_read import is_regular_or_absent
from agent.reporting.outbox import schema
from agent.reporting.outbox.in_flight import InFlightMessages
from agent.reporting.outbox.salvage import NOTHING_SALVAGED, needs_salvage, salvage
from agent.reporting.outbox.schema import CentreRow, OutboxCorruptError, OutboxRow, OutboxState
from agent.reporting.outbox.store import Store
from agent.reporting.payloads import OutboxDamaged, OutboxMessageType, SeqRange
from agent.reporting.seq_ranges import find_range, merge_ranges

MAX_DAMAGED_COPIES = 3
NO_LIMIT = sys.maxsize
_DAMAGED_DIR_NAME = re.compile(r"damaged-(\d+)")


def lock_dir(folder: Path) -> IO[bytes]:
    """Create the folder and lock it until the file is closed or the process ends.

    Raises: UserError if another process holds the lock, OSError if the folder cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock_path = folder / "lock"
    if not is_regular_or_absent(lock_path):
        set_aside(lock_path, "is not a regular file")
    lock_file = lock_path.open("wb")
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
    if not os.path.lexists(current):
        if not new.exists():
            _build_new(folder, (), {}, ())
        _activate_new(folder)
    shutil.rmtree(new, ignore_errors=True)
    if not is_regular_or_absent(database_path(folder)):
        return "it is not a regular file"
    connection = schema.open_connection(database_path(folder))
    try:
        schema.set_pragmas(connection)
        schema.check_integrity(connection)
    except OutboxCorruptError as error:
        return str(error)
    except sqlite3.DatabaseError as error:
        if not needs_salvage(error):
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
    if new.exists() and not os.path.lexists(current):
        # An earlier call has failed after that.
        _activate_new(folder)
        return f"damaged-{max(damaged_numbers, default=0)}"
    shutil.rmtree(new, ignore_errors=True)
    file = database_path(folder)
    salvaged = salvage(file) if is_regular_or_absent(file) else NOTHING_SALVAGED
    damaged_dir = folder / f"damaged-{max(damaged_numbers, default=0) + 1}"
    damage = OutboxDamaged(
        reason=reason,
        quarantined_as=damaged_dir.name,
        epoch_before=salvaged.state.epoch if salvaged.state else None,
        last_seq_before=salvaged.state.last_seq if salvaged.state else None,
        recovered=len(salvaged.messages),
        unreadable=salvaged.unreadable,
    )
    # The receipt comes last: a centre that has acknowledged all messages counts from the floor in the birth.
    messages = (*salvaged.messages, make_receipt(damage))
    centres = tuple(_renumber(centre, messages) for centre in salvaged.centres)
    _build_new(folder, messages, salvaged.losses, centres)
    current.rename(damaged_dir)
    _activate_new(folder)
    for number in sorted([*damaged_numbers, int(damaged_dir.name.removeprefix("damaged-"))])[
        :-MAX_DAMAGED_COPIES
    ]:
        shutil.rmtree(folder / f"damaged-{number}", ignore_errors=True)
    return damaged_dir.name


def _renumber(centre: CentreRow, messages: Sequence[OutboxRow]) -> CentreRow:
    """Return what a centre has acknowledged of these messages, by their new numbers, which count from 1."""
    acked = merge_ranges(
        SeqRange(number, number)
        for number, message in enumerate(messages, 1)
        if find_range(centre.acked, message.seq)
    )
    return msgspec.structs.replace(centre, acked=acked)


def _build_new(
    folder: Path,
    messages: Iterable[OutboxRow],
    losses: Mapping[str, int],
    centres: Iterable[CentreRow],
) -> None:
    """Create `new`: a database under a new epoch with these messages, in their order.

    `losses` counts earlier losses by type, for the next receipt of losses. `centres` have the new numbers.
    """
    building = folder / "building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    connection = schema.open_connection(building / "messages.db")
    try:
        schema.set_pragmas(connection)
        state = OutboxState(epoch=str(uuid.uuid4()), last_seq=0, session=0, lost=0)
        schema.create_tables(connection, state)
        store = Store(connection, NO_LIMIT, InFlightMessages())
        store.begin()
        store.write_centres(centres)
        for message in messages:
            store.add(message)
        for message_type, count in losses.items():
            store.count_refused(cast("OutboxMessageType", message_type), count)
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
