"""Disk image: checked before anything is written, then read to its end."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.base.errors import UserError
from agent.base.progress import ProgressCallback
from centre.flash import gpt, select_partition
from centre.flash.decompress import (
    COMPRESSED_SUFFIXES,
    IMAGE_SUFFIXES,
    CorruptImage,
    has_image_suffix,
    open_decompressed,
)
from centre.flash.memory_file import check_programs
from centre.flash.select_partition import BadPartition, BootFirmwareKind

PARTITION_LABELS = ("select", "boot_a", "boot_b", "root_a", "root_b", "state")
"""The partitions of every image of Vigie; an image that was booted has `data` too."""

CHUNK_BYTES = 4 << 20
_MAX_SELECT_BYTES = 512 << 20
_ALLOWED = f"allowed: an image of Vigie, {' or '.join(IMAGE_SUFFIXES)}, also with {', '.join(COMPRESSED_SUFFIXES)}"


class DiskImage(msgspec.Struct, frozen=True, kw_only=True):
    """A checked image."""

    path: Path
    first_sectors: bytes
    table: gpt.PartitionTable
    select_data: bytes
    """The content of the partition `select`."""
    firmware: BootFirmwareKind
    checksum_verified: bool
    """False if there was no checksum file, which the user has allowed."""

    @property
    def size_bytes(self) -> int:
        """The size after decompression."""
        return self.table.disk_bytes


def check_image(path: Path, progress: ProgressCallback, *, without_checksum: bool) -> DiskImage:
    """Check that an image is complete and one of Vigie. Raises: UserError."""
    if not has_image_suffix(path.name):
        raise UserError(f"{path}: {_ALLOWED}")
    check_programs("mcopy", "sfdisk", *(["zstd"] if path.suffix == ".zst" else []))
    try:
        checksum_verified = _verify_checksum(path, progress, without_checksum=without_checksum)
        with open_decompressed(path) as stream:
            first_sectors = stream.read(gpt.FIRST_SECTORS_BYTES)
            table = _read_table(path, first_sectors)
            partition = table.find_partition(select_partition.LABEL)
            if (
                partition.offset_bytes < len(first_sectors)
                or partition.offset_bytes + partition.size_bytes > _MAX_SELECT_BYTES
            ):
                raise UserError(
                    f"{path}: not an image of Vigie: its partition select is misplaced; {_ALLOWED}"
                )
            stream.read(partition.offset_bytes - len(first_sectors))
            select_data = stream.read(partition.size_bytes)
        if len(select_data) != partition.size_bytes:
            raise UserError(f"{path}: truncated; allowed: the whole image")
        select_partition.check_fat(select_data)
        firmware = select_partition.detect_firmware(select_data)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except CorruptImage as error:
        raise UserError(f"{path}: corrupt: {error}; allowed: the whole image") from error
    except BadPartition as error:
        raise UserError(f"{path}: not bootable: {error}; {_ALLOWED}") from error
    if firmware is None:
        raise UserError(f"{path}: not bootable: no boot loader; {_ALLOWED}")
    return DiskImage(
        path=path,
        first_sectors=first_sectors,
        table=table,
        select_data=select_data,
        firmware=firmware,
        checksum_verified=checksum_verified,
    )


def read_chunks(image: DiskImage) -> Iterator[bytes]:
    """Yield the decompressed image in equal chunks, of which the last may be shorter.

    Raises: CorruptImage, or OSError.
    """
    remaining = image.size_bytes
    with open_decompressed(image.path) as stream:
        while remaining:
            data = stream.read(min(CHUNK_BYTES, remaining))
            if not data:
                raise CorruptImage("truncated")
            remaining -= len(data)
            yield data
        if stream.read(1):
            raise CorruptImage("longer than its partition table says")


def _verify_checksum(path: Path, progress: ProgressCallback, *, without_checksum: bool) -> bool:
    """Verify the checksum file. Return False if there is none. Raises: UserError, or OSError."""
    checksum_path = path.with_name(f"{path.name}.sha256")
    try:
        fields = checksum_path.read_text(encoding="ascii", errors="replace").split()
    except FileNotFoundError:
        if without_checksum:
            return False
        raise UserError(
            f"{checksum_path}: missing, so the image cannot be checked; allowed: the file that was "
            "made with the image, or --even-without-checksum"
        ) from None
    if not fields or len(fields[0]) != hashlib.sha256().digest_size * 2:
        raise UserError(f"{checksum_path}: not a checksum; allowed: the output of sha256sum")
    if _hash_file(path, progress) != fields[0].lower():
        raise UserError(
            f"{path}: corrupt: its checksum differs from {checksum_path.name}; allowed: fetch it again"
        )
    return True


def _hash_file(path: Path, progress: ProgressCallback) -> str:
    digest = hashlib.sha256()
    total = path.stat().st_size
    done = 0
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            digest.update(data)
            done += len(data)
            progress(done, total)
    return digest.hexdigest()


def _read_table(path: Path, first_sectors: bytes) -> gpt.PartitionTable:
    try:
        table = gpt.parse_table(first_sectors)
    except gpt.BadPartitionTable as error:
        raise UserError(f"{path}: not an image of Vigie: {error}; {_ALLOWED}") from error
    missing = [label for label in PARTITION_LABELS if table.labels.count(label) != 1]
    if missing:
        labels = ", ".join(map(repr, table.labels)) or "none"
        raise UserError(
            f"{path}: not an image of Vigie: its partitions are {labels}; allowed: {', '.join(PARTITION_LABELS)}"
        )
    return table
