"""Onto the target, and read back from it.

Invariant: as long as not all is written, the target has no partition table, at neither end. A card that
was pulled out half written starts no box, and no firmware mends its table from the copy.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from agent.flash.image import CHUNK_BYTES, Told
from agent.flash.target import Target

_SYNC_BYTES = 32 << 20
"""So often that the bar tells how far the medium is, and not how much memory there is."""


class NotAsWritten(Exception):
    """The target holds something else than was written. `str(error)` says where."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Some bytes, and where they go: at a multiple of a chunk, but for the last one."""

    offset: int
    data: bytes


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What was written where."""

    offset: int
    size: int
    digest: bytes


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
    for begin, end in _behind(image_bytes, disk_bytes):
        yield Piece(offset=begin, data=_with(laid_over, begin, bytes(end - begin)))


def total_bytes(image_bytes: int, disk_bytes: int) -> int:
    """How much will be written."""
    return image_bytes + sum(end - begin for begin, end in _behind(image_bytes, disk_bytes))


def _behind(image_bytes: int, disk_bytes: int) -> list[tuple[int, int]]:
    room = disk_bytes - image_bytes
    if room <= 2 * CHUNK_BYTES:
        return [(image_bytes, disk_bytes)] if room else []
    # Whole pages, as reading back wants them.
    last = (disk_bytes - CHUNK_BYTES) // _PAGE * _PAGE
    return [(image_bytes, image_bytes + CHUNK_BYTES), (last, disk_bytes)]


_PAGE = 4096


def _with(laid_over: Mapping[int, bytes], offset: int, data: bytes) -> bytes:
    changed: bytearray | None = None
    for at, new in laid_over.items():
        begin, end = max(at, offset), min(at + len(new), offset + len(data))
        if begin < end:
            changed = bytearray(data) if changed is None else changed
            changed[begin - offset : end - offset] = new[begin - at : end - at]
    return data if changed is None else bytes(changed)


def write(target: Target, stream: Iterable[Piece], total: int, told: Told) -> list[Written]:
    """Write all pieces, the first and the last of them at the end. Raises OSError, and what the stream
    raises.
    """
    blank(target)
    written: list[Written] = []
    kept: list[Piece] = []
    done = since_sync = 0
    for piece in stream:
        written.append(_written(piece))
        done += len(piece.data)
        if piece.offset == 0 or piece.offset + len(piece.data) == target.size_bytes:
            kept.append(piece)
        elif not _is_blank_there(target, piece):
            target.write(piece.offset, piece.data)
            since_sync += len(piece.data)
            if since_sync >= _SYNC_BYTES:
                target.sync()
                since_sync = 0
        told(done, total)
    target.sync()
    for piece in reversed(kept):
        target.write(piece.offset, piece.data)
        target.sync()
    return written


def read_back(target: Target, written: Iterable[Written], total: int, told: Told) -> None:
    """Raises NotAsWritten, and OSError."""
    done = 0
    for one in written:
        data = target.read(one.offset, one.size)
        if hashlib.sha256(data).digest() != one.digest:
            raise NotAsWritten(f"between byte {one.offset} and {one.offset + one.size}")
        done += one.size
        told(done, total)


def blank(target: Target) -> None:
    """Take the partition table off, at both ends. Raises OSError."""
    size = min(CHUNK_BYTES, target.size_bytes)
    target.write(target.size_bytes - size, bytes(size))
    target.write(0, bytes(size))
    target.sync()


def _written(piece: Piece) -> Written:
    digest = hashlib.sha256(piece.data).digest()
    return Written(offset=piece.offset, size=len(piece.data), digest=digest)


def _is_blank_there(target: Target, piece: Piece) -> bool:
    """Whether zeros are to be written where zeros are: much of an image is, and reading is faster."""
    size = len(piece.data)
    nothing = bytes(size)
    return piece.data == nothing and target.read(piece.offset, size) == nothing
