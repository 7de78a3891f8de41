"""What of the disk stays free of footage: bytes, and files that can still be made. Pure."""

import os

import msgspec

RESERVE_SHARE = 20
UPDATE_BYTES = 500_000_000
UPDATE_SHARE = 5

RESERVE_FILES = 1000
"""Far more than all cameras begin between two looks at the disk, and an update brings."""


class SpaceShortfall(msgspec.Struct, frozen=True, kw_only=True):
    """How much less is free than should be."""

    bytes: int = 0
    files: int = 0

    def __bool__(self) -> bool:
        return bool(self.bytes or self.files)


NOTHING = SpaceShortfall()


def missing(disk: os.statvfs_result, wanted_bytes: int) -> SpaceShortfall:
    """What a disk has less than what must stay free. A file system that has run out of inodes takes no
    file, however many bytes are free; one that makes them as it goes says that it has 0.
    """
    kept_bytes = reserve_bytes(wanted_bytes, disk.f_blocks * disk.f_frsize)
    kept_files = min(RESERVE_FILES, disk.f_files // RESERVE_SHARE)
    return SpaceShortfall(
        bytes=max(0, kept_bytes - disk.f_bavail * disk.f_frsize),
        files=max(0, kept_files - disk.f_favail) if disk.f_files else 0,
    )


def reserve_bytes(wanted_bytes: int, total_bytes: int) -> int:
    """How much of a disk stays free: what is wanted, though never more than a twentieth of it, so that a
    small card still records. On a disk below 10 GB that would be no room for an update, which needs its
    bundle (285 MB and more) and 64 MB: there it may be 500 MB, up to a fifth of the disk.
    """
    most_bytes = max(total_bytes // RESERVE_SHARE, min(UPDATE_BYTES, total_bytes // UPDATE_SHARE))
    return min(wanted_bytes, most_bytes)
