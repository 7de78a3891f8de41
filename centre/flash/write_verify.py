"""Onto the target, and read back from it.

Invariant: as long as not all is written and read back, the target has no partition table, at neither
end. A card that was pulled out before starts no box, and no firmware mends its table from the copy.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from centre.flash import gpt
from centre.flash.image import CHUNK_BYTES, Told
from centre.flash.target import WriteTarget

_SYNC_BYTES = 32 << 20
"""So often that the bar tells how far the medium is, and not how much memory there is."""


class VerifyFailed(Exception):
    """The target holds something else than was written. `str(error)` says where."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Some bytes, and where they go: at a multiple of a chunk, but for the last one."""

    offset: int
    data: bytes


class WritePart(msgspec.Struct, frozen=True, kw_only=True):
    """What was written where."""

    offset: int
    size: int
    digest: bytes


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What is on the target, and what is not yet."""

    parts: tuple[WritePart, ...]
    ends: tuple[Piece, ...]
    """The first and the last: with the partition table."""


def pieces(
    chunks: Iterable[bytes], image_bytes: int, disk_bytes: int, laid_over: Mapping[int, bytes]
) -> Iterator[Piece]:
    """An image with changes laid over it, the later over the earlier, and zeros at both ends of what
    is behind it: there footage begins, and a card that was used before would seem to have some.
    """
    offset = 0
    for data in chunks:
        yield Piece(offset=offset, data=_with(laid_over, offset, data))
        offset += len(data)
    for begin, end in zero_regions(image_bytes, disk_bytes):
        yield Piece(offset=begin, data=_with(laid_over, begin, bytes(end - begin)))


def total_bytes(image_bytes: int, disk_bytes: int) -> int:
    """How much will be written."""
    return image_bytes + sum(end - begin for begin, end in zero_regions(image_bytes, disk_bytes))


def zero_regions(image_bytes: int, disk_bytes: int) -> list[tuple[int, int]]:
    """Where zeros go behind the image: all of it, or both ends of it."""
    room = disk_bytes - image_bytes
    if room <= 2 * CHUNK_BYTES:
        return [(image_bytes, disk_bytes)] if room else []
    # Whole pages, as reading back wants them.
    last = (disk_bytes - CHUNK_BYTES) // PAGE * PAGE
    return [(image_bytes, image_bytes + CHUNK_BYTES), (last, disk_bytes)]


PAGE = 4096
"""Where reading begins, past the computer's memory, is a multiple of this."""


def _with(laid_over: Mapping[int, bytes], offset: int, data: bytes) -> bytes:
    changed: bytearray | None = None
    for at, new in laid_over.items():
        begin, end = max(at, offset), min(at + len(new), offset + len(data))
        if begin < end:
            changed = bytearray(data) if changed is None else changed
            changed[begin - offset : end - offset] = new[begin - at : end - at]
    return data if changed is None else bytes(changed)


def blank(target: WriteTarget) -> None:
    """Take the partition table off, at both ends. Raises OSError."""
    size = min(CHUNK_BYTES, target.size_bytes)
    target.write(target.size_bytes - size, bytes(size))
    target.write(0, bytes(size))
    target.sync()


def write(target: WriteTarget, stream: Iterable[Piece], total: int, told: Told) -> Written:
    """Write all pieces onto a blanked target, but for its end and the partition table at its begin.
    Raises OSError, and what the stream raises.
    """
    parts: list[WritePart] = []
    ends: list[Piece] = []
    done = since_sync = 0
    for piece in stream:
        done += len(piece.data)
        is_last = piece.offset + len(piece.data) == target.size_bytes
        if piece.offset == 0 or is_last:
            ends.append(piece)
        if piece.offset == 0:
            # What lands upon it, on a card that lies about its size, is found when it is read.
            without = _without_table(piece)
            target.write(without.offset, without.data)
            parts.append(_part(without))
        elif not is_last:
            parts.append(_part(piece))
            if not _is_blank_there(target, piece):
                target.write(piece.offset, piece.data)
                since_sync += len(piece.data)
        if since_sync >= _SYNC_BYTES:
            target.sync()
            since_sync = 0
        told(done, total)
    target.sync()
    return Written(parts=tuple(parts), ends=tuple(ends))


def read_back(target: WriteTarget, written: Written, total: int, told: Told) -> None:
    """Raises NotAsWritten, and OSError."""
    done = 0
    for part in written.parts:
        _check(target, part)
        done += part.size
        told(done, total)


def finish(target: WriteTarget, written: Written, total: int, told: Told) -> None:
    """Write both ends, the first with the partition table last, and read them back. Raises
    NotAsWritten, OSError.
    """
    for piece in reversed(written.ends):
        target.write(piece.offset, piece.data)
        target.sync()
    for piece in written.ends:
        _check(target, _part(piece))
    told(total, total)


def _check(target: WriteTarget, part: WritePart) -> None:
    if hashlib.sha256(target.read(part.offset, part.size)).digest() != part.digest:
        raise VerifyFailed(f"between byte {part.offset} and {part.offset + part.size}")


def _without_table(first: Piece) -> Piece:
    size = min(gpt.HEAD_BYTES, len(first.data))
    return Piece(offset=0, data=bytes(size) + first.data[size:])


def _part(piece: Piece) -> WritePart:
    digest = hashlib.sha256(piece.data).digest()
    return WritePart(offset=piece.offset, size=len(piece.data), digest=digest)


def _is_blank_there(target: WriteTarget, piece: Piece) -> bool:
    """Whether zeros are to be written where zeros are: much of an image is, and reading is faster."""
    size = len(piece.data)
    nothing = bytes(size)
    return piece.data == nothing and target.read(piece.offset, size) == nothing
