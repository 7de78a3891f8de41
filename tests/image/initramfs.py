"""The files of a built initramfs: cpio archives one after the other, the last compressed (initramfs-tools(7))."""

import stat
import subprocess
from collections.abc import Iterator

import msgspec

from tests.image.form import find_program

MAGIC = b"070701"
HEADER_BYTES = 110
TRAILER = "TRAILER!!!"


class InitramfsFile(msgspec.Struct, frozen=True, kw_only=True):
    """A regular file. Hard links have the same inode number."""

    inode: int
    content: bytes


def read_initramfs(data: bytes) -> dict[str, InitramfsFile]:
    """Return the regular files by path, without the leading slash."""
    found: dict[str, InitramfsFile] = {}
    while data:
        if not data.startswith(MAGIC):
            data = subprocess.run(
                [find_program("zstd"), "-dc"], input=data, capture_output=True, check=True
            ).stdout
        entries, data = _read_archive(data)
        # The content is stored with the last of several links.
        contents = {inode: content for _, inode, content in entries if content}
        found |= {
            name: InitramfsFile(inode=inode, content=contents.get(inode, b""))
            for name, inode, _ in entries
        }
    return found


def _read_archive(data: bytes) -> tuple[list[tuple[str, int, bytes]], bytes]:
    """Return name, inode and content of the first archive's regular files, and the bytes after the archive."""
    entries: list[tuple[str, int, bytes]] = []
    offset = 0
    for name, fields, begin in _headers(data):
        size = fields[6]
        offset = (begin + size + 3) & ~3
        if stat.S_ISREG(fields[1]):
            entries.append((name, fields[0], data[begin : begin + size]))
    return entries, data[offset:].lstrip(b"\0")


def _headers(data: bytes) -> Iterator[tuple[str, list[int], int]]:
    """Each entry's name, the fields of its header, and where its content begins (cpio(5), newc)."""
    at, name = 0, ""
    while name != TRAILER:
        header = data[at : at + HEADER_BYTES]
        assert header.startswith(MAGIC), f"no header of cpio at byte {at}"
        fields = [int(header[i : i + 8], 16) for i in range(len(MAGIC), HEADER_BYTES, 8)]
        name_end = at + HEADER_BYTES + fields[11]
        name = data[at + HEADER_BYTES : name_end - 1].decode().removeprefix("./")
        begin = (name_end + 3) & ~3
        yield name, fields, begin
        at = (begin + fields[6] + 3) & ~3
