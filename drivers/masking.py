"""Privacy masks: polygons that are painted over before a picture is used."""

import math
from collections.abc import Callable, Sequence

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from drivers.errors import MaskError
from drivers.media import Plane, Planes, Point, Polygon

MASK_LUMA, MASK_CHROMA = 32, 128
"""Dark grey. Black would look like a dead part of the sensor."""

MIN_AREA = 1e-5
"""By the picture's area. A smaller polygon is a mistake in drawing, and masks nothing."""

WHOLE_PICTURE: tuple[Polygon, ...] = (
    (Point(x=0, y=0), Point(x=1, y=0), Point(x=1, y=1), Point(x=0, y=1)),
)
"""The mask of a whole picture."""

_NEWEST_NS = (1 << 63) - 1
"""Later than each picture: masks that cannot be drawn are refused before the first one."""
_FRACTION_BITS = 4
_SUBPIXEL_SCALE = 1 << _FRACTION_BITS
_BORDER_PX = 4

Samples = npt.NDArray[np.uint8 | np.uint16]


class _Patch(msgspec.Struct, frozen=True):
    """A rectangle of a plane, and the pixels in it that are painted: 255 there, 0 elsewhere."""

    rows: slice
    columns: slice
    mask: Plane
    paint: Samples


class _MaskPatches(msgspec.Struct, frozen=True, kw_only=True):
    """The patches of luma, of a plane of chroma, and of the pairs of chroma in NV12."""

    luma: tuple[_Patch, ...] = ()
    chroma: tuple[_Patch, ...] = ()
    nv12_chroma: tuple[_Patch, ...] = ()


class MaskPainter:
    """Paints the masks over pictures of any size. Not thread-safe.

    The paint does not depend on the picture. A polygon is expanded by a pixel, so that every pixel
    it touches is covered, and then to whole samples of chroma, so that no colour of it is left.
    """

    def __init__(
        self,
        masks: Sequence[Polygon],
        display_name: str,
        current_masks: Callable[[int], tuple[Polygon, ...]] | None = None,
    ) -> None:
        """`current_masks`, if given, is called with the time of each picture and replaces `masks`.

        `display_name` begins the messages. Raises: MaskError if a polygon cannot be drawn.
        """
        self._display_name = display_name
        self._current_masks = current_masks
        self._masks: tuple[Polygon, ...] = ()
        self._size_px = (0, 0)
        self._patches = _MaskPatches()
        self._set_masks(tuple(masks) if current_masks is None else current_masks(_NEWEST_NS))

    def paint_planes(self, planes: Planes, t_ns: int = 0) -> Planes:
        """Return copies of the planes with the masks painted, or the planes if there are no masks.

        `t_ns` is that of the picture, for `current_masks`. Raises: MaskError if they cannot be drawn.
        """
        if not self._refresh_masks(t_ns):
            return planes
        y, u, v = planes
        try:
            patches = self._patches_for(y)
            return (
                _painted_copy(y, patches.luma),
                _painted_copy(u, patches.chroma),
                _painted_copy(v, patches.chroma),
            )
        except (cv2.error, MemoryError) as error:
            raise self._mask_error(y) from error

    def paint_nv12(self, luma: Plane, chroma: Plane, t_ns: int = 0) -> None:
        """Paint the masks into a picture, in place: `luma` is H x W, and `chroma` has Cb and Cr in
        turns, (H+1)//2 rows of W + W%2. Rows may be padded.

        `t_ns` as for `paint_planes`. Raises: MaskError if they cannot be drawn; the picture must not be used then.
        """
        if not self._refresh_masks(t_ns):
            return
        try:
            patches = self._patches_for(luma)
            _paint_patches(luma, patches.luma)
            _paint_patches(chroma.view(np.uint16), patches.nv12_chroma)
        except (cv2.error, MemoryError) as error:
            raise self._mask_error(luma) from error

    def _refresh_masks(self, t_ns: int) -> tuple[Polygon, ...]:
        if self._current_masks is not None:
            masks = self._current_masks(t_ns)
            if masks is not self._masks:
                self._set_masks(masks)
        return self._masks

    def _patches_for(self, luma: Plane) -> "_MaskPatches":
        size_px = (luma.shape[1], luma.shape[0])
        if size_px != self._size_px:
            self._patches = _rasterize(self._masks, *size_px)
            self._size_px = size_px
        return self._patches

    def _mask_error(self, luma: Plane) -> MaskError:
        return MaskError(
            f"{self._display_name}: masks not drawn at {luma.shape[1]}x{luma.shape[0]}"
        )

    def _set_masks(self, masks: tuple[Polygon, ...]) -> None:
        for index, polygon in enumerate(masks):
            _check_polygon(polygon, f"{self._display_name}: mask {index + 1}")
        self._masks = masks
        self._size_px = (0, 0)


