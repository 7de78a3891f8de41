"""agent.base.atomic_file: a file is old or new, with the requested mode; leftovers of a cut do no harm."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.base import atomic_file


@pytest.fixture(params=[0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    mask: int = request.param
    before = os.umask(mask)
    yield mask
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666])
def test_the_file_mode_ignores_the_umask_unless_requested(
    tmp_path: Path, umask: int, mode: int
) -> None:
    atomic_file.create_durably(tmp_path / "exact", b"", mode)
    atomic_file.create_durably(tmp_path / "less", b"", mode, apply_umask=True)
    assert mode_of(tmp_path / "exact") == mode
    assert mode_of(tmp_path / "less") == mode & ~umask
    for by_umask, wanted in ((False, mode), (True, mode & ~umask)):
        atomic_file.replace_atomically(tmp_path / "file", b"", mode, apply_umask=by_umask)
        assert mode_of(tmp_path / "file") == wanted


def test_a_new_file_never_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    atomic_file.create_durably(path, b"first", 0o600)
    with pytest.raises(FileExistsError):
        atomic_file.create_durably(path, b"second", 0o600)
    assert path.read_bytes() == b"first"


def test_a_file_is_replaced_despite_a_leftover_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    path.write_bytes(b"old")
    (tmp_path / ".book.json.making").write_bytes(b"half of something that is long")
    atomic_file.replace_atomically(path, b"new", 0o644)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stays_if_the_new_one_cannot_be_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    path = tmp_path / "book.json"
    atomic_file.replace_atomically(path, b"old", 0o644)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="input/output"):
            atomic_file.replace_atomically(path, b"new", 0o644)
    assert path.read_bytes() == b"old"
    atomic_file.replace_atomically(path, b"new", 0o644)
    assert path.read_bytes() == b"new"


def test_a_missing_folder_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_file.replace_atomically(tmp_path / "away" / "book.json", b"", 0o644)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_same_length_is_written_in_place_and_any_other_is_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "grubenv"
    atomic_file.overwrite_in_place(path, b"one")
    number = path.stat().st_ino
    atomic_file.overwrite_in_place(path, b"two")
    assert (path.read_bytes(), path.stat().st_ino) == (b"two", number)
    atomic_file.overwrite_in_place(path, b"three")
    assert (path.read_bytes(), path.stat().st_ino == number) == (b"three", False)
    assert [file.name for file in tmp_path.iterdir()] == ["grubenv"]
