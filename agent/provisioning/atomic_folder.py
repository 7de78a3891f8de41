"""Replace several files of one folder atomically: after a power cut all are old or all are new.

The folder may be a mount point, so it cannot be exchanged as a whole. New files are staged in a subfolder and
flushed; then the commit list is renamed into place, which is the commit; then each file is renamed into place.
`recover` completes an interrupted commit.

    .provisioning/new/NAME       staged files
    .provisioning/commit.json    the files to install and to remove
"""

import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base import atomic_file
from agent.base.file_read import read_regular_file
from agent.base.json_decode import MalformedJson, decode_json

STAGING_DIR = ".provisioning"
_NEW_DIR = "new"
_LIST_FILE = "commit.json"
_MAX_LIST_BYTES = 65_536
_FileName = Annotated[str, msgspec.Meta(pattern=r"^\.?[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)")]


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file to install. Its bytes may be secret, so its repr hides them."""

    data: bytes
    mode: int = 0o640

    def __repr__(self) -> str:
        return f"NewFile(mode={self.mode:o})"


class _CommitList(msgspec.Struct, frozen=True, kw_only=True):
    install: tuple[_FileName, ...]
    remove: tuple[_FileName, ...]


def recover(folder: Path) -> bool:
    """Complete an interrupted commit, or drop its staged files; return True if files were installed.

    Raises: OSError.
    """
    staging = folder / STAGING_DIR
    try:
        commit_list = decode_json(
            read_regular_file(staging / _LIST_FILE, _MAX_LIST_BYTES), _CommitList
        )
    except PermissionError:
        raise
    except (OSError, MalformedJson):
        # The rename makes a list whole or missing; any other content is not ours.
        _remove_staging(folder)
        return False
    _apply_list(folder, commit_list)
    return True


def replace_files(folder: Path, files: Mapping[str, NewFile], remove: Collection[str]) -> None:
    """Install `files` and remove others. Raises: OSError; then all are old, or `recover` will install all."""
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
    """Apply the list; interrupted anywhere, it can be applied again."""
    staging = folder / STAGING_DIR
    for name in commit_list.install:
        # A missing staged file is in its place already.
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
