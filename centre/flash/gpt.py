"""GUID partition table, read and fitted to a disk of another size by sfdisk, on a disk in memory."""

import os
import struct
from collections.abc import Mapping

import msgspec

from agent.base.json_decode import JsonDecoder, MalformedJson
from centre.flash.memory_file import ProgramFailed, open_memory_file, path_of, run_program

SECTOR_BYTES = 512
FIRST_SECTORS_BYTES = 34 * SECTOR_BYTES
"""The start of a disk that holds its partition table."""
_BACKUP_BYTES = 33 * SECTOR_BYTES
_SIGNATURE = b"EFI PART"
_LAST_SECTOR = struct.Struct("<Q")
_LAST_SECTOR_OFFSET = SECTOR_BYTES + 32
"""Of the header, UEFI specification, 5.3.2: the place of its backup."""
_MAX_DISK_BYTES = 1 << 50


class BadPartitionTable(Exception):
    """The partition table is missing or corrupt."""


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


class _Partition(msgspec.Struct, frozen=True):
    start: int
    size: int
    name: str = ""


class _Table(msgspec.Struct, frozen=True):
    label: str
    lastlba: int = 0
    partitions: tuple[_Partition, ...] = ()


class _Output(msgspec.Struct, frozen=True):
    """Output of `sfdisk --json`, in sectors."""

    partitiontable: _Table


_OUTPUT_DECODER = JsonDecoder(_Output)


def parse_table(first_sectors: bytes) -> PartitionTable:
    """Parse the table in a disk's first sectors. Raises: BadPartitionTable."""
    if first_sectors[SECTOR_BYTES : SECTOR_BYTES + len(_SIGNATURE)] != _SIGNATURE:
        raise BadPartitionTable("no GUID partition table")
    if len(first_sectors) < FIRST_SECTORS_BYTES:
        raise BadPartitionTable("its partition table is truncated")
    (last_sector,) = _LAST_SECTOR.unpack_from(first_sectors, _LAST_SECTOR_OFFSET)
    disk_bytes = min((last_sector + 1) * SECTOR_BYTES, _MAX_DISK_BYTES)
    with open_memory_file(first_sectors, disk_bytes) as disk:
        try:
            output = run_program(disk, ["sfdisk", "--json", path_of(disk)])
            table = _OUTPUT_DECODER.decode(output).partitiontable
        except (ProgramFailed, MalformedJson) as error:
            raise BadPartitionTable("its partition table is corrupt") from error
    if table.label != "gpt":
        # If a checksum is wrong, sfdisk reads the table of the boot record.
        raise BadPartitionTable("its partition table is corrupt")
    if any(each.start + each.size - 1 > table.lastlba for each in table.partitions):
        raise BadPartitionTable("a partition is outside the disk")
    partitions = (
        Partition(
            label=each.name,
            offset_bytes=each.start * SECTOR_BYTES,
            size_bytes=each.size * SECTOR_BYTES,
        )
        for each in table.partitions
    )
    return PartitionTable(disk_bytes=disk_bytes, partitions=tuple(partitions))


def fit_to_disk(first_sectors: bytes, disk_bytes: int) -> Mapping[int, bytes]:
    """Return the bytes to write, by offset, so that the table fits a disk of another size.

    The old backup is zeroed, because footage will be stored there. If two ranges overlap, the later
    entry wins. Raises: BadPartitionTable.
    """
    old_backup_offset = parse_table(first_sectors).disk_bytes - _BACKUP_BYTES
    new_backup_offset = disk_bytes // SECTOR_BYTES * SECTOR_BYTES - _BACKUP_BYTES
    with open_memory_file(first_sectors, new_backup_offset + _BACKUP_BYTES) as disk:
        try:
            run_program(disk, ["sfdisk", "--quiet", "--relocate", "gpt-bak-std", path_of(disk)])
        except ProgramFailed as error:
            raise BadPartitionTable(str(error)) from error
        fd = disk.fileno()
        return {
            old_backup_offset: bytes(_BACKUP_BYTES),
            new_backup_offset: os.pread(fd, _BACKUP_BYTES, new_backup_offset),
            0: os.pread(fd, 2 * SECTOR_BYTES, 0),
        }
