"""Several files of one folder, replaced as one: whenever the power goes, all are old or all are new.

The folder may be a mount of its own, so it cannot be exchanged as a whole. What is new is laid out in a
folder inside it, and made durable; then a list of it gets its name, which is the moment when the new
files count; then each is renamed to its place. Who finds the list there goes on with it.

    .provisioning/new/NAME   a file that is to be
    .provisioning/commit.json the files to put and to remove; its name is the decision
"""

import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.base import atomic_file

STAGING_DIR = ".provisioning"
_NEW_DIR = "new"
_LIST_FILE = "commit.json"


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to be. Its bytes may be secret: it shows none."""

    data: bytes
    mode: int = 0o640

    def __repr__(self) -> str:
        return f"NewFile(mode={self.mode:o})"


class _CommitList(msgspec.Struct, frozen=True, kw_only=True):
    install: tuple[str, ...]
    remove: tuple[str, ...]


def recover(folder: Path) -> bool:
    """Go on with what a cut has left: put it in place where it was decided, else drop it. Whether
    something was put. Raises OSError.
    """
    staging = folder / STAGING_DIR
    try:
        commit_list = msgspec.json.decode((staging / _LIST_FILE).read_bytes(), type=_CommitList)
    except (FileNotFoundError, msgspec.DecodeError):
        # A list is whole or not there; another one is nobody's.
        _remove_staging(folder)
        return False
    _apply_list(folder, commit_list)
    return True


def replace_files(folder: Path, files: Mapping[str, NewFile], remove: Collection[str]) -> None:
    """Put these files, and remove those. Raises OSError, and then all are as they were, or will be
    new when `recover` is called.
    """
    recover(folder)
    staging = folder / STAGING_DIR
    staging.mkdir(mode=0o700)
    (staging / _NEW_DIR).mkdir(mode=0o700)
    for name, file in files.items():
        atomic_file.create_durably(staging / _NEW_DIR / name, file.data, file.mode)
    atomic_file.fsync_dir(staging / _NEW_DIR)
    commit_list = _CommitList(
        install=tuple(sorted(files)), remove=tuple(sorted(set(remove) - files.keys()))
    )
    temp_path = staging / f"{_LIST_FILE}.making"
    atomic_file.create_durably(temp_path, msgspec.json.encode(commit_list), 0o640)
    temp_path.rename(staging / _LIST_FILE)
    atomic_file.fsync_dir(staging)
    atomic_file.fsync_dir(folder)
    _apply_list(folder, commit_list)


def _apply_list(folder: Path, commit_list: _CommitList) -> None:
    """May be cut anywhere and done again."""
    staging = folder / STAGING_DIR
    for name in commit_list.install:
        # One that is not there any more has its place already.
        with suppress(FileNotFoundError):
            (staging / _NEW_DIR / name).rename(folder / name)
    for name in commit_list.remove:
        (folder / name).unlink(missing_ok=True)
    atomic_file.fsync_dir(folder)
    (staging / _LIST_FILE).unlink()
    atomic_file.fsync_dir(staging)
    _remove_staging(folder)


def _remove_staging(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder / STAGING_DIR)
        atomic_file.fsync_dir(folder)
