"""A new folder with files: all of them or none."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from agent.base import atomic_file
from agent.base.errors import UserError
from agent.provisioning.atomic_folder import NewFile


def check_new_folder(folder: Path) -> None:
    """Raise UserError if the folder cannot be made: there is something of that name, or no folder for it."""
    if not folder.parent.is_dir():
        raise UserError(f"{folder}: there is no folder {str(folder.parent)!r}")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: exists and is no folder; allowed: a new or an empty folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty; allowed: a new or an empty folder")


def create_folder(folder: Path, files: Mapping[str, NewFile]) -> None:
    """Create a folder that its owner alone may read, with these files.

    They are written to a temporary folder next to it, which is renamed: after a failure there is no folder.
    Raises: OSError, also if the folder is no longer new or empty.
    """
    temp_folder = Path(
        tempfile.mkdtemp(
            prefix=f".{folder.name}.", suffix=atomic_file.TEMP_SUFFIX, dir=folder.parent
        )
    )
    try:
        for name, file in files.items():
            atomic_file.create_durably(temp_folder / name, file.data, file.mode)
        atomic_file.fsync_dir(temp_folder)
        temp_folder.rename(folder)
    except BaseException:
        shutil.rmtree(temp_folder, ignore_errors=True)
        raise
    atomic_file.fsync_dir(folder.parent)
