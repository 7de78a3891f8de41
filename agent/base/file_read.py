"""Bounded reads of files that a person names, or that another program or a damaged disk may have replaced."""

import errno
import os
import stat
from pathlib import Path

MAX_PEM_BYTES = 1_048_576
"""Of a certificate, a key or a secret. The authorities of a whole operating system take a quarter of it."""
_BLOCK_BYTES = 4096
"""A file is read in such blocks around a bad sector."""


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Read a whole file.

    Raises: OSError, also if it is larger than `max_bytes`, or a folder, a device or a pipe: none of them
    is opened for long, and none is read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, "a path that contains NUL", str(path)) from error
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with os.fdopen(fd, "rb") as file:
        data = file.read(max_bytes + 1)
    if data is None:  # a file of /proc that waits for data
        raise OSError(errno.EAGAIN, "it has no content yet", str(path))
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"more than {max_bytes} bytes", str(path))
    return data


def read_stamp(path: Path) -> tuple[int, int, int] | None:
    """Return a value that differs after each change of a file, or None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def is_regular_or_absent(path: Path) -> bool:
    """Return False if a folder, a loop of links, a device or a pipe is in the place of a file."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, PermissionError):
        return True
    except OSError:
        return False


def read_around_damage(path: Path, offset: int = 0, end: int | None = None) -> bytes:
    """Read a regular file from an offset to `end`, by default its end; what the disk cannot read of it are zeros.

    Raises: OSError if it cannot be opened or is no regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        end = status.st_size if end is None else min(end, status.st_size)
        try:
            return _pread(fd, end - offset, offset)
        except OSError:
            blocks = range(offset, end, _BLOCK_BYTES)
            ends = (min(begin + _BLOCK_BYTES, end) for begin in blocks)
            return b"".join(
                _pread_or_zeros(fd, block_end - begin, begin)
                for begin, block_end in zip(blocks, ends, strict=True)
            )
    finally:
        os.close(fd)


def _pread_or_zeros(fd: int, size_bytes: int, offset: int) -> bytes:
    try:
        return _pread(fd, size_bytes, offset)
    except OSError:
        return bytes(size_bytes)


def _pread(fd: int, size_bytes: int, offset: int) -> bytes:
    pieces: list[bytes] = []
    end = offset + size_bytes
    while offset < end and (piece := os.pread(fd, end - offset, offset)):
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)
