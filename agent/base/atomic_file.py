"""Files that a power cut leaves old or new, as far as the file system goes. All may raise OSError."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TEMP_SUFFIX = ".making"
"""How the name of a file ends that is not whole yet; it begins with a dot."""


def create_durably(path: Path, data: bytes, mode: int, *, apply_umask: bool = False) -> None:
    """Make a file that is not there yet, and flush it: its bytes stay, and its name once its folder
    is flushed. Raises FileExistsError.

    The mode is as it is given, whatever the umask, and until all is written it is the owner's alone.
    With `by_umask` the umask is taken off, as open(2) does.
    """
    initial_mode = mode if apply_umask else mode & 0o600
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, initial_mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        if not apply_umask:
            os.fchmod(fd, mode)
        os.fsync(fd)


def replace_atomically(path: Path, data: bytes, mode: int, *, apply_umask: bool = False) -> None:
    """Write aside as `.NAME.making`, flush, rename, flush the folder. Where it raises OSError the old
    file stands, or, if it was the last flush that failed, the new one.

    On ext4 this is old or new. On FAT: see `replace_on_fat` and `overwrite`.
    """
    temp_path = path.with_name(f".{path.name}{TEMP_SUFFIX}")
    temp_path.unlink(missing_ok=True)
    create_durably(temp_path, data, mode, apply_umask=apply_umask)
    temp_path.replace(path)
    fsync_dir(path.parent)


@contextlib.contextmanager
def open_replacement(path: Path, mode: int) -> Iterator[BinaryIO]:
    """Open `.NAME.making` for a file too large for memory; it replaces `path` when the block ends well.

    Its bytes and its name are durable then. If the block raises, `path` is unchanged.
    """
    temp_path = path.with_name(f".{path.name}{TEMP_SUFFIX}")
    temp_path.unlink(missing_ok=True)
    try:
        fd = os.open(temp_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(fd)
        temp_path.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temp_path.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def write_all(fd: int, data: bytes | bytearray) -> None:
    """Write all bytes to a descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def replace_on_fat(path: Path, data: bytes) -> None:
    """The same for FAT, as far as it goes: the rename is several sectors there, and FAT has no journal."""
    with contextlib.ExitStack() as held_open:
        if path.exists():
            # While it is open, none of its clusters is freed: what FAT names is then never a free one.
            held_open.enter_context(path.open("rb"))
        replace_atomically(
            path, data, 0o644, apply_umask=True
        )  # FAT has no modes, and may refuse to set one
        # The entry that was taken over points to the new file only once that file's inode is written,
        # and writing the folder does not write it.
        _fsync(path, os.O_RDONLY)


def overwrite_in_place(path: Path, data: bytes) -> None:
    """On FAT again: over the old bytes, where there are as many of them.

    No entry of the folder and no allocation changes, and what differs lies within one sector: it is old
    or new as far as the medium writes a sector whole, which cards say of themselves and nobody can
    promise. A file of another length is replaced; it happens once.
    """
    try:
        is_same_size = path.stat().st_size == len(data)
    except FileNotFoundError:
        is_same_size = False
    if not is_same_size:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_on_fat(path, data)
        return
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if os.pwrite(fd, data, 0) != len(data):
            raise OSError(f"{path}: written in part only")
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_dir(folder: Path) -> None:
    """What was made, renamed or removed in it stays so."""
    _fsync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
