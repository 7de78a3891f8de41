"""The target of a flash: a disk or a file, read back from the medium and not from memory."""

import errno
import mmap
import os
import stat
from pathlib import Path
from typing import Self

import msgspec

from agent.base.errors import UserError


class FileId(msgspec.Struct, frozen=True, kw_only=True):
    """Identity of a file, to notice that it was replaced by another one of its name."""

    file_type: int
    device: int
    inode: int
    size_bytes: int
    ctime_ns: int
    """Needed in addition to the inode, whose number is reused once its file is deleted."""

    @classmethod
    def from_stat(cls, status: os.stat_result) -> "FileId":
        """Return the identity of a file."""
        return cls(
            file_type=stat.S_IFMT(status.st_mode),
            device=status.st_dev,
            inode=status.st_ino,
            size_bytes=status.st_size,
            ctime_ns=status.st_ctime_ns,
        )


class WriteTarget:
    """An open disk or file. A disk cannot be mounted as long as it is open.

    Reads bypass the page cache (O_DIRECT), which would return what was just written, not what the
    medium holds. On a file system without O_DIRECT, such as tmpfs, the pages are dropped first.
    """

    def __init__(self, path: Path, fd: int, size_bytes: int) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._fd = fd
        self._read_fd, self._is_direct = _open_reader(fd)

    @classmethod
    def open_disk(cls, path: Path) -> "WriteTarget":
        """Open a disk exclusively. Raises: UserError if it is in use or not writable, or OSError."""
        try:
            # O_EXCL on a block device: the kernel refuses one that is in use, however it is used.
            fd = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
        except PermissionError as error:
            raise UserError(f"{path}: no permission to write; allowed: as root") from error
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise UserError(
                    f"{path}: in use, says the kernel; allowed: after it is unmounted"
                ) from error
            raise
        return cls(path, fd, os.lseek(fd, 0, os.SEEK_END))

    @classmethod
    def open_file(
        cls, path: Path, size_bytes: int, *, expected: FileId | None, even_if_not_empty: bool
    ) -> "WriteTarget":
        """Open a file: a new one if none is `expected`, else an empty or sparse one.

        It is extended to `size_bytes`, and readable by its owner only.
        Raises: UserError, or OSError if it cannot be extended; its content is untouched then.
        """
        # A new file must not exist yet, and a file that has disappeared is not created again.
        create_flags = os.O_CREAT | os.O_EXCL if expected is None else 0
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | create_flags, 0o600)
        except FileExistsError as error:
            raise UserError(_changed_file_message(path)) from error
        try:
            status = os.fstat(fd)
            _check_file(path, status, expected, even_if_not_empty=even_if_not_empty)
            size_bytes = max(status.st_size, size_bytes)
            # Before a secret is written: a file made by truncate(1) is readable by everyone.
            os.fchmod(fd, 0o600)
            # Extended before it is emptied: if the size is not possible, its content is kept.
            os.truncate(fd, size_bytes)
            os.truncate(fd, 0)
            os.truncate(fd, size_bytes)
        except BaseException:
            os.close(fd)
            if expected is None:
                path.unlink(missing_ok=True)
            raise
        return cls(path, fd, size_bytes)

    def fstat(self) -> os.stat_result:
        """Return the status of the open file, wherever its path leads now. Raises: OSError."""
        return os.fstat(self._fd)

    def write(self, offset: int, data: bytes) -> None:
        """Write all of `data`. Raises: OSError."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            view, offset = view[written:], offset + written

    def sync(self) -> None:
        """Flush everything to the medium. Raises: OSError."""
        os.fsync(self._fd)  # noqa: TID251 - a device has no journal

    def read(self, offset: int, size: int) -> bytes:
        """Return what the medium holds at `offset`, a multiple of the page size. Raises: OSError."""
        if not self._is_direct:
            # Everything is on the disk since the last sync, so the next read comes from there.
            os.posix_fadvise(self._read_fd, 0, 0, os.POSIX_FADV_DONTNEED)
            return os.pread(self._read_fd, size, offset)
        # O_DIRECT needs whole pages, and page-aligned memory.
        pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        with mmap.mmap(-1, pages) as buffer:
            count = os.preadv(self._read_fd, [buffer], offset)
            return buffer[: min(count, size)]

    def close(self) -> None:
        """Close the target."""
        os.close(self._read_fd)
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _changed_file_message(path: Path) -> str:
    return f"{path}: is no longer the file that was checked; nothing was written"


def _check_file(
    path: Path, status: os.stat_result, expected: FileId | None, *, even_if_not_empty: bool
) -> None:
    if expected is not None and FileId.from_stat(status) != expected:
        raise UserError(_changed_file_message(path))
    if status.st_blocks and not even_if_not_empty:
        raise UserError(
            f"{path}: is not empty; allowed: a new file, an empty or sparse one, or "
            "--even-if-not-empty"
        )


def _open_reader(fd: int) -> tuple[int, bool]:
    """Open the file again for reading. Return the descriptor, and whether it is O_DIRECT."""
    fd_path = f"/proc/self/fd/{fd}"
    try:
        return os.open(fd_path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC), True
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return os.open(fd_path, os.O_RDONLY | os.O_CLOEXEC), False
