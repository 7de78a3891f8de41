"""agent.base.sqlite_damage: one kind of error for each kind of damage."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.base.sqlite_damage import CheckedConnection, is_damage, is_read_error, is_transient


def test_each_flipped_bit_of_a_schema_is_an_error_of_sqlite(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE message (seq INTEGER PRIMARY KEY, data TEXT)")
        db.execute("CREATE TABLE state (one INTEGER PRIMARY KEY)")
    data = file.read_bytes()
    begin = data.index(b"CREATE TABLE state")
    failed = 0
    for bit in range(8 * (begin - 40), 8 * (begin + 200)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with closing(sqlite3.connect(file, factory=CheckedConnection)) as db:
            try:
                db.execute("SELECT data FROM message").fetchall()
                db.executescript("SELECT one FROM state")
            except sqlite3.Error as error:
                failed += is_damage(error)
    assert failed > 100


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_CORRUPT_INDEX, is_damage),
        (sqlite3.SQLITE_NOTADB, is_damage),
        (sqlite3.SQLITE_IOERR_READ, is_read_error),
        (sqlite3.SQLITE_IOERR_SHORT_READ, is_read_error),
        (sqlite3.SQLITE_IOERR_WRITE, is_transient),
        (sqlite3.SQLITE_FULL, is_transient),
        (sqlite3.SQLITE_CANTOPEN, is_transient),
    ],
)
def test_an_error_is_of_one_kind(code: int, kind: object) -> None:
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    kinds = (is_damage, is_read_error, is_transient)
    assert [each for each in kinds if each(error)] == [kind]
    assert not any(each(OSError("x")) for each in kinds)
