"""Files that a power cut leaves old or new, as far as the file system goes."""

import contextlib
import os
from pathlib import Path


def replace(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write aside, flush, rename, flush the folder. Raises OSError, and the old file stands then. The
    mode is as it is given, whatever the umask.

    On ext4 this is old or new. On FAT the rename itself is several sectors: see `overwrite`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_name(f".{path.name}.making")
    making.unlink(missing_ok=True)
    handle = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        with contextlib.suppress(PermissionError):  # FAT has no modes
            os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)
    sync_folder(path.parent)


def overwrite(path: Path, data: bytes) -> None:
    """The same for FAT: over the old bytes, where there are as many of them. Raises OSError.

    No entry of the folder and no allocation changes, and what differs lies within one sector: it is old
    or new as far as the medium writes a sector whole, which cards say of themselves and nobody can
    promise. A file of another length is replaced, which FAT has no journal for; it happens once.
    """
    try:
        fits = path.stat().st_size == len(data)
    except FileNotFoundError:
        fits = False
    if not fits:
        replace(path, data)
        return
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if os.pwrite(handle, data, 0) != len(data):
            raise OSError(f"{path}: written in part only")
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """What was renamed in it stays renamed."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
