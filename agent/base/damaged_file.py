"""Damaged files of the box's own state: set aside by their owner, then reported by the agent.

    presets.json.unreadable    is damaged; the custody log has no receipt of it yet
    presets.json.damaged       has its receipt; the newest one of a name is kept

State files are read before the custody log is open, and by other programs of the box too. The first name
is the list of what is to be reported: a power cut does not lose it.
"""

import contextlib
import logging
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

log = logging.getLogger(__name__)

UNREADABLE_SUFFIX = ".unreadable"
DAMAGED_SUFFIX = ".damaged"


def is_set_aside(name: str) -> bool:
    """Return True for the name of a file that was set aside."""
    return name.endswith((UNREADABLE_SUFFIX, DAMAGED_SUFFIX))


def set_aside(path: Path, reason: object) -> None:
    """Rename a damaged file, or whatever is in its place. If the disk refuses, it stays."""
    target = unreported_path(path)
    try:
        _replace(path, target)
    except OSError as error:
        log.error("%s: %s; cannot be renamed: %s", path, reason, error)
    else:
        log.error("%s: %s; set aside as %s", path, reason, target.name)


def unreported_path(path: Path) -> Path:
    """Return the path of a file that was set aside and has no receipt yet."""
    return path.with_name(path.name + UNREADABLE_SUFFIX)


def is_unreported(path: Path) -> bool:
    """Return True if a file of this path was set aside and has no receipt yet."""
    return os.path.lexists(unreported_path(path))


def clear_folder_place(path: Path) -> None:
    """Set aside what is in the place of a folder. A link to a disk that is away stays."""
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, PermissionError):
        return
    except OSError as error:
        set_aside(path, error)
        return
    if not is_folder:
        set_aside(path, "is no folder")


def find_unreported(folder: Path, skipped_folders: Collection[str] = ()) -> Iterator[Path]:
    """Yield what was set aside below a folder and not reported, except in `skipped_folders` of it."""
    for parent, folders, files in os.walk(folder):
        yield from (
            Path(parent, name)
            for name in sorted((*folders, *files))
            if name.endswith(UNREADABLE_SUFFIX)
        )
        at_top = Path(parent) == folder
        folders[:] = [
            name
            for name in folders
            if not is_set_aside(name) and not (at_top and name in skipped_folders)
        ]


def original_name(unreported: Path) -> str:
    """Return the name that a file had before it was set aside."""
    return unreported.name.removesuffix(UNREADABLE_SUFFIX)


def damaged_path(unreported: Path) -> Path:
    """Return the path that a file has once it is reported."""
    return unreported.with_name(original_name(unreported) + DAMAGED_SUFFIX)


def mark_reported(unreported: Path) -> None:
    """Rename a file that is reported. Raises: OSError."""
    _replace(unreported, damaged_path(unreported))


def _replace(path: Path, target: Path) -> None:
    """Rename in place of whatever has the name: rename(2) replaces no folder by a file."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
    path.rename(target)
