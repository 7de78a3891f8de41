"""The FAT partition `select` of an image: its firmware, and the settings file that is added.

It stays in memory, because settings hold secrets. mtools mount nothing; FAT libraries for Python are little used.
"""

import struct
from typing import BinaryIO

import msgspec

from centre.flash.gpt import SECTOR_BYTES
from centre.flash.memory_file import ProgramFailed, open_memory_file, path_of, run_program

LABEL = "select"
_BOOT_SECTOR = struct.Struct("<11xHBHBHH1xH8xII")
"""Bytes per sector, sectors per cluster, reserved sectors, FATs, root entries, all sectors (16 bits),
sectors per FAT (16 bits), and both as 32 bits: the FAT specification of Microsoft, section 3.
"""
_FAT32_CLUSTERS = 65_525


class BootFirmwareKind(msgspec.Struct, frozen=True, kw_only=True):
    """The firmware that boots an image: `pi` or `uefi`, and its name for people."""

    kind: str
    name: str


_PI = BootFirmwareKind(kind="pi", name="Raspberry Pi")
_UEFI = {
    "BOOTX64.EFI": BootFirmwareKind(kind="uefi", name="UEFI, x86-64"),
    "BOOTAA64.EFI": BootFirmwareKind(kind="uefi", name="UEFI, arm64"),
}


class BadPartition(Exception):
    """The partition is no FAT file system, or full; the message is that of mtools."""


def check_fat(partition: bytes) -> None:
    """Check that firmware can read the FAT. Raises: BadPartition if not."""
    if partition[510:512] != b"\x55\xaa":
        raise BadPartition("its partition select is not FAT")
    fields = _BOOT_SECTOR.unpack_from(partition)
    (
        sector_bytes,
        cluster_sectors,
        reserved_sectors,
        fat_count,
        root_entries,
        sectors_16,
        fat_sectors_16,
        sectors_32,
        fat_sectors_32,
    ) = fields
    if sector_bytes != SECTOR_BYTES or not cluster_sectors:
        raise BadPartition(
            f"its FAT has sectors of {sector_bytes} bytes; firmware needs {SECTOR_BYTES}"
        )
    data_sectors = (
        (sectors_16 or sectors_32)
        - reserved_sectors
        - fat_count * (fat_sectors_16 or fat_sectors_32)
        - root_entries * 32 // SECTOR_BYTES
    )
    # The number of clusters distinguishes FAT16 from FAT32. The boot loader of a Raspberry Pi
    # misreads a FAT32 with fewer.
    if not fat_sectors_16 and data_sectors // cluster_sectors < _FAT32_CLUSTERS:
        raise BadPartition("its FAT32 has too few clusters, so firmware reads it as FAT16")


def detect_firmware(partition: bytes) -> BootFirmwareKind | None:
    """Return the firmware that boots this partition, or None. Raises: BadPartition."""
    with open_memory_file(partition) as file:
        listing = _run_mtools(file, "mdir", ["-/", "-b"], ["::"]).decode(errors="replace")
    names = {line.strip().rpartition("/")[2].upper() for line in listing.splitlines()}
    if "AUTOBOOT.TXT" in names:
        return _PI
    return next((kind for name, kind in _UEFI.items() if name in names), None)


def add_file(partition: bytes, name: str, data: bytes) -> bytes:
    """Return the partition with a file added or replaced. Raises: BadPartition."""
    with open_memory_file(partition) as file:
        _run_mtools(file, "mcopy", ["-o"], ["-", f"::{name}"], data)
        file.seek(0)
        return file.read()


def read_file(partition: bytes, name: str) -> bytes:
    """Return a file's content. Raises: BadPartition if it does not exist."""
    with open_memory_file(partition) as file:
        return _run_mtools(file, "mtype", [], [f"::{name}"])


def _run_mtools(
    file: BinaryIO, program: str, options: list[str], arguments: list[str], stdin: bytes = b""
) -> bytes:
    try:
        return run_program(file, [program, *options, "-i", path_of(file), *arguments], stdin)
    except ProgramFailed as error:
        raise BadPartition(str(error)) from error
