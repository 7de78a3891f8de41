"""Capacity probe: find cards that are smaller than they claim.

A counterfeit card stores what is written beyond its real end at another address, mostly modulo its
real size, or nowhere. So blocks that name their own offset are written behind the image before the
image, and read after it. A block at an alias of the image, or of another block, is overwritten.
"""

from centre.flash.target import WriteTarget
from centre.flash.write_verify import PAGE_BYTES, VerifyFailed, zero_regions

_EVEN_PROBES = 32
"""Number of blocks at equal distances. If the distance is at most the image's size, every card that
wraps around is found, whatever its real size: one block aliases the image. For an image of 3 GB this
holds up to 96 GB. On larger disks it depends on blocks at powers of two, and on chance."""

_OFFSET_BYTES = 8


def plan_offsets(image_bytes: int, disk_bytes: int) -> tuple[int, ...]:
    """Return the offsets of the blocks, in order, none where the image is written."""
    zeroed = zero_regions(image_bytes, disk_bytes)
    if len(zeroed) < 2:  # noqa: PLR2004 - all behind the image is written and read anyway
        return ()
    (_, begin), (last, end) = zeroed
    pitch = max(begin, (last - begin) // _EVEN_PROBES)
    candidates = {_align_down(offset) for offset in range(begin, last, pitch)}
    candidates |= {1 << power for power in range(end.bit_length())}
    usable = {offset for offset in candidates if _align_up(begin) <= offset <= last - PAGE_BYTES}
    return tuple(sorted(usable | {last, _align_down(end - PAGE_BYTES)}))


def write_probe(target: WriteTarget, offsets: tuple[int, ...]) -> None:
    """Write the blocks. Raises: OSError."""
    for offset in offsets:
        target.write(offset, _probe_block(offset))
    target.sync()


def verify_probe(target: WriteTarget, offsets: tuple[int, ...]) -> None:
    """Read the blocks, then zero them. Raises: VerifyFailed if one is missing, or OSError."""
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
