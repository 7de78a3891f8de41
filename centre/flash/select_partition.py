"""The partition `select` of an image: what firmware it is for, and the settings put into it.

It stays in memory, since settings hold secrets: mtools get it as a file without a name. mtools, because
they have written FAT for thirty years, need no root and mount nothing; a FAT of our own would have to be
proven first, and the FAT libraries for Python are little used.
"""

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from agent.base.errors import UserError
from centre.flash.gpt import SECTOR_BYTES

LABEL = "select"
_TIMEOUT_S = 60.0
_BOOT_SECTOR = struct.Struct("<11xHBHBHH1xH8xII")
"""Bytes in a sector, sectors in a cluster, reserved ones, FATs, entries of the root, all sectors as 16
bits, those of a FAT as 16 bits, and both as 32 bits: the FAT specification of Microsoft, section 3.
"""
_FAT32_CLUSTERS = 65_525


class BootFirmwareKind(msgspec.Struct, frozen=True, kw_only=True):
    """What starts an image: `pi` or `uefi`, and a name for people."""

    kind: str
    name: str


_PI = BootFirmwareKind(kind="pi", name="Raspberry Pi")
_UEFI = {
    "BOOTX64.EFI": BootFirmwareKind(kind="uefi", name="UEFI, x86-64"),
    "BOOTAA64.EFI": BootFirmwareKind(kind="uefi", name="UEFI, arm64"),
}


class BadPartition(Exception):
    """It is no FAT file system, or a full one. `str(error)` is what mtools says of it."""


def check_tools() -> None:
    """Raises UserError where mtools are not installed."""
    if shutil.which("mcopy") is None:
        raise UserError("flash: the program mcopy is missing; allowed: apt-get install mtools")


def check_fat(partition: bytes) -> None:
    """Whether firmware can read it: both a PC's and a board's take the usual FAT alone. Raises
    BadPartition.
    """
    if partition[510:512] != b"\x55\xaa":
        raise BadPartition("its select partition is no FAT")
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
            f"its FAT has sectors of {sector_bytes} bytes, and firmware reads {SECTOR_BYTES}"
        )
    data_sectors = (
        (sectors_16 or sectors_32)
        - reserved_sectors
        - fat_count * (fat_sectors_16 or fat_sectors_32)
        - root_entries * 32 // SECTOR_BYTES
    )
    # The number of clusters is what tells FAT16 and FAT32 apart; one that says otherwise is read
    # wrongly by the bootloader of a Raspberry Pi.
    if not fat_sectors_16 and data_sectors // cluster_sectors < _FAT32_CLUSTERS:
        raise BadPartition("its FAT32 is too small to be one, and firmware takes it for a FAT16")


def detect_firmware(partition: bytes) -> BootFirmwareKind | None:
    """What starts an image with this partition; None where nothing does. Raises BadPartition."""
    with _memfd(partition) as fd:
        listing = _run_mtools(fd, "mdir", ["-/", "-b"], ["::"]).decode(errors="replace")
    names = {line.strip().rpartition("/")[2].upper() for line in listing.splitlines()}
    if "AUTOBOOT.TXT" in names:
        return _PI
    return next((kind for name, kind in _UEFI.items() if name in names), None)


def add_file(partition: bytes, name: str, data: bytes) -> bytes:
    """The partition with one more file, which replaces one of its name. Raises BadPartition."""
    with _memfd(partition) as fd:
        _run_mtools(fd, "mcopy", ["-o"], ["-", f"::{name}"], data)
        return _read_all(fd)


def read_file(partition: bytes, name: str) -> bytes:
    """A file's bytes. Raises BadPartition where it is not there."""
    with _memfd(partition) as fd:
        return _run_mtools(fd, "mtype", [], [f"::{name}"])


@contextmanager
def _memfd(content: bytes) -> Iterator[int]:
    fd = os.memfd_create(LABEL, os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(content)
        yield fd
    finally:
        os.close(fd)


def _read_all(fd: int) -> bytes:
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        return file.read()


def _run_mtools(
    fd: int, program: str, options: list[str], arguments: list[str], stdin: bytes = b""
) -> bytes:
    command = [program, *options, "-i", f"/proc/self/fd/{fd}", *arguments]
    try:
        result = subprocess.run(  # noqa: S603 - fixed words
            command,
            input=stdin,
            capture_output=True,
            check=False,
            pass_fds=[fd],
            # Nobody's own settings of mtools count here.
            env={"PATH": os.environ.get("PATH", os.defpath), "MTOOLSRC": os.devnull, "HOME": "/"},
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadPartition(f"{program}: {error}") from error
    if result.returncode:
        message = result.stderr.decode(errors="replace").split("\n")[0].strip()
        raise BadPartition(f"{program}: {message}")
    return result.stdout
