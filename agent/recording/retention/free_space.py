"""Free space that the footage leaves on its disk. Pure."""

import os

import msgspec

RESERVE_DIVISOR = 20
UPDATE_RESERVE_BYTES = 500_000_000
UPDATE_RESERVE_DIVISOR = 5

RESERVE_FILES = 1000
"""Far more than all cameras create between two checks of the disk, and an update brings."""


class SpaceShortfall(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes and files that are missing from the free space to be kept."""

    bytes: int = 0
    files: int = 0

    def __bool__(self) -> bool:
        return bool(self.bytes or self.files)


NO_SHORTFALL = SpaceShortfall()


def space_shortfall(
    disk_stats: os.statvfs_result, configured_bytes: int, undeletable_bytes: int = 0
) -> SpaceShortfall:
    """Return how far a disk's free space is below the reserve, in bytes and in files.

    Bytes that cannot be deleted count as free, up to half of the reserve: held footage makes no room in their place. With
    all of the reserve the disk could fill up, and recording would end before a hold.

    Without free inodes no file can be created, however many bytes are free. A file system that creates
    inodes on demand reports 0 in total.
    """
    required_bytes = reserve_bytes(configured_bytes, disk_stats.f_blocks * disk_stats.f_frsize)
    required_bytes -= min(undeletable_bytes, required_bytes // 2)
    required_files = min(RESERVE_FILES, disk_stats.f_files // RESERVE_DIVISOR)
    return SpaceShortfall(
        bytes=max(0, required_bytes - disk_stats.f_bavail * disk_stats.f_frsize),
        files=max(0, required_files - disk_stats.f_favail) if disk_stats.f_files else 0,
    )


def reserve_bytes(configured_bytes: int, total_bytes: int) -> int:
    """Return the bytes to keep free: as configured, at most a twentieth of the disk.

    A small card then still records. Below 10 GB a twentieth would not fit an update, which needs its
    bundle (285 MB and more) plus 64 MB: there the maximum is 500 MB, up to a fifth of the disk.
    """
    max_bytes = max(
        total_bytes // RESERVE_DIVISOR,
        min(UPDATE_RESERVE_BYTES, total_bytes // UPDATE_RESERVE_DIVISOR),
    )
    return min(configured_bytes, max_bytes)
