"""Write to the target, and read back.

Invariant: until everything is written and read back, the target has no partition table, at neither
end. A card that is pulled out before boots no box, and firmware cannot restore the table from a backup.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from agent.base.progress import ProgressCallback
from centre.flash import gpt
from centre.flash.disk_image import CHUNK_BYTES
from centre.flash.target import WriteTarget

_SYNC_INTERVAL_BYTES = 32 << 20
"""Small enough that the bar shows the medium's progress, not the page cache's."""


class VerifyFailed(Exception):
    """The target differs from what was written; the message says where."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes and their offset, a multiple of the chunk size except for the last piece."""

    offset: int
    data: bytes


class WrittenPart(msgspec.Struct, frozen=True, kw_only=True):
    """Offset, size and hash of a written piece."""

    offset: int
    size_bytes: int
    digest: bytes


class WriteResult(msgspec.Struct, frozen=True, kw_only=True):
    """Pieces that were written, and those that are held back."""

    parts: tuple[WrittenPart, ...]
    pending_ends: tuple[Piece, ...]
    """The first and the last piece, which hold the partition tables."""


def build_pieces(
    chunks: Iterable[bytes], image_bytes: int, disk_bytes: int, overlays: Mapping[int, bytes]
) -> Iterator[Piece]:
    """Yield the image with the overlays (a later one wins), and zeros at both ends of the rest.

    The rest is the footage partition. Without the zeros, footage of an earlier use would be found.
    """
    offset = 0
    for data in chunks:
        yield Piece(offset=offset, data=_apply_overlays(overlays, offset, data))
        offset += len(data)
    for begin, end in zero_regions(image_bytes, disk_bytes):
        yield Piece(offset=begin, data=_apply_overlays(overlays, begin, bytes(end - begin)))


def total_bytes(image_bytes: int, disk_bytes: int) -> int:
    """Return the number of bytes that are written."""
    return image_bytes + sum(end - begin for begin, end in zero_regions(image_bytes, disk_bytes))


def zero_regions(image_bytes: int, disk_bytes: int) -> list[tuple[int, int]]:
    """Return the ranges behind the image that are zeroed: both ends, or all if that is small."""
    tail_bytes = disk_bytes - image_bytes
    if tail_bytes <= 2 * CHUNK_BYTES:
        return [(image_bytes, disk_bytes)] if tail_bytes else []
    # Page-aligned, because reads bypass the page cache.
    last = (disk_bytes - CHUNK_BYTES) // PAGE_BYTES * PAGE_BYTES
    return [(image_bytes, image_bytes + CHUNK_BYTES), (last, disk_bytes)]


PAGE_BYTES = 4096
"""Alignment of reads that bypass the page cache."""


def _apply_overlays(overlays: Mapping[int, bytes], offset: int, data: bytes) -> bytes:
    changed: bytearray | None = None
    for overlay_offset, overlay in overlays.items():
        begin, end = (
            max(overlay_offset, offset),
            min(overlay_offset + len(overlay), offset + len(data)),
        )
        if begin < end:
            changed = bytearray(data) if changed is None else changed
            changed[begin - offset : end - offset] = overlay[
                begin - overlay_offset : end - overlay_offset
            ]
    return data if changed is None else bytes(changed)


def wipe_table(target: WriteTarget) -> None:
    """Zero the partition tables at both ends. Raises: OSError."""
    size_bytes = min(CHUNK_BYTES, target.size_bytes)
    target.write(target.size_bytes - size_bytes, bytes(size_bytes))
    target.write(0, bytes(size_bytes))
    target.sync()


def write_pieces(
    target: WriteTarget, stream: Iterable[Piece], total: int, progress: ProgressCallback
) -> WriteResult:
    """Write all pieces to a wiped target, except the partition tables at both ends.

    Raises: OSError, and what the stream raises.
    """
    parts: list[WrittenPart] = []
    ends: list[Piece] = []
    done = unsynced_bytes = 0
    for piece in stream:
        done += len(piece.data)
        is_last = piece.offset + len(piece.data) == target.size_bytes
        if piece.offset == 0 or is_last:
            ends.append(piece)
        if piece.offset == 0:
            # Read back later: on a counterfeit card another piece may have overwritten it.
            zeroed = _zero_table(piece)
            target.write(zeroed.offset, zeroed.data)
            parts.append(_written_part(zeroed))
        elif not is_last:
            parts.append(_written_part(piece))
            if not _is_already_zero(target, piece):
                target.write(piece.offset, piece.data)
                unsynced_bytes += len(piece.data)
        if unsynced_bytes >= _SYNC_INTERVAL_BYTES:
            target.sync()
            unsynced_bytes = 0
        progress(done, total)
    target.sync()
    return WriteResult(parts=tuple(parts), pending_ends=tuple(ends))


def read_back(
    target: WriteTarget, written: WriteResult, total: int, progress: ProgressCallback
) -> None:
    """Compare all written pieces with the medium. Raises: VerifyFailed, or OSError."""
    done = 0
    for part in written.parts:
        _verify_part(target, part)
        done += part.size_bytes
        progress(done, total)


def write_ends(
    target: WriteTarget, written: WriteResult, total: int, progress: ProgressCallback
) -> None:
    """Write the last and then the first piece, and read them back. Raises: VerifyFailed, or OSError."""
    for piece in reversed(written.pending_ends):
        target.write(piece.offset, piece.data)
        target.sync()
    for piece in written.pending_ends:
        _verify_part(target, _written_part(piece))
    progress(total, total)


def _verify_part(target: WriteTarget, part: WrittenPart) -> None:
    if hashlib.sha256(target.read(part.offset, part.size_bytes)).digest() != part.digest:
        raise VerifyFailed(f"between byte {part.offset} and {part.offset + part.size_bytes}")


def _zero_table(first: Piece) -> Piece:
    size_bytes = min(gpt.FIRST_SECTORS_BYTES, len(first.data))
    return Piece(offset=0, data=bytes(size_bytes) + first.data[size_bytes:])


def _written_part(piece: Piece) -> WrittenPart:
    digest = hashlib.sha256(piece.data).digest()
    return WrittenPart(offset=piece.offset, size_bytes=len(piece.data), digest=digest)


def _is_already_zero(target: WriteTarget, piece: Piece) -> bool:
    """Return whether zeros would replace zeros: much of an image is zero, and reads are faster."""
    size_bytes = len(piece.data)
    zeros = bytes(size_bytes)
    return piece.data == zeros and target.read(piece.offset, size_bytes) == zeros
