"""GUID partition table: parsed, and fitted to a disk of another size. Pure.

UEFI specification, chapter 5.3: a header and its entries at the start, and a backup at the end.
"""

import struct
import zlib
from collections.abc import Mapping

import msgspec

SECTOR_BYTES = 512
FIRST_SECTORS_BYTES = 34 * SECTOR_BYTES
"""The start of a disk that holds its partition table."""

_HEADER = struct.Struct("<8s4sIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_SIGNATURE = b"EFI PART"
_MBR_ENTRY_OFFSET = 446
_MBR_TYPE_OFFSET = 4
_MBR_SECTORS_OFFSET = 12
_PROTECTIVE_TYPE = 0xEE
_CRC_OFFSET = 16
_MY_LBA_OFFSET = 24


class BadPartitionTable(Exception):
    """The partition table is missing or corrupt; the message says which."""


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """A partition; its offset is from the disk's start."""

    label: str
    offset_bytes: int
    size_bytes: int


class PartitionTable(msgspec.Struct, frozen=True, kw_only=True):
    """The partitions, and the size of the disk that the table was made for."""

    disk_bytes: int
    partitions: tuple[Partition, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of all partitions, in order."""
        return tuple(partition.label for partition in self.partitions)

    def find_partition(self, label: str) -> Partition:
        """Return the partition of this label. Raises: KeyError."""
        for candidate in self.partitions:
            if candidate.label == label:
                return candidate
        raise KeyError(label)


class _GptHeader(msgspec.Struct, frozen=True, kw_only=True):
    size_bytes: int
    last_sector: int
    """The disk's last sector, which holds the backup header."""
    entries: bytes


def parse_table(first_sectors: bytes) -> PartitionTable:
    """Parse the table in a disk's first sectors. Raises: BadPartitionTable."""
    header = _parse_header(first_sectors)
    found = []
    for entry_offset in range(0, len(header.entries), _ENTRY.size):
        type_guid, _, first_lba, last_lba, _, raw_name = _ENTRY.unpack_from(
            header.entries, entry_offset
        )
        if not any(type_guid):
            continue
        if not 0 < first_lba <= last_lba <= header.last_sector:
            raise BadPartitionTable("a partition is outside the disk")
        label = raw_name.decode("utf-16-le", errors="replace").partition("\0")[0]
        size_bytes = (last_lba - first_lba + 1) * SECTOR_BYTES
        found.append(
            Partition(label=label, offset_bytes=first_lba * SECTOR_BYTES, size_bytes=size_bytes)
        )
    return PartitionTable(
        disk_bytes=(header.last_sector + 1) * SECTOR_BYTES, partitions=tuple(found)
    )


def fit_to_disk(first_sectors: bytes, disk_bytes: int) -> Mapping[int, bytes]:
    """Return the bytes to write, by offset, so that the table fits a disk of another size.

    The old backup is zeroed, because footage will be stored there. If two ranges overlap, the later
    entry wins. Raises: BadPartitionTable.
    """
    header = _parse_header(first_sectors)
    last_sector = disk_bytes // SECTOR_BYTES - 1
    entry_sectors = -(-len(header.entries) // SECTOR_BYTES)
    last_usable = last_sector - entry_sectors - 1
    primary_header = _build_header(
        first_sectors,
        header,
        my_lba=1,
        alternate_lba=last_sector,
        entries_lba=2,
        last_usable=last_usable,
    )
    backup_header = _build_header(
        first_sectors,
        header,
        my_lba=last_sector,
        alternate_lba=1,
        entries_lba=last_sector - entry_sectors,
        last_usable=last_usable,
    )
    old_backup_offset = (header.last_sector - entry_sectors) * SECTOR_BYTES
    padded_entries = header.entries.ljust(entry_sectors * SECTOR_BYTES, b"\0")
    return {
        old_backup_offset: bytes((entry_sectors + 1) * SECTOR_BYTES),
        (last_sector - entry_sectors) * SECTOR_BYTES: padded_entries + backup_header,
        0: _protective_mbr(first_sectors[:SECTOR_BYTES], last_sector) + primary_header,
    }


def _parse_header(first_sectors: bytes) -> _GptHeader:
    if (
        len(first_sectors) < FIRST_SECTORS_BYTES
        or first_sectors[SECTOR_BYTES : SECTOR_BYTES + 8] != _SIGNATURE
    ):
        raise BadPartitionTable("no GUID partition table")
    fields = _HEADER.unpack_from(first_sectors, SECTOR_BYTES)
    size_bytes, alternate_lba, entries_lba, entry_count, entry_bytes, entries_crc = (
        fields[2],
        fields[6],
        *fields[10:14],
    )
    if not _HEADER.size <= size_bytes <= SECTOR_BYTES:
        raise BadPartitionTable("its partition table is corrupt")
    header_bytes = first_sectors[SECTOR_BYTES : SECTOR_BYTES + size_bytes]
    if (
        zlib.crc32(header_bytes[:_CRC_OFFSET] + bytes(4) + header_bytes[_CRC_OFFSET + 4 :])
        != fields[3]
    ):
        raise BadPartitionTable("its partition table is corrupt")
    entries = first_sectors[2 * SECTOR_BYTES : 2 * SECTOR_BYTES + entry_count * entry_bytes]
    if entries_lba != 2 or entry_bytes != _ENTRY.size or len(entries) != entry_count * entry_bytes:  # noqa: PLR2004 - directly after the header, as all tools write it
        raise BadPartitionTable("its partition table has an unusual layout")
    if zlib.crc32(entries) != entries_crc:
        raise BadPartitionTable("its partition table is corrupt")
    return _GptHeader(size_bytes=size_bytes, last_sector=alternate_lba, entries=entries)


def _build_header(
    first_sectors: bytes,
    header: _GptHeader,
    *,
    my_lba: int,
    alternate_lba: int,
    entries_lba: int,
    last_usable: int,
) -> bytes:
    raw = bytearray(first_sectors[SECTOR_BYTES : SECTOR_BYTES + header.size_bytes])
    first_usable = _HEADER.unpack_from(raw)[7]
    struct.pack_into("<QQQQ", raw, _MY_LBA_OFFSET, my_lba, alternate_lba, first_usable, last_usable)
    struct.pack_into("<Q", raw, 72, entries_lba)
    struct.pack_into("<I", raw, _CRC_OFFSET, 0)
    struct.pack_into("<I", raw, _CRC_OFFSET, zlib.crc32(raw))
    return bytes(raw).ljust(SECTOR_BYTES, b"\0")


def _protective_mbr(boot_record: bytes, last_sector: int) -> bytes:
    mbr = bytearray(boot_record)
    if mbr[_MBR_ENTRY_OFFSET + _MBR_TYPE_OFFSET] == _PROTECTIVE_TYPE:
        struct.pack_into(
            "<I", mbr, _MBR_ENTRY_OFFSET + _MBR_SECTORS_OFFSET, min(last_sector, 0xFFFF_FFFF)
        )
    return bytes(mbr)
