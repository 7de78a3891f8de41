"""Onto the target, and read back from it.

Invariant: as long as not all is written and read back, the target has no partition table, at neither
end. A card that was pulled out before starts no box, and no firmware mends its table from the copy.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from centre.flash import gpt
from centre.flash.disk_image import CHUNK_BYTES, OnProgress
from centre.flash.target import WriteTarget

_SYNC_INTERVAL_BYTES = 32 << 20
"""So often that the bar tells how far the medium is, and not how much memory there is."""


class VerifyFailed(Exception):
    """The target holds something else than was written. `str(error)` says where."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Some bytes, and where they go: at a multiple of a chunk, but for the last one."""

    offset: int
    data: bytes


class WrittenPart(msgspec.Struct, frozen=True, kw_only=True):
    """What was written where."""

    offset: int
    size_bytes: int
    digest: bytes


class WriteResult(msgspec.Struct, frozen=True, kw_only=True):
    """What is on the target, and what is not yet."""

    parts: tuple[WrittenPart, ...]
    pending_ends: tuple[Piece, ...]
    """The first and the last: with the partition table."""


def build_pieces(
    chunks: Iterable[bytes], image_bytes: int, disk_bytes: int, overlays: Mapping[int, bytes]
) -> Iterator[Piece]:
    """An image with changes laid over it, the later over the earlier, and zeros at both ends of what
    is behind it: there footage begins, and a card that was used before would seem to have some.
    """
    offset = 0
    for data in chunks:
        yield Piece(offset=offset, data=_apply_overlays(overlays, offset, data))
        offset += len(data)
    for begin, end in zero_regions(image_bytes, disk_bytes):
        yield Piece(offset=begin, data=_apply_overlays(overlays, begin, bytes(end - begin)))


def total_bytes(image_bytes: int, disk_bytes: int) -> int:
    """How much will be written."""
    return image_bytes + sum(end - begin for begin, end in zero_regions(image_bytes, disk_bytes))


def zero_regions(image_bytes: int, disk_bytes: int) -> list[tuple[int, int]]:
    """Where zeros go behind the image: all of it, or both ends of it."""
    tail_bytes = disk_bytes - image_bytes
    if tail_bytes <= 2 * CHUNK_BYTES:
        return [(image_bytes, disk_bytes)] if tail_bytes else []
    # Whole pages, as reading back wants them.
    last = (disk_bytes - CHUNK_BYTES) // PAGE_BYTES * PAGE_BYTES
    return [(image_bytes, image_bytes + CHUNK_BYTES), (last, disk_bytes)]


PAGE_BYTES = 4096
"""Where reading begins, past the computer's memory, is a multiple of this."""


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
    """Take the partition table off, at both ends. Raises OSError."""
    size_bytes = min(CHUNK_BYTES, target.size_bytes)
    target.write(target.size_bytes - size_bytes, bytes(size_bytes))
    target.write(0, bytes(size_bytes))
    target.sync()


def write_pieces(
    target: WriteTarget, stream: Iterable[Piece], total: int, progress: OnProgress
) -> WriteResult:
    """Write all pieces onto a blanked target, but for its end and the partition table at its begin.
    Raises OSError, and what the stream raises.
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
            # What lands upon it, on a card that lies about its size, is found when it is read.
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


def read_back(target: WriteTarget, written: WriteResult, total: int, progress: OnProgress) -> None:
    """Raises VerifyFailed, and OSError."""
    done = 0
    for part in written.parts:
        _verify_part(target, part)
        done += part.size_bytes
        progress(done, total)


def write_ends(target: WriteTarget, written: WriteResult, total: int, progress: OnProgress) -> None:
    """Write both ends, the first with the partition table last, and read them back. Raises
    VerifyFailed, OSError.
    """
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
    """Whether zeros are to be written where zeros are: much of an image is, and reading is faster."""
    size_bytes = len(piece.data)
    zeros = bytes(size_bytes)
    return piece.data == zeros and target.read(piece.offset, size_bytes) == zeros
