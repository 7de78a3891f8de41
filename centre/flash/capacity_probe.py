"""Whether a disk is as large as it says.

A card that lies keeps what is written behind its real end somewhere else, mostly at its begin again, or
nowhere. So marks that name their places are written all over what is behind the image, before the image
is, and read after it. Where a mark lies where the image does, it is gone by then; where two lie in one
place, one is.
"""

from centre.flash.target import WriteTarget
from centre.flash.write_verify import PAGE_BYTES, VerifyFailed, zero_regions

_EVEN_PROBES = 32
"""So many at equal distances. Where these are no longer than the image, no lie is missed that begins
again: one of the marks lies upon the image, whatever the real size. For an image of 3 GB that is so up
to 96 GB. On larger disks the powers of two count, which lie upon each other, and chance."""

_OFFSET_BYTES = 8


def plan_offsets(image_bytes: int, disk_bytes: int) -> tuple[int, ...]:
    """Where marks go, in order: nowhere that `writing` writes to before they are read."""
    zeroed = zero_regions(image_bytes, disk_bytes)
    if len(zeroed) < 2:  # noqa: PLR2004 - one piece, to the end, is written and read anyway
        return ()
    (_, begin), (last, end) = zeroed
    pitch = max(begin, (last - begin) // _EVEN_PROBES)
    candidates = {_align_down(offset) for offset in range(begin, last, pitch)}
    candidates |= {1 << power for power in range(end.bit_length())}
    usable = {offset for offset in candidates if _align_up(begin) <= offset <= last - PAGE_BYTES}
    return tuple(sorted(usable | {last, _align_down(end - PAGE_BYTES)}))


def write_probe(target: WriteTarget, offsets: tuple[int, ...]) -> None:
    """Write marks there. Raises OSError."""
    for offset in offsets:
        target.write(offset, _probe_block(offset))
    target.sync()


def verify_probe(target: WriteTarget, offsets: tuple[int, ...]) -> None:
    """Read them, and blank them once all are found. Raises VerifyFailed, OSError."""
    for offset in offsets:
        if target.read(offset, PAGE_BYTES) != _probe_block(offset):
            raise VerifyFailed(f"between byte {offset} and {offset + PAGE_BYTES}")
    for offset in offsets:
        target.write(offset, bytes(PAGE_BYTES))
    target.sync()


def _probe_block(offset: int) -> bytes:
    return offset.to_bytes(_OFFSET_BYTES, "little") * (PAGE_BYTES // _OFFSET_BYTES)


def _align_down(offset: int) -> int:
    return offset // PAGE_BYTES * PAGE_BYTES


def _align_up(offset: int) -> int:
    return -(-offset // PAGE_BYTES) * PAGE_BYTES
