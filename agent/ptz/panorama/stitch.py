"""One picture all around, out of the pictures of a sweep. Pure: pictures with poses in, picture out.

It is laid out on a cylinder: columns are even steps of pan, rows even steps of the tangent of tilt,
so what is upright stays upright. The poses that the head told carry it, for on a street at night
there is nothing to match. Where neighbours do show the same features, those correct the poses,
within the head's own error and all around at once (`panorama_align`). Brightness is evened out, and
the seams go where neighbours differ least, so that what drove through one picture of the two is
there whole or not at all (OpenCV's `detail` module, as its own stitcher uses it).
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import cv2.detail
import msgspec
import numpy as np
import numpy.typing as npt

from agent.config.heads import FieldOfView
from agent.ptz.automation.sweep import Shot
from agent.ptz.panorama.align import aligned, evened
from agent.ptz.panorama.strip import CylinderStrip, strip_of

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]

WIDEST_PX = 4096
SEAM_PX = 120
"""Seams are looked for on strips of this height: what is finer does not show."""
BANDS = 3
CUT_PX = 24
"""Half of what the first picture has for itself where the round is cut open: more than the blending
of `BANDS` bands reaches."""
ROUND_DEG = 360.0
_QUALITIES = (85, 75, 65, 55, 45, 35)
_SMALLER = 0.75
_SMALLEST_PX = 64


class Panorama(msgspec.Struct, frozen=True, kw_only=True):
    """The finished picture: a JPEG from `pan_from_deg` to the right over `width_deg` (360 where it
    is closed), its rows even in the tangent of tilt between the two tilts. Where nothing was seen
    it is black. `matched` of `pairs` neighbours were aligned by what they show.
    """

    jpeg: bytes
    width_px: int
    height_px: int
    pan_from_deg: float
    width_deg: float
    tilt_low_deg: float
    tilt_high_deg: float
    pairs: int
    matched: int


class Canvas(msgspec.Struct, frozen=True, kw_only=True):
    """The picture before it is a JPEG: H x W x 3, BGR; see `Panorama`."""

    image: Image
    pan_from_deg: float
    width_deg: float
    tilt_low_deg: float
    tilt_high_deg: float
    pairs: int
    matched: int


def panorama(shots: Sequence[Shot], fov: FieldOfView, max_bytes: int) -> Panorama:
    """The panorama as a JPEG of at most `max_bytes`. There is one shot at least, and all are of one
    size; their poses share the tilt and the zoom but for errors.
    """
    canvas = stitched(shots, fov)
    jpeg, image = _jpeg(canvas.image, max_bytes)
    return Panorama(
        jpeg=jpeg,
        width_px=image.shape[1],
        height_px=image.shape[0],
        pan_from_deg=canvas.pan_from_deg,
        width_deg=canvas.width_deg,
        tilt_low_deg=canvas.tilt_low_deg,
        tilt_high_deg=canvas.tilt_high_deg,
        pairs=canvas.pairs,
        matched=canvas.matched,
    )


def stitched(shots: Sequence[Shot], fov: FieldOfView, *, refine: bool = True) -> Canvas:
    """The panorama as a picture. Without `refine` the poses are taken as they are told."""
    ordered = sorted(shots, key=lambda shot: shot.pose.pan_deg)
    strips = [strip_of(shot, fov, WIDEST_PX) for shot in ordered]
    pairs = matched = 0
    if refine:
        found = aligned(strips)
        strips, pairs, matched = list(found.strips), found.pairs, found.matched
    strips = list(evened(strips))
    closed = _is_closed(strips)
    laid = _laid(strips, closed=closed)
    image, left_px, top_px = _blended(laid, closed=closed)
    px_per_rad = strips[0].px_per_rad
    if closed:
        # The first picture stands at both ends: cut through its middle, where nothing else is.
        round_px = round(2 * math.pi * px_per_rad)
        cut = round(laid[0].middle_px - left_px)
        image = image[:, cut : cut + round_px]
        image = np.roll(image, cut + left_px + round_px // 2, axis=1)
        left_px = -(round_px // 2)
    image, above_px = _trimmed(image)
    top_px += above_px
    height, width = image.shape[:2]
    return Canvas(
        image=image,
        pan_from_deg=math.degrees(left_px / px_per_rad),
        width_deg=math.degrees(width / px_per_rad) if not closed else ROUND_DEG,
        tilt_low_deg=-math.degrees(math.atan((top_px + height) / px_per_rad)),
        tilt_high_deg=-math.degrees(math.atan(top_px / px_per_rad)),
        pairs=pairs,
        matched=matched,
    )


def _is_closed(strips: Sequence[CylinderStrip]) -> bool:
    """Whether the last picture reaches the first one over the back."""
    round_px = 2 * math.pi * strips[0].px_per_rad
    first, last = strips[0], strips[-1]
    return len(strips) > 2 and last.right_px > first.left_px + round_px  # noqa: PLR2004 - a ring


def _laid(strips: Sequence[CylinderStrip], *, closed: bool) -> list[CylinderStrip]:
    if not closed:
        return list(strips)
    round_px = round(2 * math.pi * strips[0].px_per_rad)
    return [*strips, strips[0].moved(round_px)]


def _blended(strips: Sequence[CylinderStrip], *, closed: bool) -> tuple[Image, int, int]:
    """One picture of all strips, and the column and row at which it begins."""
    masks = _parted(strips)
    if closed:
        for end in (0, len(strips) - 1):
            _reserve(strips, masks, end)
    left, top = min(s.left_px for s in strips), min(s.top_px for s in strips)
    right, bottom = max(s.right_px for s in strips), max(s.bottom_px for s in strips)
    # OpenCV's stubs know neither an array where a UMat may stand nor None.
    blender: Any = cv2.detail.MultiBandBlender(0, BANDS)
    blender.prepare((left, top, right - left, bottom - top))
    for strip, mask in zip(strips, masks, strict=True):
        blender.feed(strip.image.astype(np.int16), mask, (strip.left_px, strip.top_px))
    blended, shown = blender.blend(None, None)
    image = np.clip(blended, 0, 255).astype(np.uint8)
    image[shown == 0] = 0
    return image, left, top


def _parted(strips: Sequence[CylinderStrip]) -> list[Mask]:
    """Which strip shows what: their masks, cut along the seams."""
    share = min(1.0, SEAM_PX / max(strip.image.shape[0] for strip in strips))
    small: list[Any] = []
    small_masks: list[Any] = []
    corners: list[tuple[int, int]] = []
    for strip in strips:
        height, width = strip.mask.shape
        size = (max(1, round(width * share)), max(1, round(height * share)))
        small.append(cv2.resize(strip.image, size, interpolation=cv2.INTER_AREA).astype(np.float32))
        small_masks.append(cv2.resize(strip.mask, size, interpolation=cv2.INTER_NEAREST))
        corners.append((round(strip.left_px * share), round(strip.top_px * share)))
    found = []
    for strip, part in zip(
        strips, cv2.detail.DpSeamFinder("COLOR").find(small, corners, small_masks), strict=True
    ):
        height, width = strip.mask.shape
        mask = np.asarray(part.get() if isinstance(part, cv2.UMat) else part, np.uint8)
        mask = np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.uint8)
        large = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        found.append(np.asarray(cv2.bitwise_and(large, strip.mask), np.uint8))
    return found


def _reserve(strips: Sequence[CylinderStrip], masks: list[Mask], end: int) -> None:
    """Give the columns around a strip's middle to it alone, so that both ends of the round are the
    same picture and meet without a seam.
    """
    middle = round(strips[end].middle_px)
    if end:
        middle += round(2 * math.pi * strips[end].px_per_rad)
    for index, (strip, mask) in enumerate(zip(strips, masks, strict=True)):
        first = min(max(0, middle - CUT_PX - strip.left_px), mask.shape[1])
        last = min(max(0, middle + CUT_PX - strip.left_px), mask.shape[1])
        mask[:, first:last] = strip.mask[:, first:last] if index == end else 0


def _trimmed(image: Image) -> tuple[Image, int]:
    """Without the rows above and below of which less than half shows anything; and how many rows
    were above.
    """
    shown = np.mean(np.max(image, axis=2) > 0, axis=1)
    rows = np.flatnonzero(shown >= 0.5 * np.max(shown))
    return image[rows[0] : rows[-1] + 1], int(rows[0])


def _jpeg(image: Image, max_bytes: int) -> tuple[bytes, Image]:
    """The picture as a JPEG that fits: quality falls first, then the size."""
    while True:
        for quality in _QUALITIES:
            encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            jpeg = encoded.tobytes()
            if len(jpeg) <= max_bytes:
                return jpeg, image
        if image.shape[1] * _SMALLER < _SMALLEST_PX:
            return jpeg, image
        size = (round(image.shape[1] * _SMALLER), max(1, round(image.shape[0] * _SMALLER)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
