"""Files that a power cut leaves old or new, as far as the file system goes. All may raise OSError."""

import os
from pathlib import Path


def write_new(path: Path, data: bytes, mode: int, *, by_umask: bool = False) -> None:
    """Make a file that is not there yet, and flush it: its bytes stay, and its name once its folder
    is flushed. Raises FileExistsError.

    The mode is as it is given, whatever the umask, and until all is written it is the owner's alone.
    With `by_umask` the umask is taken off, as open(2) does.
    """
    first = mode if by_umask else mode & 0o600
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, first)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        if not by_umask:
            os.fchmod(handle, mode)
        os.fsync(handle)


def replace(path: Path, data: bytes, mode: int, *, by_umask: bool = False) -> None:
    """Write aside as `.NAME.making`, flush, rename, flush the folder. Where it raises OSError the old
    file stands, or, if it was the last flush that failed, the new one.

    On ext4 this is old or new. On FAT the rename itself is several sectors: see `overwrite`.
    """
    making = path.with_name(f".{path.name}.making")
    making.unlink(missing_ok=True)
    write_new(making, data, mode, by_umask=by_umask)
    making.replace(path)
    sync_folder(path.parent)


def overwrite(path: Path, data: bytes) -> None:
    """The same for FAT: over the old bytes, where there are as many of them.

    No entry of the folder and no allocation changes, and what differs lies within one sector: it is old
    or new as far as the medium writes a sector whole, which cards say of themselves and nobody can
    promise. A file of another length is replaced, which FAT has no journal for; it happens once.
    """
    try:
        fits = path.stat().st_size == len(data)
    except FileNotFoundError:
        fits = False
    if not fits:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, data, 0o644, by_umask=True)  # FAT has no modes, and may refuse to set one
        # The entry that was taken over points to the new file only once that file's inode is written.
        _flush(path, os.O_RDONLY)
        return
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if os.pwrite(handle, data, 0) != len(data):
            raise OSError(f"{path}: written in part only")
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """What was made, renamed or removed in it stays so."""
    _flush(folder, os.O_RDONLY | os.O_DIRECTORY)


def _flush(path: Path, flags: int) -> None:
    handle = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
