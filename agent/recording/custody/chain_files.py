"""Files of the custody log: their names, their lines in both directions, and durable appends.

A part that the disk cannot read counts as a damaged line: the lines after it are read.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from agent.base.atomic_file import fsync_dir, sync, sync_data, write_all
from agent.base.file_read import read_around_damage

CHAIN_SUFFIX = ".chain"

_BLOCK_BYTES = 65_536
"""Reading a day's receipts in such blocks takes half the CPU of 256 kB or whole files: malloc(3) gives larger ones
back to the kernel, which then clears each page again.
"""


def chain_files(folder: Path) -> list[Path]:
    """Return the files of a chain, in order."""
    return sorted(
        path
        for path in folder.glob(f"*{CHAIN_SUFFIX}")
        if path.stem.isascii() and path.stem.isdecimal()
    )


def read_files_backwards(folder: Path) -> Iterator[bytes]:
    """Yield the content of each file of a chain, the newest first.

    Files pruned meanwhile are missing.
    """
    for path in reversed(chain_files(folder)):
        with contextlib.suppress(FileNotFoundError):
            yield read_around_damage(path)


def read_blocks_backwards(folder: Path) -> Iterator[bytes]:
    """Yield the lines of a chain in blocks of about a hundred, the newest first.

    A search that ends early reads no whole file. Files pruned meanwhile are missing.
    """
    for path in reversed(chain_files(folder)):
        with contextlib.suppress(FileNotFoundError):
            yield from _read_file_backwards(path)


def _read_file_backwards(path: Path) -> Iterator[bytes]:
    end, size_bytes = path.stat().st_size, _BLOCK_BYTES
    last_line = b""
    while end > 0:
        begin = max(0, end - size_bytes)
        data = read_around_damage(path, begin, end)
        # A block may begin within a line, which belongs to the block before.
        first_line = data.find(b"\n") + 1
        if begin == 0:
            first_line = 0
        elif first_line == 0:  # a damaged file may have no line breaks
            size_bytes *= 2
            continue
        yield data[first_line:] + last_line
        last_line, end, size_bytes = data[:first_line], begin, _BLOCK_BYTES


def read_file_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of one file with their newlines; none if it was pruned meanwhile."""
    try:
        data = read_around_damage(path)
    except FileNotFoundError:
        return
    begin = 0
    while (end := data.find(b"\n", begin) + 1) > 0:
        yield data[begin:end]
        begin = end


def read_lines_backwards(folder: Path) -> Iterator[bytes]:
    """Yield the lines of a chain with their newlines, the newest first.

    Lines that are written or pruned meanwhile may be missing.
    """
    for data in read_blocks_backwards(folder):
        for begin, end in line_spans_backwards(data):
            yield data[begin:end]


def line_spans_backwards(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each line, the last first."""
    end = data.rfind(b"\n") + 1
    while end:
        begin = data.rfind(b"\n", 0, end - 1) + 1
        yield begin, end
        end = begin


def first_seq_of_file(path: Path) -> int:
    """Return the number of the first receipt in a file of the chain, from its name."""
    return int(path.stem)


def create_file(path: Path) -> None:
    """Create an empty file, durable in its folder."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.close(fd)
    fsync_dir(path.parent)


def allocate_file(path: Path, size_bytes: int) -> None:
    """Create a file that takes so much room on the disk, or none."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size_bytes)
        sync(fd)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(fd)
    fsync_dir(path.parent)


def append_to_file(path: Path, data: bytes) -> None:
    """Append to an existing file; durable when it returns.

    A descriptor whose fdatasync(2) failed is never used again: the kernel reports an error only once.
    """
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        write_all(fd, data)
        sync_data(fd)
    finally:
        os.close(fd)


def truncate_file(path: Path, size_bytes: int) -> None:
    """Cut a file; durable when it returns."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, size_bytes)
        sync_data(fd)
    finally:
        os.close(fd)
