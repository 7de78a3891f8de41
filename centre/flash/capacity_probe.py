"""Whether a disk is as large as it says.

A card that lies keeps what is written behind its real end somewhere else, mostly at its begin again, or
nowhere. So marks that name their places are written all over what is behind the image, before the image
is, and read after it. Where a mark lies where the image does, it is gone by then; where two lie in one
place, one is.
"""

from centre.flash.target import WriteTarget
from centre.flash.write_verify import PAGE, VerifyFailed, zero_regions

_SPREAD = 32
"""So many at equal distances. Where these are no longer than the image, no lie is missed that begins
again: one of the marks lies upon the image, whatever the real size. For an image of 3 GB that is so up
to 96 GB. On larger disks the powers of two count, which lie upon each other, and chance."""

_NUMBER_BYTES = 8


def places(image_bytes: int, disk_bytes: int) -> tuple[int, ...]:
    """Where marks go, in order: nowhere that `writing` writes to before they are read."""
    written = zero_regions(image_bytes, disk_bytes)
    if len(written) < 2:  # noqa: PLR2004 - one piece, to the end, is written and read anyway
        return ()
    (_, begin), (last, end) = written
    pitch = max(begin, (last - begin) // _SPREAD)
    found = {_down(at) for at in range(begin, last, pitch)}
    found |= {1 << power for power in range(end.bit_length())}
    within = {at for at in found if _up(begin) <= at <= last - PAGE}
    return tuple(sorted(within | {last, _down(end - PAGE)}))


def write_probe(target: WriteTarget, at: tuple[int, ...]) -> None:
    """Write marks there. Raises OSError."""
    for place in at:
        target.write(place, _mark(place))
    target.sync()


def verify_probe(target: WriteTarget, at: tuple[int, ...]) -> None:
    """Read them, and blank them once all are found. Raises NotAsWritten, OSError."""
    for place in at:
        if target.read(place, PAGE) != _mark(place):
            raise VerifyFailed(f"between byte {place} and {place + PAGE}")
    for place in at:
        target.write(place, bytes(PAGE))
    target.sync()


def _mark(place: int) -> bytes:
    return place.to_bytes(_NUMBER_BYTES, "little") * (PAGE // _NUMBER_BYTES)


def _down(at: int) -> int:
    return at // PAGE * PAGE


def _up(at: int) -> int:
    return -(-at // PAGE) * PAGE
