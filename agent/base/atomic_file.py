"""Durable file writes: a power cut leaves the old or the new content. All functions may raise OSError."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TEMP_SUFFIX = ".making"
"""Suffix of an incomplete file's name, which begins with a dot."""
_ABSENT_ATTRIBUTE = "user.vigie.absent"
_JOURNAL_WORKS = frozenset({errno.ENODATA, errno.ENOTSUP, errno.EPERM, errno.EACCES})
"""Answers to the removal of an attribute that no file has, where attributes are allowed or not."""


def temp_path_of(path: Path) -> Path:
    """Return the name of a file until it is whole: `.NAME.making`, next to its own."""
    return path.with_name(f".{path.name}{TEMP_SUFFIX}")


def make_dir(folder: Path, mode: int = 0o777) -> None:
    """Create a folder, and the missing ones above it, if it does not exist; its name is durable then.

    Nothing is synced otherwise: in the sandbox of a unit the folder above may be read-only.
    """
    if not folder.is_dir():
        # Another process may create it at the same time.
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
        fsync_dir(folder.parent)


def create_durably(path: Path, data: bytes, mode: int, *, apply_umask: bool = False) -> None:
    """Create a new file and sync its bytes; its name is durable once its folder is synced.

    Raises: FileExistsError if the file exists. The mode is exact, in spite of the umask, and the
    owner's alone until all is written. With `apply_umask` the umask applies, as in open(2).
    """
    initial_mode = mode if apply_umask else mode & 0o600
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, initial_mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        if not apply_umask:
            os.fchmod(fd, mode)
        sync(fd)


def replace_atomically(path: Path, data: bytes, mode: int, *, apply_umask: bool = False) -> None:
    """Write to `.NAME.making`, sync it, rename it, sync the folder.

    If it raises OSError the old file remains, or the new one if only the last sync failed. On ext4 a
    power cut leaves the old or the new file. For FAT see `replace_on_fat` and `overwrite_in_place`.
    """
    temp_path = temp_path_of(path)
    temp_path.unlink(missing_ok=True)
    create_durably(temp_path, data, mode, apply_umask=apply_umask)
    temp_path.replace(path)
    fsync_dir(path.parent)


@contextlib.contextmanager
def open_replacement(path: Path, mode: int) -> Iterator[BinaryIO]:
    """Open `.NAME.making` for a file too large for memory; it replaces `path` when the block ends well.

    Its bytes and its name are durable then. If the block raises, `path` is unchanged.
    """
    temp_path = temp_path_of(path)
    temp_path.unlink(missing_ok=True)
    try:
        fd = os.open(temp_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            sync(fd)
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
    """Replace a file on FAT as safely as it allows: a rename writes several sectors, without a journal."""
    with contextlib.ExitStack() as held_open:
        if path.exists():
            # While the old file is open, its clusters are not freed: its entry never names a free one.
            held_open.enter_context(path.open("rb"))
        replace_atomically(
            path, data, 0o644, apply_umask=True
        )  # FAT has no modes, and may refuse to set one
        # The reused entry names the new file only once that file's inode is written, and syncing the
        # folder does not write it.
        _fsync(path, os.O_RDONLY)


def overwrite_in_place(path: Path, data: bytes) -> None:
    """Overwrite a file on FAT in place if the length is the same; replace it otherwise.

    No folder entry and no allocation changes, and the difference lies within one sector: it is old or
    new as far as the medium writes a sector as a whole, which cards claim and cannot guarantee.
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
            raise OSError(f"{path}: only a part was written")
        sync(fd)
    finally:
        os.close(fd)


def fsync_dir(folder: Path) -> None:
    """Make the creations, renames and removals in a folder durable."""
    _fsync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        sync(fd)
    finally:
        os.close(fd)


def sync(fd: int) -> None:
    """Make a file, or the entries of a folder, durable."""
    os.fsync(fd)  # noqa: TID251 - the check follows
    check_journal(fd)


def sync_data(fd: int) -> None:
    """Make the bytes and the length of a file durable, and not its times."""
    os.fdatasync(fd)  # noqa: TID251 - the check follows
    check_journal(fd)


def check_journal(file: int | Path) -> None:
    """Raise OSError if the journal of the file system of an open file or of a path has been aborted.

    At the moment of the abort fdatasync(2) of ext4 may return 0 for a transaction that is never written: of 220 forced aborts
    on Linux 6.18 the last synced line was lost in 11. The removal of an attribute that does not exist fails from the abort on,
    because it begins a transaction, and changes nothing. A device and a file of FAT have no such attributes: nothing is checked. A folder that is read-only to this process alone (a mount of its own)
    gives the same error: only what the process has changed is to be checked.
    """
    try:
        os.removexattr(file, _ABSENT_ATTRIBUTE)
    except OSError as error:
        if error.errno not in _JOURNAL_WORKS:
            raise
