"""Damaged files of the box's own state: set aside by their owner, then reported by the agent.

    presets.json.unreadable    is damaged; the custody log has no receipt of it yet. If the file is missing: a note
    presets.json.damaged       has its receipt; the newest one of a name is kept

State files are read before the custody log is open, and by other programs of the box too. The first name
is the list of what is to be reported: a power cut does not lose it.
"""

import contextlib
import logging
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from agent.base.atomic_file import replace_atomically
from agent.base.file_read import read_regular_file

log = logging.getLogger(__name__)

UNREADABLE_SUFFIX = ".unreadable"
DAMAGED_SUFFIX = ".damaged"
MAX_LOST_FILES = 16
"""Up to this number of missing files of a folder are reported one by one; more of them as one loss."""
_NOTE_PREFIX = b"lost: "
_MAX_NOTE_BYTES = 512


def is_set_aside(name: str) -> bool:
    """Return True for the name of a file that was set aside."""
    return name.endswith((UNREADABLE_SUFFIX, DAMAGED_SUFFIX))


def set_aside(path: Path, reason: object) -> None:
    """Rename a damaged file, or whatever is in its place; note the loss of a missing one. If the disk refuses, it stays."""
    target = unreported_path(path)
    try:
        if not os.path.lexists(path):
            _write_note(path, str(reason))
            return
        _replace(path, target)
    except OSError as error:
        log.error("%s: %s; cannot be renamed: %s", path, reason, error)
    else:
        log.error("%s: %s; set aside as %s", path, reason, target.name)


def note_lost(paths: Iterable[Path], reason: str) -> None:
    """Leave a note for each missing file, which is reported like a damaged file. Raises OSError."""
    by_folder: dict[Path, list[Path]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, []).append(path)
    for folder, lost in by_folder.items():
        if len(lost) > MAX_LOST_FILES:
            _write_note(folder, f"{len(lost)} files in it: {reason}")
            continue
        for path in lost:
            _write_note(path, reason)


def _write_note(path: Path, reason: str) -> None:
    log.error("%s: %s", path, reason)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = unreported_path(path)
    if not os.path.lexists(target):
        replace_atomically(target, _NOTE_PREFIX + reason.encode() + b"\n", 0o600)


def read_note(unreported: Path) -> str | None:
    """Return why a file is lost, or None if it was damaged and is set aside itself."""
    try:
        note = read_regular_file(unreported, _MAX_NOTE_BYTES)
    except OSError:
        return None
    if not note.startswith(_NOTE_PREFIX):
        return None
    return note.removeprefix(_NOTE_PREFIX).decode(errors="replace").strip()


def unreported_path(path: Path) -> Path:
    """Return the path of a file that was set aside and has no receipt yet."""
    return path.with_name(path.name + UNREADABLE_SUFFIX)


def is_unreported(path: Path) -> bool:
    """Return True if a file of this path was set aside and has no receipt yet."""
    return os.path.lexists(unreported_path(path))


def is_lost(path: Path) -> bool:
    """Return True if a file is missing that was set aside once, or whose loss was noted."""
    asides = (unreported_path(path), damaged_path(unreported_path(path)))
    return not os.path.lexists(path) and any(map(os.path.lexists, asides))


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


def clear_closed_folder(path: Path) -> None:
    """Set aside a folder of another user that this process may not use."""
    try:
        is_foreign = path.stat().st_uid != os.geteuid()
    except OSError:
        return
    if is_foreign and not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        set_aside(path, "is another user's, and closed to this one")


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
