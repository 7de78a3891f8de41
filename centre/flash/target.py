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

    kind: int
    device: int
    inode: int
    size_bytes: int
    changed_ns: int
    """A number is given anew as soon as its file has gone; this tells."""

    @classmethod
    def of(cls, status: os.stat_result) -> "FileId":
        """Of a file as it is now."""
        return cls(
            kind=stat.S_IFMT(status.st_mode),
            device=status.st_dev,
            inode=status.st_ino,
            size_bytes=status.st_size,
            changed_ns=status.st_ctime_ns,
        )


class WriteTarget:
    """An open disk or file. As long as it is open, nobody can mount the disk.

    Reading passes by the page cache (O_DIRECT), which would else give back what was just written,
    whatever the medium made of it. Where a file system has no such reading, as that of a file in
    memory, its pages are dropped before.
    """

    def __init__(self, path: Path, handle: int, size_bytes: int) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._handle = handle
        self._reader, self._direct = _reader(handle)

    @classmethod
    def open_disk(cls, path: Path) -> "WriteTarget":
        """A disk, ours alone. Raises BadInput where others have it, and OSError."""
        try:
            # Exclusive, for a block device: the kernel refuses whatever is in use, known to us or not.
            handle = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
        except PermissionError as error:
            raise UserError(f"{path}: no right to write to it; allowed: as root") from error
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise UserError(f"{path}: the kernel says that it is in use") from error
            raise
        return cls(path, handle, os.lseek(handle, 0, os.SEEK_END))

    @classmethod
    def open_file(
        cls, path: Path, size_bytes: int, *, judged: FileId | None, even_if_not_empty: bool
    ) -> "WriteTarget":
        """A file: a new one where none was `judged`, or one that nothing was written to. It becomes
        as large as the image where it is smaller, and its owner's alone. Raises BadInput, OSError.
        """
        # A new one has to be new, and none is made in the place of one that has gone.
        new = os.O_CREAT | os.O_EXCL if judged is None else 0
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | new, 0o600)
        except FileExistsError as error:
            raise UserError(_another_file(path)) from error
        try:
            status = os.fstat(handle)
            _check_file(path, status, judged, even_if_not_empty=even_if_not_empty)
            size_bytes = max(status.st_size, size_bytes)
            # Before there is a secret in it; whoever made it with truncate has let everybody read it.
            os.fchmod(handle, 0o600)
            os.truncate(handle, 0)
            os.truncate(handle, size_bytes)
        except BaseException:
            os.close(handle)
            raise
        return cls(path, handle, size_bytes)

    def status(self) -> os.stat_result:
        """Of what is open, whatever its path leads to by now. Raises OSError."""
        return os.fstat(self._handle)

    def write(self, offset: int, data: bytes) -> None:
        """Write all of it. Raises OSError."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._handle, view, offset)
            view, offset = view[done:], offset + done

    def sync(self) -> None:
        """Return when all is on the medium, as far as it says so. Raises OSError."""
        os.fsync(self._handle)

    def read(self, offset: int, size: int) -> bytes:
        """What the medium holds there; `offset` is one of whole pages. Raises OSError."""
        if not self._direct:
            # The next read comes from the disk: what is written to it is on it since the last sync.
            os.posix_fadvise(self._reader, 0, 0, os.POSIX_FADV_DONTNEED)
            return os.pread(self._reader, size, offset)
        # O_DIRECT wants whole pages, and memory that begins with one.
        pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        with mmap.mmap(-1, pages) as buffer:
            done = os.preadv(self._reader, [buffer], offset)
            return buffer[: min(done, size)]

    def close(self) -> None:
        """Let go of it."""
        os.close(self._reader)
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _another_file(path: Path) -> str:
    return f"{path}: is another file than a moment ago; nothing was written"


def _check_file(
    path: Path, status: os.stat_result, judged: FileId | None, *, even_if_not_empty: bool
) -> None:
    if judged is not None and FileId.of(status) != judged:
        raise UserError(_another_file(path))
    if status.st_blocks and not even_if_not_empty:
        raise UserError(
            f"{path}: is not empty; allowed: a new file, one of holes as truncate makes it, or "
            "--even-if-not-empty"
        )


def _reader(handle: int) -> tuple[int, bool]:
    """The same once more, for reading, and whether it passes by the page cache."""
    again = f"/proc/self/fd/{handle}"
    try:
        return os.open(again, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC), True
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return os.open(again, os.O_RDONLY | os.O_CLOEXEC), False