def _check_polygon(polygon: Polygon, display_name: str) -> None:
    if len(polygon) < 3:  # noqa: PLR2004 - a polygon
        raise MaskError(f"{display_name}: has {len(polygon)} corners; allowed: 3 or more")
    for corner in polygon:
        # NaN is not in the range.
        if not (0 <= corner.x <= 1 and 0 <= corner.y <= 1):
            raise MaskError(
                f"{display_name}: corner [{corner.x}, {corner.y}]; allowed: within 0..1"
            )
    if polygon_area(polygon) < MIN_AREA:
        raise MaskError(f"{display_name}: has no area; allowed: corners not all on one line")


def polygon_area(polygon: Polygon) -> float:
    """Return the area of a polygon whose edges do not cross, by the area of the picture."""
    double_area = math.fsum(
        one.x * other.y - other.x * one.y
        for one, other in zip(polygon, polygon[1:] + polygon[:1], strict=True)
    )
    return abs(double_area) / 2


def mask_plane(masks: Sequence[Polygon], width_px: int, height_px: int) -> Plane:
    """Return a plane that is not 0 at each pixel that a mask touches, and next to it.

    Odd sides are rounded up to even ones.
    """
    rows, columns = (height_px + 1) // 2, (width_px + 1) // 2
    # OpenCV misses pixels if it clips a thin polygon at the picture's edge.
    bordered = np.zeros((2 * rows + 2 * _BORDER_PX, 2 * columns + 2 * _BORDER_PX), np.uint8)
    for polygon in masks:
        # OpenCV's integers are the centres of pixels.
        corners = [
            [
                round((p.x * width_px - 0.5 + _BORDER_PX) * _SUBPIXEL_SCALE),
                round((p.y * height_px - 0.5 + _BORDER_PX) * _SUBPIXEL_SCALE),
            ]
            for p in polygon
        ]
        single = np.zeros_like(bordered)
        cv2.fillPoly(single, [np.array(corners, np.int32)], 255, shift=_FRACTION_BITS)
        cv2.dilate(single, np.ones((3, 3), np.uint8), dst=single)
        # If edges cross, filling leaves holes: everything enclosed is covered.
        outlines, _ = cv2.findContours(single, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(bordered, outlines, -1, 255, cv2.FILLED)
    return bordered[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX]


def _rasterize(masks: Sequence[Polygon], width_px: int, height_px: int) -> _MaskPatches:
    rows, columns = (height_px + 1) // 2, (width_px + 1) // 2
    canvas = mask_plane(masks, width_px, height_px)
    chroma = canvas.reshape(rows, 2, columns, 2).max(axis=(1, 3))
    luma = chroma.repeat(2, axis=0).repeat(2, axis=1)[:height_px, :width_px]
    return _MaskPatches(
        luma=_split_patches(luma, np.uint8(MASK_LUMA)),
        chroma=_split_patches(chroma, np.uint8(MASK_CHROMA)),
        nv12_chroma=_split_patches(chroma, np.uint16(MASK_CHROMA << 8 | MASK_CHROMA)),
    )


def _split_patches(mask: Plane, value: np.uint8 | np.uint16) -> tuple[_Patch, ...]:
    """Return a patch for each connected part of the mask."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = []
    for x, y, width, height, _ in stats[1:]:
        rows, columns = slice(int(y), int(y + height)), slice(int(x), int(x + width))
        part = np.ascontiguousarray(mask[rows, columns])
        found.append(_Patch(rows, columns, part, np.full(part.shape, value)))
    return tuple(found)


def _painted_copy(plane: Plane, patches: Sequence[_Patch]) -> Plane:
    """Return a copy of a plane with the patches painted."""
    copy = plane.copy()
    _paint_patches(copy, patches)
    copy.flags.writeable = False
    return copy


def _paint_patches(plane: Samples, patches: Sequence[_Patch]) -> None:
    for patch in patches:
        cv2.copyTo(patch.paint, patch.mask, plane[patch.rows, patch.columns])
