"""A disk that logs everything: a file system of two files, served to the kernel over /dev/fuse.

    logged_disk.py MOUNT_POINT IMAGE LOG [BAD_OFFSET ...]

`disk` backs a loop device: it reads from IMAGE and writes to it, and each write and each flush
(fsync) is added to LOG in the order in which the kernel sends it. Bytes written to `marks` go into
the same LOG, so that a mark is behind everything that came before it, and ahead of everything that
came after. A read of the block at a BAD_OFFSET of the image is answered with EIO, as that of a bad sector.
Requests are answered one by one, each before the next is read: a flush is behind all
writes that were answered before it was requested.

The messages are those of linux/fuse.h, protocol 7.31. It needs root, and nothing but Python.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

from tests.crash.block_log import RecordKind, pack_record

MAX_WRITE_BYTES = 1 << 17
BLOCK_BYTES = 4096
_HEADER = struct.Struct("<IIQQIIIHH")
_REPLY = struct.Struct("<IiQ")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
_INIT = struct.Struct("<IIIIHHIIHHI7I")
_WRITE = struct.Struct("<QQIIQII")
_READ = struct.Struct("<QQIIQII")
_CACHE_TIMEOUT_S = 1 << 20

ROOT, DISK, MARKS = 1, 2, 3
_NODES = {b"disk": DISK, b"marks": MARKS}
_FOPEN_DIRECT_IO = 1
_BIG_WRITES, _ASYNC_READ, _MAX_PAGES = 1 << 5, 1 << 0, 1 << 22


class FuseOp(IntEnum):
    """The requests that are answered; all others are refused with ENOSYS."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    RELEASEDIR = 29
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42


_NO_REPLY_OPS = (FuseOp.FORGET, FuseOp.BATCH_FORGET, FuseOp.INTERRUPT)


class LoggedDisk:
    """Answers the kernel's requests."""

    def __init__(self, image: int, log: BinaryIO, bad_offsets: Sequence[int] = ()) -> None:
        self._bad_offsets = tuple(bad_offsets)
        self._image = image
        self._log = log
        self._size_bytes = os.fstat(image).st_size

    def serve(self, device: int) -> None:
        """Until the file system is unmounted."""
        while True:
            try:
                request = os.read(device, MAX_WRITE_BYTES + (1 << 16))
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                raise
            _, op, unique, node, *_ = _HEADER.unpack_from(request)
            if op in _NO_REPLY_OPS:
                continue
            answer = self._answer(op, node, request[_HEADER.size :])
            error = answer if isinstance(answer, int) else 0
            body = b"" if isinstance(answer, int) else answer
            os.write(device, _REPLY.pack(_REPLY.size + len(body), -error, unique) + body)

    def _answer(self, op: int, node: int, body: bytes) -> bytes | int:  # noqa: C901, PLR0911, PLR0912 - a table
        match op:
            case FuseOp.INIT:
                flags = _ASYNC_READ | _BIG_WRITES | _MAX_PAGES
                pages = MAX_WRITE_BYTES // 4096
                return _INIT.pack(7, 31, 1 << 17, flags, 12, 9, MAX_WRITE_BYTES, 1, pages, *[0] * 9)
            case FuseOp.LOOKUP:
                found = _NODES.get(body.rstrip(b"\0"))
                if found is None:
                    return errno.ENOENT
                entry = struct.pack("<QQQQII", found, 0, _CACHE_TIMEOUT_S, _CACHE_TIMEOUT_S, 0, 0)
                return entry + self._attr(found)
            case FuseOp.GETATTR | FuseOp.SETATTR:
                return struct.pack("<QII", _CACHE_TIMEOUT_S, 0, 0) + self._attr(node)
            case FuseOp.OPEN | FuseOp.OPENDIR:
                return struct.pack("<QII", 0, _FOPEN_DIRECT_IO if node == MARKS else 0, 0)
            case FuseOp.READ:
                _, offset, size, *_ = _READ.unpack_from(body)
                if any(offset - BLOCK_BYTES < bad < offset + size for bad in self._bad_offsets):
                    return errno.EIO
                return os.pread(self._image, size, offset) if node == DISK else b""
            case FuseOp.WRITE:
                _, offset, size, *_ = _WRITE.unpack_from(body)
                data = body[_WRITE.size : _WRITE.size + size]
                self._write(node, offset, data)
                return struct.pack("<II", size, 0)
            case FuseOp.FSYNC:
                if node == DISK:
                    self._log.write(pack_record(RecordKind.FLUSH, 0, b""))
                return b""
            case FuseOp.STATFS:
                return struct.pack("<QQQQQIIII6I", *[0] * 5, 4096, 255, 4096, 0, *[0] * 6)
            case FuseOp.RELEASE | FuseOp.RELEASEDIR | FuseOp.FLUSH | FuseOp.DESTROY:
                return b""
            case _:
                return errno.ENOSYS

    def _write(self, node: int, offset: int, data: bytes) -> None:
        if node == MARKS:
            self._log.write(pack_record(RecordKind.MARK, 0, data))
            return
        os.pwrite(self._image, data, offset)
        self._log.write(pack_record(RecordKind.WRITE, offset, data))

    def _attr(self, node: int) -> bytes:
        mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o600
        size = self._size_bytes if node == DISK else 0
        return _ATTR.pack(node, size, size // 512, *[0] * 6, mode, 1, 0, 0, 0, 4096, 0)


def mount(point: Path) -> int:
    """A new file system at a folder; gives the descriptor to serve it on. Raises OSError."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,max_read={MAX_WRITE_BYTES}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"logged-disk", os.fsencode(point), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), f"mount {point}: {os.strerror(ctypes.get_errno())}")
    return device


def main(point: Path, image: Path, log: Path, *bad_offsets: int) -> None:
    """Serve; a line on standard output reports that the file system is mounted."""
    handle = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    with log.open("wb") as file:
        device = mount(point)
        sys.stdout.write("mounted\n")
        sys.stdout.flush()
        LoggedDisk(handle, file, bad_offsets).serve(device)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *map(int, sys.argv[4:]))
