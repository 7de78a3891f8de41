"""Several files of one folder, replaced as one: whenever the power goes, all are old or all are new.

The folder may be a mount of its own, so it cannot be exchanged as a whole. What is new is laid out in a
folder inside it, and made durable; then a list of it gets its name, which is the moment when the new
files count; then each is renamed to its place. Who finds the list there goes on with it.

    .provisioning/new/NAME   a file that is to be
    .provisioning/list       the files to put and to remove; its name is the decision
"""

import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.base import atomic_file

INSIDE = ".provisioning"
_NEW = "new"
_LIST = "list"


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to be. Its bytes may be secret: it shows none."""

    data: bytes
    mode: int = 0o640

    def __repr__(self) -> str:
        return f"NewFile(mode={self.mode:o})"


class _List(msgspec.Struct, frozen=True, kw_only=True):
    put: tuple[str, ...]
    remove: tuple[str, ...]


def recover(folder: Path) -> bool:
    """Go on with what a cut has left: put it in place where it was decided, else drop it. Whether
    something was put. Raises OSError.
    """
    inside = folder / INSIDE
    try:
        decided = msgspec.json.decode((inside / _LIST).read_bytes(), type=_List)
    except (FileNotFoundError, msgspec.DecodeError):
        # A list is whole or not there; another one is nobody's.
        _drop(folder)
        return False
    _put(folder, decided)
    return True


def replace(folder: Path, files: Mapping[str, NewFile], remove: Collection[str]) -> None:
    """Put these files, and remove those. Raises OSError, and then all are as they were, or will be
    new when `recover` is called.
    """
    recover(folder)
    inside = folder / INSIDE
    inside.mkdir(mode=0o700)
    (inside / _NEW).mkdir(mode=0o700)
    for name, file in files.items():
        atomic_file.create_durably(inside / _NEW / name, file.data, file.mode)
    atomic_file.fsync_dir(inside / _NEW)
    decided = _List(put=tuple(sorted(files)), remove=tuple(sorted(set(remove) - files.keys())))
    making = inside / f"{_LIST}.making"
    atomic_file.create_durably(making, msgspec.json.encode(decided), 0o640)
    making.rename(inside / _LIST)
    atomic_file.fsync_dir(inside)
    atomic_file.fsync_dir(folder)
    _put(folder, decided)


def _put(folder: Path, decided: _List) -> None:
    """May be cut anywhere and done again."""
    inside = folder / INSIDE
    for name in decided.put:
        # One that is not there any more has its place already.
        with suppress(FileNotFoundError):
            (inside / _NEW / name).rename(folder / name)
    for name in decided.remove:
        (folder / name).unlink(missing_ok=True)
    atomic_file.fsync_dir(folder)
    (inside / _LIST).unlink()
    atomic_file.fsync_dir(inside)
    _drop(folder)


def _drop(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder / INSIDE)
        atomic_file.fsync_dir(folder)
