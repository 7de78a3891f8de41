"""What of the disk stays free of footage: bytes, and files that can still be made. Pure."""

import os

import msgspec

RESERVE_DIVISOR = 20
UPDATE_RESERVE_BYTES = 500_000_000
UPDATE_RESERVE_DIVISOR = 5

RESERVE_FILES = 1000
"""Far more than all cameras begin between two looks at the disk, and an update brings."""


class SpaceShortfall(msgspec.Struct, frozen=True, kw_only=True):
    """How much less is free than should be."""

    bytes: int = 0
    files: int = 0

    def __bool__(self) -> bool:
        return bool(self.bytes or self.files)


NO_SHORTFALL = SpaceShortfall()


def space_shortfall(disk_stats: os.statvfs_result, configured_bytes: int) -> SpaceShortfall:
    """What a disk has less than what must stay free. A file system that has run out of inodes takes no
    file, however many bytes are free; one that makes them as it goes says that it has 0.
    """
    required_bytes = reserve_bytes(configured_bytes, disk_stats.f_blocks * disk_stats.f_frsize)
    required_files = min(RESERVE_FILES, disk_stats.f_files // RESERVE_DIVISOR)
    return SpaceShortfall(
        bytes=max(0, required_bytes - disk_stats.f_bavail * disk_stats.f_frsize),
        files=max(0, required_files - disk_stats.f_favail) if disk_stats.f_files else 0,
    )


def reserve_bytes(configured_bytes: int, total_bytes: int) -> int:
    """How much of a disk stays free: what is wanted, though never more than a twentieth of it, so that a
    small card still records. On a disk below 10 GB that would be no room for an update, which needs its
    bundle (285 MB and more) and 64 MB: there it may be 500 MB, up to a fifth of the disk.
    """
    max_bytes = max(
        total_bytes // RESERVE_DIVISOR,
        min(UPDATE_RESERVE_BYTES, total_bytes // UPDATE_RESERVE_DIVISOR),
    )
    return min(configured_bytes, max_bytes)
