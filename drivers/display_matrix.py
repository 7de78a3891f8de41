"""The display matrix of a video: the turn by 90, 180 or 270 degrees and the mirroring that a player applies.

A phone stores each picture as its sensor lies, and how the phone was held in this matrix (ISO/IEC 14496-12, 8.3.2).
"""

import struct

import msgspec
import numpy as np

from drivers.media import Plane, Planes

_MATRIX = struct.Struct("=9i")
"""As FFmpeg has it (libavutil/display.h): rows a, b, u and c, d, v and x, y, w; 16.16 fixed point but u, v, w."""

_ONE = 1 << 16


class Orientation(msgspec.Struct, frozen=True, kw_only=True):
    """How a stored picture becomes the displayed one: `is_transposed` first, then the mirroring of each axis."""

    is_transposed: bool = False
    is_mirrored_x: bool = False
    is_mirrored_y: bool = False

    def turn(self, picture: Plane) -> Plane:
        """Return a stored plane, or a picture of several channels, as it is displayed."""
        if self == UPRIGHT:
            return picture
        turned = picture.swapaxes(0, 1) if self.is_transposed else picture
        if self.is_mirrored_x:
            turned = turned[:, ::-1]
        if self.is_mirrored_y:
            turned = turned[::-1]
        # OpenCV takes no array with a negative stride.
        turned = np.ascontiguousarray(turned)
        turned.flags.writeable = False
        return turned

    def turn_planes(self, planes: Planes) -> Planes:
        """Return stored planes as they are displayed."""
        y, u, v = planes
        return self.turn(y), self.turn(u), self.turn(v)


UPRIGHT = Orientation()


def parse_display_matrix(content: bytes) -> Orientation | None:
    """Return the orientation of a display matrix, or None if it also scales, shears or turns by another angle."""
    if len(content) != _MATRIX.size:
        return None
    a, b, u, c, d, v, _, _, _ = _MATRIX.unpack(content)
    if u or v:
        return None
    if (abs(a), abs(b), abs(c), abs(d)) == (_ONE, 0, 0, _ONE):
        return Orientation(is_mirrored_x=a < 0, is_mirrored_y=d < 0)
    if (abs(a), abs(b), abs(c), abs(d)) == (0, _ONE, _ONE, 0):
        return Orientation(is_transposed=True, is_mirrored_x=c < 0, is_mirrored_y=b < 0)
    return None
