"""Tell a damaged SQLite database from one that cannot be used now."""

import sqlite3
from typing import Any

_DAMAGE_CODES = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_MISMATCH,
)
"""SQLITE_ERROR is returned for a table or column that is missing."""
_READ_ERROR_CODES = (
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
    sqlite3.SQLITE_IOERR_DATA,
)
_RESOURCE_CODES = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)


def is_damage(error: Exception) -> bool:
    """Return True if the file is not what SQLite wrote. A full disk or a lock is no damage.

    `sqlite_errorcode` is the extended code, such as SQLITE_CORRUPT_INDEX; its low byte is the
    primary one.
    """
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGE_CODES


def is_read_error(error: Exception) -> bool:
    """Return True if the disk returned an error for a part of the file, such as a bad sector."""
    return getattr(error, "sqlite_errorcode", None) in _READ_ERROR_CODES


def is_transient(error: Exception) -> bool:
    """Return True if SQLite had no space, handle or lock: the file may be good then.

    To open a database with a WAL takes space for its index.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or is_read_error(error):
        return False
    return code & 0xFF == sqlite3.SQLITE_IOERR or code & 0xFF in _RESOURCE_CODES


class CheckedConnection(sqlite3.Connection):
    """A connection with one kind of error for damage: `sqlite3.connect(..., factory=CheckedConnection)`.

    SQLite quotes a damaged schema in its message, and Python's module fails to decode that as UTF-8: a
    UnicodeDecodeError would escape from each handler of sqlite3.Error.
    """

    def execute(self, *args: Any) -> sqlite3.Cursor:
        """Execute a statement. Raises: sqlite3.Error."""
        try:
            return super().execute(*args)
        except UnicodeDecodeError as error:
            raise _schema_error(error) from error

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        """Execute statements. Raises: sqlite3.Error."""
        try:
            return super().executescript(sql_script)
        except UnicodeDecodeError as error:
            raise _schema_error(error) from error


def _schema_error(cause: UnicodeDecodeError) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(f"malformed database schema: {cause.reason}")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
