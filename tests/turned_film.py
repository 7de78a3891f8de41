"""Films of a phone: an MP4 file with a display matrix."""

import struct
from pathlib import Path

ONE = 1 << 16
_OFFSET_IN_TRACK_HEADER = 44
"""Of the matrix, from the type of a `tkhd` of version 0: ISO/IEC 14496-12, 8.3.2."""

Matrix = tuple[int, int, int, int]
"""a, b, c, d of a display matrix, in whole turns: the others are 0."""

CLOCKWISE: Matrix = (0, 1, -1, 0)


def write_with_matrix(source: Path, target: Path, matrix: Matrix, scale: int = ONE) -> Path:
    """Write a copy of an MP4 file of one track whose display matrix is `matrix`."""
    a, b, c, d = (value * scale for value in matrix)
    content = bytearray(source.read_bytes())
    start = content.index(b"tkhd")
    assert content[start + 4] == 0
    struct.pack_into(
        ">9i", content, start + _OFFSET_IN_TRACK_HEADER, a, b, 0, c, d, 0, 0, 0, 1 << 30
    )
    target.write_bytes(content)
    return target
