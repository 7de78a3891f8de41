"""The partition table of an image: read, and moved to the end of a larger disk. Bytes in, bytes out.

UEFI specification, chapter 5.3: a header and its entries at the front, and both again at the end.
"""

import struct
import zlib
from collections.abc import Mapping

import msgspec

SECTOR = 512
HEAD_BYTES = 34 * SECTOR
"""What has to be read of a disk to know its table."""

_HEADER = struct.Struct("<8s4sIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_SIGNATURE = b"EFI PART"
_MBR_ENTRY = 446
_MBR_TYPE = 4
_MBR_SECTORS = 12
_PROTECTIVE = 0xEE
_CRC = 16
_MY_SECTOR = 24


class NoTable(Exception):
    """There is no partition table, or it is damaged. `str(error)` says which."""


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """A partition, in bytes from the disk's begin."""

    label: str
    begin: int
    size: int


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A partition table, and the size of the disk that it was made for."""

    disk_bytes: int
    partitions: tuple[Partition, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of all partitions, in order."""
        return tuple(one.label for one in self.partitions)

    def partition(self, label: str) -> Partition:
        """The one of this label. Raises KeyError."""
        for one in self.partitions:
            if one.label == label:
                return one
        raise KeyError(label)


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    last: int
    """The disk's last sector, which is the other header's."""
    entries: bytes


def read(head: bytes) -> Table:
    """The table of a disk that begins so. Raises NoTable."""
    header = _header(head)
    found = []
    for at in range(0, len(header.entries), _ENTRY.size):
        kind, _, first, last, _, name = _ENTRY.unpack_from(header.entries, at)
        if not any(kind):
            continue
        if not 0 < first <= last <= header.last:
            raise NoTable("a partition lies outside the disk")
        label = name.decode("utf-16-le", errors="replace").partition("\0")[0]
        size = (last - first + 1) * SECTOR
        found.append(Partition(label=label, begin=first * SECTOR, size=size))
    return Table(disk_bytes=(header.last + 1) * SECTOR, partitions=tuple(found))


def moved(head: bytes, disk_bytes: int) -> Mapping[int, bytes]:
    """What is to be written where so that the table fits a disk of another size. Raises NoTable.

    The old copy at the end is blanked: it lies where footage will be. Where both places overlap, the
    later of these counts.
    """
    header = _header(head)
    last = disk_bytes // SECTOR - 1
    entry_sectors = -(-len(header.entries) // SECTOR)
    last_usable = last - entry_sectors - 1
    front = _packed(head, header, here=1, there=last, entries_at=2, last_usable=last_usable)
    behind = _packed(
        head,
        header,
        here=last,
        there=1,
        entries_at=last - entry_sectors,
        last_usable=last_usable,
    )
    old = (header.last - entry_sectors) * SECTOR
    padded = header.entries.ljust(entry_sectors * SECTOR, b"\0")
    return {
        old: bytes((entry_sectors + 1) * SECTOR),
        (last - entry_sectors) * SECTOR: padded + behind,
        0: _protective(head[:SECTOR], last) + front,
    }


def _header(head: bytes) -> _Header:
    if len(head) < HEAD_BYTES or head[SECTOR : SECTOR + 8] != _SIGNATURE:
        raise NoTable("no GUID partition table")
    fields = _HEADER.unpack_from(head, SECTOR)
    size, there, entries_at, count, entry_size, entries_crc = (
        fields[2],
        fields[6],
        *fields[10:14],
    )
    if not _HEADER.size <= size <= SECTOR:
        raise NoTable("its partition table is damaged")
    raw = head[SECTOR : SECTOR + size]
    if zlib.crc32(raw[:_CRC] + bytes(4) + raw[_CRC + 4 :]) != fields[3]:
        raise NoTable("its partition table is damaged")
    entries = head[2 * SECTOR : 2 * SECTOR + count * entry_size]
    if entries_at != 2 or entry_size != _ENTRY.size or len(entries) != count * entry_size:  # noqa: PLR2004 - right behind the header, as everybody writes it
        raise NoTable("its partition table is of an unusual form")
    if zlib.crc32(entries) != entries_crc:
        raise NoTable("its partition table is damaged")
    return _Header(size=size, last=there, entries=entries)


def _packed(
    head: bytes, header: _Header, *, here: int, there: int, entries_at: int, last_usable: int
) -> bytes:
    raw = bytearray(head[SECTOR : SECTOR + header.size])
    first_usable = _HEADER.unpack_from(raw)[7]
    struct.pack_into("<QQQQ", raw, _MY_SECTOR, here, there, first_usable, last_usable)
    struct.pack_into("<Q", raw, 72, entries_at)
    struct.pack_into("<I", raw, _CRC, 0)
    struct.pack_into("<I", raw, _CRC, zlib.crc32(raw))
    return bytes(raw).ljust(SECTOR, b"\0")


def _protective(boot_record: bytes, last: int) -> bytes:
    changed = bytearray(boot_record)
    if changed[_MBR_ENTRY + _MBR_TYPE] == _PROTECTIVE:
        struct.pack_into("<I", changed, _MBR_ENTRY + _MBR_SECTORS, min(last, 0xFFFF_FFFF))
    return bytes(changed)
