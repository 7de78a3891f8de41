"""Images from planes: crops for the detector, small luma for the gate, thumbnails.

Planes are resized before the conversion to colour: on a 1080p frame that costs a quarter of the
other order. A frame's planes are never written to.
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import simplejpeg

from agent.base.model import BoundingBox
from drivers.media import Frame, Plane, Point

Rgb = npt.NDArray[np.uint8]
"""A colour picture, H x W x 3, red first."""

MAX_SNAPSHOT_WIDTH_PX = 1280
_MAX_QUALITY, _MIN_QUALITY, _QUALITY_STEP = 80, 20, 12
_LIVE_PIXELS_PER_BYTE = 9.0
"""Of a street at quality 56: a picture that is larger would be encoded several times until it fits."""
_ROW_SKIP_RATIO = 3.5
"""Source rows for each target row from which every second row is skipped."""
_BOX_LUMA, _BOX_U, _BOX_V = 235, 16, 146
"""Yellow, in BT.601."""


class Region(msgspec.Struct, frozen=True):
    """A rectangle of a frame, in pixels. All four are even, so that the chroma planes fit."""

    x: int
    y: int
    w: int
    h: int

    @property
    def right(self) -> int:
        """One past its last column."""
        return self.x + self.w

    @property
    def bottom(self) -> int:
        """One past its last row."""
        return self.y + self.h


def full_region(frame: Frame) -> Region:
    """Return the region of a whole frame, without the last row or column if it is odd."""
    return Region(0, 0, frame.width_px // 2 * 2, frame.height_px // 2 * 2)


def downscale_luma(y: Plane, width_px: int) -> Plane:
    """Return a copy of a luma plane, at most `width_px` wide.

    Rows are skipped first if there are more than two for each target row: on a large picture most
    of the cost is to read it.
    """
    height, width = y.shape
    if width <= width_px:
        return np.ascontiguousarray(y)
    height_px = max(1, round(height * width_px / width))
    target = np.empty((height_px, width_px), np.uint8)
    _resize_into(y[:: max(1, height // (2 * height_px))], target)
    return target


def gate_luma(frame: Frame, width_px: int) -> Plane:
    """Return the luma of a frame for a motion gate, at most `width_px` wide."""
    return downscale_luma(frame.luma_at_least(width_px), width_px)


def _resize_into(plane: Plane, target: Plane) -> None:
    """Resize into `target`.

    A plane more than twice as large is halved first, each pixel the mean of four, and the rest is
    interpolated: OpenCV's averaging over any other area costs ten times as much, and interpolation
    alone would skip most pixels. Of an even larger plane only every second row is read, because
    reading from memory is most of the cost.
    """
    target_height, target_width = target.shape
    while plane.shape[0] >= 2 * target_height and plane.shape[1] >= 2 * target_width:
        if plane.shape[0] >= _ROW_SKIP_RATIO * target_height:
            plane = plane[::2]
        height, width = plane.shape[0] // 2, plane.shape[1] // 2
        even = plane[: 2 * height, : 2 * width]
        plane = np.asarray(
            cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
    if plane.shape == target.shape:
        target[:] = plane
    else:
        cv2.resize(plane, (target_width, target_height), dst=target, interpolation=cv2.INTER_LINEAR)


def crop_rgb(frame: Frame, region: Region, size_px: tuple[int, int]) -> Rgb:
    """Return a region of a frame in colour (BT.601), resized to `size_px`, which is even."""
    return np.asarray(
        cv2.cvtColor(_resize_to_i420(frame, region, size_px), cv2.COLOR_YUV2RGB_I420), np.uint8
    )


def _resize_to_i420(frame: Frame, region: Region, size_px: tuple[int, int]) -> Plane:
    """Return the region's planes, resized and stacked as I420: (height * 3 / 2) x width."""
    width, height = size_px
    stacked = np.empty(width * height * 3 // 2, np.uint8)
    y, u, v = frame.part(region.x, region.y, region.right, region.bottom)
    parts = (
        (y, width, height, 0),
        (u, width // 2, height // 2, width * height),
        (v, width // 2, height // 2, width * height * 5 // 4),
    )
    for plane, plane_width, plane_height, offset in parts:
        target = stacked[offset : offset + plane_width * plane_height].reshape(
            plane_height, plane_width
        )
        _resize_into(plane, target)
    return stacked.reshape(height * 3 // 2, width)


def encode_thumbnail(
    frame: Frame, width_px: int, max_bytes: int, box: BoundingBox | None = None
) -> bytes:
    """Return a JPEG of the frame, at most `width_px` wide and `max_bytes` long, optionally with a box.

    Quality is reduced until it fits, then the size is halved. The encoder takes the planes
    directly, without a conversion to RGB.
    """
    region = full_region(frame)
    scaled_width = min(width_px, region.w) // 2 * 2
    while True:
        scaled_height = max(2, round(region.h * scaled_width / region.w / 2) * 2)
        planes = _resize_to_i420(frame, region, (scaled_width, scaled_height))
        luma_size, chroma_shape = (
            scaled_width * scaled_height,
            (scaled_height // 2, scaled_width // 2),
        )
        flat = planes.reshape(-1)
        y = planes[:scaled_height]
        u = flat[luma_size : luma_size * 5 // 4].reshape(chroma_shape)
        v = flat[luma_size * 5 // 4 :].reshape(chroma_shape)
        if box is not None:
            _draw_box(y, u, v, box)
        for quality in range(_MAX_QUALITY, _MIN_QUALITY - 1, -_QUALITY_STEP):
            jpeg = bytes(simplejpeg.encode_jpeg_yuv_planes(y, u, v, quality=quality))
            if len(jpeg) <= max_bytes:
                return jpeg
        if scaled_width <= 32:  # noqa: PLR2004 - nothing smaller is a picture of anything
            return jpeg
        scaled_width = scaled_width // 4 * 2


def encode_snapshot(frame: Frame, max_bytes: int) -> bytes:
    """Return a JPEG of a frame that a person requested."""
    return encode_thumbnail(frame, MAX_SNAPSHOT_WIDTH_PX, max_bytes)


def encode_live_picture(frame: Frame, max_bytes: int) -> bytes:
    """Return a JPEG of a frame, of a width that fits `max_bytes` at a middle quality."""
    width_px = math.sqrt(max_bytes * _LIVE_PIXELS_PER_BYTE * frame.width_px / frame.height_px)
    return encode_thumbnail(frame, min(MAX_SNAPSHOT_WIDTH_PX, int(width_px)), max_bytes)


def _draw_box(y: Plane, u: Plane, v: Plane, box: BoundingBox) -> None:
    """Draw a yellow outline, two luma pixels thick, on planes of the thumbnail's own."""
    chroma_height, chroma_width = u.shape
    left, right = (
        min(chroma_width - 1, max(0, int(side * chroma_width))) for side in (box.x, box.x + box.w)
    )
    top, bottom = (
        min(chroma_height - 1, max(0, int(side * chroma_height))) for side in (box.y, box.y + box.h)
    )
    for plane, scale, value in ((y, 2, _BOX_LUMA), (u, 1, _BOX_U), (v, 1, _BOX_V)):
        rows = slice(top * scale, (bottom + 1) * scale)
        columns = slice(left * scale, (right + 1) * scale)
        for edge in (top, bottom):
            plane[edge * scale : (edge + 1) * scale, columns] = value
        for edge in (left, right):
            plane[rows, edge * scale : (edge + 1) * scale] = value


def median(values: npt.NDArray[Any]) -> Any:
    """Return the median along the first axis of at least one value, of which none is NaN.

    numpy's own imports masked arrays at its first call, which costs 2 MB for good.
    """
    ordered = np.sort(values, axis=0)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def rasterize_polygons(
    polygons: Sequence[Sequence[Point]], width_px: int, height_px: int
) -> npt.NDArray[np.bool_] | None:
    """Return a mask that is True inside of the polygons, or None if there are none."""
    if not polygons:
        return None
    canvas = np.zeros((height_px, width_px), np.uint8)
    for polygon in polygons:
        corners = [[round(p.x * width_px), round(p.y * height_px)] for p in polygon]
        cv2.fillPoly(canvas, [np.array(corners, np.int32)], 1)
    return canvas.astype(bool)
