"""Tell a damaged SQLite database from one that cannot be used now."""

import sqlite3

_DAMAGE_CODES = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_MISMATCH,
)
"""SQLITE_ERROR is returned for a table or column that is missing."""


def is_damage(error: Exception) -> bool:
    """Return True if the file is not what SQLite wrote. A full disk or a lock is no damage.

    `sqlite_errorcode` is the extended code, such as SQLITE_CORRUPT_INDEX; its low byte is the
    primary one.
    """
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGE_CODES
