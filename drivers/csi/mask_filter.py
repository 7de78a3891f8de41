"""Drops what the sensor's network found at a mask: the sensor sees what the mask hides. Pure.

Invariant: an object that is kept touches no mask that was in force within MASK_MEMORY_NS before, or MASK_MEMORY_PICTURES. A
result is of a picture before the one that carries it, which may have had other masks, and at night pictures may be seconds
apart. Masks that are not known are the whole picture.
"""

import math
from collections.abc import Iterable

from drivers.masking import mask_plane
from drivers.media import NS_PER_S, FoundObject, Plane, Polygon

PLANE_WIDTH_PX, PLANE_HEIGHT_PX = 320, 240
MASK_MEMORY_NS, MASK_MEMORY_PICTURES = NS_PER_S // 2, 3


class MaskFilter:
    """The masks of one camera, now and a moment ago."""

    def __init__(self) -> None:
        self._masks: tuple[Polygon, ...] = ()
        self._plane: Plane | None = None
        self._pictures = 0
        self._former: list[tuple[int, int, Plane]] = []
        """Planes of masks that were replaced, each with the time and the number of the picture until which it counts."""

    def update(self, masks: tuple[Polygon, ...], t_ns: int) -> None:
        """Take the masks of a picture."""
        self._pictures += 1
        self._former = [
            former for former in self._former if t_ns < former[0] or self._pictures < former[1]
        ]
        if masks is self._masks:
            return
        if self._plane is not None:
            self._former.append(
                (t_ns + MASK_MEMORY_NS, self._pictures + MASK_MEMORY_PICTURES, self._plane)
            )
        self._masks = masks
        self._plane = mask_plane(masks, PLANE_WIDTH_PX, PLANE_HEIGHT_PX) if masks else None

    def keep(self, objects: Iterable[FoundObject]) -> tuple[FoundObject, ...]:
        """Return the objects that touch no mask."""
        planes = [plane for _, _, plane in self._former]
        if self._plane is not None:
            planes.append(self._plane)
        return tuple(one for one in objects if not any(_touches(one, plane) for plane in planes))


def _touches(one: FoundObject, plane: Plane) -> bool:
    """Whether a mask is within a box, or in a pixel that it only grazes."""
    height, width = plane.shape
    rows = slice(math.floor(one.y * height), math.ceil((one.y + one.h) * height) + 1)
    columns = slice(math.floor(one.x * width), math.ceil((one.x + one.w) * width) + 1)
    return bool(plane[rows, columns].any())
