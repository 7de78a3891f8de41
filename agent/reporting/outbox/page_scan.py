"""Scan of a SQLite file page by page, for rows that its B-tree does not lead to any more.

One damaged page near the root hides all pages below it, though each of them can still be read. The
format is that of https://sqlite.org/fileformat2.html, sections 1.3, 1.5, 1.6 and 2.1.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"SQLite format 3\0"
_DEFAULT_PAGE_BYTES = 4096
"""Page size of a new database, if the header cannot tell."""
_HEADER_BYTES = 100
_MIN_PAGE_BYTES = 512
_TABLE_LEAF = 0x0D
_LEAF_HEADER_BYTES = 8
_MAX_VARINT_BYTES = 9
_U32 = struct.Struct(">I")
_INT_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Length of an integer by its serial type."""
_FLOAT, _ZERO, _ONE, _FIRST_BLOB = 7, 8, 9, 12


class _MalformedPage(ValueError):
    """Bytes are not a page or a cell of the format."""


def iter_rows(file: Path, column_count: int) -> Iterator[tuple[object, ...]]:
    """Yield the rows of this many columns in all pages that can be read; a damaged one may be among them.

    A first column that is NULL is the rowid's alias and has its value. Yields nothing if the list of free
    pages is damaged: a free page has rows that were deleted. Raises: OSError if the file cannot be opened.
    """
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pages = _Pages(fd)
        try:
            free_pages = pages.free_pages()
        except _MalformedPage:
            return
        for number in range(1, pages.count + 1):
            if number not in free_pages:
                yield from _leaf_rows(pages, number, column_count)
    finally:
        os.close(fd)


