"""What is written to: a disk or a file. What is read comes from the medium and not from memory."""

import errno
import mmap
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from agent.base.errors import UserError


class FileId(msgspec.Struct, frozen=True, kw_only=True):
    """What tells a file from another one of its name."""

    file_type: int
    device: int
    inode: int
    size_bytes: int
    ctime_ns: int
    """A number is given anew as soon as its file has gone; this tells."""

    @classmethod
    def from_stat(cls, status: os.stat_result) -> "FileId":
        """Of a file as it is now."""
        return cls(
            file_type=stat.S_IFMT(status.st_mode),
            device=status.st_dev,
            inode=status.st_ino,
            size_bytes=status.st_size,
            ctime_ns=status.st_ctime_ns,
        )


class WriteTarget:
    """An open disk or file. As long as it is open, nobody can mount the disk.

    Reading passes by the page cache (O_DIRECT), which would else give back what was just written,
    whatever the medium made of it. Where a file system has no such reading, as that of a file in
    memory, its pages are dropped before.
    """

    def __init__(self, path: Path, fd: int, size_bytes: int) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._fd = fd
        self._read_fd, self._is_direct = _open_reader(fd)

    @classmethod
    def open_disk(cls, path: Path) -> "WriteTarget":
        """A disk, ours alone. Raises UserError where others have it, and OSError."""
        try:
            # Exclusive, for a block device: the kernel refuses whatever is in use, known to us or not.
            fd = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
        except PermissionError as error:
            raise UserError(f"{path}: no right to write to it; allowed: as root") from error
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise UserError(f"{path}: the kernel says that it is in use") from error
            raise
        return cls(path, fd, os.lseek(fd, 0, os.SEEK_END))

    @classmethod
    def open_file(
        cls, path: Path, size_bytes: int, *, expected: FileId | None, even_if_not_empty: bool
    ) -> "WriteTarget":
        """A file: a new one where none was `judged`, or one that nothing was written to. It becomes
        as large as the image where it is smaller, and its owner's alone. Raises UserError, OSError.
        """
        # A new one has to be new, and none is made in the place of one that has gone.
        create_flags = os.O_CREAT | os.O_EXCL if expected is None else 0
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | create_flags, 0o600)
        except FileExistsError as error:
            raise UserError(_changed_file_message(path)) from error
        try:
            status = os.fstat(fd)
            _check_file(path, status, expected, even_if_not_empty=even_if_not_empty)
            size_bytes = max(status.st_size, size_bytes)
            # Before there is a secret in it; whoever made it with truncate has let everybody read it.
            os.fchmod(fd, 0o600)
            os.truncate(fd, 0)
            os.truncate(fd, size_bytes)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd, size_bytes)

    def fstat(self) -> os.stat_result:
        """Of what is open, whatever its path leads to by now. Raises OSError."""
        return os.fstat(self._fd)

    def write(self, offset: int, data: bytes) -> None:
        """Write all of it. Raises OSError."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            view, offset = view[written:], offset + written

    def sync(self) -> None:
        """Return when all is on the medium, as far as it says so. Raises OSError."""
        os.fsync(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        """What the medium holds there; `offset` is one of whole pages. Raises OSError."""
        if not self._is_direct:
            # The next read comes from the disk: what is written to it is on it since the last sync.
            os.posix_fadvise(self._read_fd, 0, 0, os.POSIX_FADV_DONTNEED)
            return os.pread(self._read_fd, size, offset)
        # O_DIRECT wants whole pages, and memory that begins with one.
        pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        with mmap.mmap(-1, pages) as buffer:
            count = os.preadv(self._read_fd, [buffer], offset)
            return buffer[: min(count, size)]

    def close(self) -> None:
        """Let go of it."""
        os.close(self._read_fd)
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _changed_file_message(path: Path) -> str:
    return f"{path}: is another file than a moment ago; nothing was written"


def _check_file(
    path: Path, status: os.stat_result, expected: FileId | None, *, even_if_not_empty: bool
) -> None:
    if expected is not None and FileId.from_stat(status) != expected:
        raise UserError(_changed_file_message(path))
    if status.st_blocks and not even_if_not_empty:
        raise UserError(
            f"{path}: is not empty; allowed: a new file, one of holes as truncate makes it, or "
            "--even-if-not-empty"
        )


def _open_reader(fd: int) -> tuple[int, bool]:
    """The same once more, for reading, and whether it passes by the page cache."""
    fd_path = f"/proc/self/fd/{fd}"
    try:
        return os.open(fd_path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC), True
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return os.open(fd_path, os.O_RDONLY | os.O_CLOEXEC), False