class _Pages:
    """The pages of an open file, from number 1."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        size_bytes = os.fstat(fd).st_size
        header = self._read(0, _HEADER_BYTES) or b""
        page_bytes = int.from_bytes(header[16:18], "big")
        page_bytes = 65_536 if page_bytes == 1 else page_bytes
        is_valid = (
            header.startswith(_MAGIC)
            and page_bytes >= _MIN_PAGE_BYTES
            and not page_bytes & page_bytes - 1
        )
        self.page_bytes = page_bytes if is_valid else _DEFAULT_PAGE_BYTES
        self.usable_bytes = self.page_bytes - (header[20] if is_valid else 0)
        self.count = size_bytes // self.page_bytes
        self._header = header

    def read(self, number: int) -> bytes:
        """Return a page. Raises: _MalformedPage if there is none of this number, or the disk refuses."""
        if not 1 <= number <= self.count:
            raise _MalformedPage(f"page {number} of {self.count}")
        page = self._read((number - 1) * self.page_bytes, self.page_bytes)
        if page is None:
            raise _MalformedPage(f"page {number} cannot be read")
        return page

    def free_pages(self) -> set[int]:
        """Return the numbers of the free pages. Raises: _MalformedPage if their list is damaged."""
        if len(self._header) < _HEADER_BYTES:
            raise _MalformedPage("the header cannot be read")
        (trunk,) = _U32.unpack_from(self._header, 32)
        (free_count,) = _U32.unpack_from(self._header, 36)
        free: set[int] = set()
        while trunk:
            page = self.read(trunk)
            next_trunk, leaf_count = struct.unpack_from(">II", page)
            if trunk in free or leaf_count > self.usable_bytes // 4 - 2:
                raise _MalformedPage(f"page {trunk} is not of the list of free pages")
            free |= {trunk, *struct.unpack_from(f">{leaf_count}I", page, 8)}
            trunk = next_trunk
        if len(free) != free_count:
            raise _MalformedPage(f"{len(free)} free pages; the header says {free_count}")
        return free

    def _read(self, offset: int, size_bytes: int) -> bytes | None:
        try:
            data = os.pread(self._fd, size_bytes, offset)
        except OSError:
            return None
        return data if len(data) == size_bytes else None


def _leaf_rows(pages: _Pages, number: int, column_count: int) -> Iterator[tuple[object, ...]]:
    begin = _HEADER_BYTES if number == 1 else 0
    try:
        page = pages.read(number)
    except _MalformedPage:
        return
    if page[begin] != _TABLE_LEAF:
        return
    cell_count = int.from_bytes(page[begin + 3 : begin + 5], "big")
    first = begin + _LEAF_HEADER_BYTES
    for at in range(first, min(first + 2 * cell_count, len(page) - 1), 2):
        try:
            row = _cell_row(pages, page, int.from_bytes(page[at : at + 2], "big"))
        except _MalformedPage:
            continue
        if len(row) == column_count:
            yield row


def _cell_row(pages: _Pages, page: bytes, offset: int) -> tuple[object, ...]:
    payload_bytes, offset = _varint(page, offset)
    rowid, offset = _varint(page, offset)
    if not 0 < payload_bytes <= pages.count * pages.page_bytes:
        raise _MalformedPage(f"a row of {payload_bytes} bytes")
    local_bytes = _local_bytes(payload_bytes, pages.usable_bytes)
    payload = page[offset : offset + local_bytes]
    if local_bytes < payload_bytes:
        payload += _overflow(pages, page, offset + local_bytes, payload_bytes - local_bytes)
    if len(payload) != payload_bytes:
        raise _MalformedPage("a row that is cut")
    values = _decode_record(payload)
    return (rowid, *values[1:]) if values and values[0] is None else values


def _local_bytes(payload_bytes: int, usable_bytes: int) -> int:
    """Return how much of a row is in its leaf page; the rest is in overflow pages."""
    if payload_bytes <= usable_bytes - 35:
        return payload_bytes
    least = (usable_bytes - 12) * 32 // 255 - 23
    fitted = least + (payload_bytes - least) % (usable_bytes - 4)
    return fitted if fitted <= usable_bytes - 35 else least


def _overflow(pages: _Pages, page: bytes, offset: int, wanted_bytes: int) -> bytes:
    data = b""
    while len(data) < wanted_bytes:
        number = int.from_bytes(page[offset : offset + 4], "big")
        page, offset = pages.read(number), 0
        data += page[4 : pages.usable_bytes]
    return data[:wanted_bytes]


def _decode_record(record: bytes) -> tuple[object, ...]:
    header_bytes, offset = _varint(record, 0)
    at = header_bytes
    values: list[object] = []
    while offset < header_bytes:
        serial_type, offset = _varint(record, offset)
        value, at = _decode_value(record, at, serial_type)
        values.append(value)
    return tuple(values)


def _decode_value(record: bytes, at: int, serial_type: int) -> tuple[object, int]:
    """Return a value and the offset after it. Text that is not UTF-8 has replacement characters."""
    if serial_type in (_ZERO, _ONE):
        return serial_type - _ZERO, at
    if serial_type == 0:
        return None, at
    if serial_type >= _FIRST_BLOB:
        end = at + (serial_type - _FIRST_BLOB) // 2
    elif serial_type == _FLOAT:
        end = at + 8
    elif serial_type in _INT_BYTES:
        end = at + _INT_BYTES[serial_type]
    else:
        raise _MalformedPage(f"a value of type {serial_type}")
    data = record[at:end]
    if end > len(record):
        raise _MalformedPage("a value that is cut")
    if serial_type in _INT_BYTES:
        return int.from_bytes(data, "big", signed=True), end
    if serial_type == _FLOAT:
        return struct.unpack(">d", data)[0], end
    return (data.decode("utf-8", "replace") if serial_type % 2 else data), end


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """Return a signed integer of 1 to 9 bytes, the most significant first, and the offset after it."""
    value = 0
    for count in range(1, _MAX_VARINT_BYTES + 1):
        if offset >= len(data):
            raise _MalformedPage("a number that is cut")
        byte = data[offset]
        offset += 1
        if count == _MAX_VARINT_BYTES:
            value = value << 8 | byte
        else:
            value = value << 7 | byte & 0x7F
            if not byte & 0x80:
                return value, offset
    return (value - (1 << 64) if value >> 63 else value), offset
