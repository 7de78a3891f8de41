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

from agent.config.heads import FieldOfView
from agent.ptz.panorama.align import align_strips, compensate_exposure
from agent.ptz.panorama.shot import Image, Mask, Shot
from agent.ptz.panorama.strip import CylinderStrip, project_shot

MAX_WIDTH_PX = 4096
SEAM_HEIGHT_PX = 120
"""Seams are looked for on strips of this height: what is finer does not show."""
BLEND_BANDS = 3
CUT_MARGIN_PX = 24
"""Half of what the first picture has for itself where the round is cut open: more than the blending
of `BANDS` bands reaches."""
FULL_CIRCLE_DEG = 360.0
_JPEG_QUALITIES = (85, 75, 65, 55, 45, 35)
_SHRINK_FACTOR = 0.75
_MIN_WIDTH_PX = 64


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
    pair_count: int
    matched_count: int


class StitchedImage(msgspec.Struct, frozen=True, kw_only=True):
    """The picture before it is a JPEG: H x W x 3, BGR; see `Panorama`."""

    image: Image
    pan_from_deg: float
    width_deg: float
    tilt_low_deg: float
    tilt_high_deg: float
    pair_count: int
    matched_count: int


def render_panorama(shots: Sequence[Shot], fov: FieldOfView, max_bytes: int) -> Panorama:
    """The panorama as a JPEG of at most `max_bytes`. There is one shot at least, and all are of one
    size; their poses share the tilt and the zoom but for errors.
    """
    stitched_image = stitch(shots, fov)
    jpeg, image = _encode_jpeg(stitched_image.image, max_bytes)
    return Panorama(
        jpeg=jpeg,
        width_px=image.shape[1],
        height_px=image.shape[0],
        pan_from_deg=stitched_image.pan_from_deg,
        width_deg=stitched_image.width_deg,
        tilt_low_deg=stitched_image.tilt_low_deg,
        tilt_high_deg=stitched_image.tilt_high_deg,
        pair_count=stitched_image.pair_count,
        matched_count=stitched_image.matched_count,
    )


def stitch(shots: Sequence[Shot], fov: FieldOfView, *, refine: bool = True) -> StitchedImage:
    """The panorama as a picture. Without `refine` the poses are taken as they are told."""
    ordered = sorted(shots, key=lambda shot: shot.pose.pan_deg)
    strips = [project_shot(shot, fov, MAX_WIDTH_PX) for shot in ordered]
    pair_count = matched_count = 0
    if refine:
        alignment = align_strips(strips)
        strips, pair_count, matched_count = (
            list(alignment.strips),
            alignment.pair_count,
            alignment.matched_count,
        )
    strips = list(compensate_exposure(strips))
    is_closed = _is_closed(strips)
    placed = _close_ring(strips, is_closed=is_closed)
    image, left_px, top_px = _blend(placed, is_closed=is_closed)
    px_per_rad = strips[0].px_per_rad
    if is_closed:
        # The first picture stands at both ends: cut through its middle, where nothing else is.
        circumference_px = round(2 * math.pi * px_per_rad)
        cut_px = round(placed[0].center_px - left_px)
        image = image[:, cut_px : cut_px + circumference_px]
        image = np.roll(image, cut_px + left_px + circumference_px // 2, axis=1)
        left_px = -(circumference_px // 2)
    image, trimmed_px = _trim_rows(image)
    top_px += trimmed_px
    height, width = image.shape[:2]
    return StitchedImage(
        image=image,
        pan_from_deg=math.degrees(left_px / px_per_rad),
        width_deg=math.degrees(width / px_per_rad) if not is_closed else FULL_CIRCLE_DEG,
        tilt_low_deg=-math.degrees(math.atan((top_px + height) / px_per_rad)),
        tilt_high_deg=-math.degrees(math.atan(top_px / px_per_rad)),
        pair_count=pair_count,
        matched_count=matched_count,
    )


def _is_closed(strips: Sequence[CylinderStrip]) -> bool:
    """Whether the last picture reaches the first one over the back."""
    circumference_px = 2 * math.pi * strips[0].px_per_rad
    first, last = strips[0], strips[-1]
    return len(strips) > 2 and last.right_px > first.left_px + circumference_px  # noqa: PLR2004 - a ring


def _close_ring(strips: Sequence[CylinderStrip], *, is_closed: bool) -> list[CylinderStrip]:
    if not is_closed:
        return list(strips)
    circumference_px = round(2 * math.pi * strips[0].px_per_rad)
    return [*strips, strips[0].shift_right(circumference_px)]


def _blend(strips: Sequence[CylinderStrip], *, is_closed: bool) -> tuple[Image, int, int]:
    """One picture of all strips, and the column and row at which it begins."""
    masks = _seam_masks(strips)
    if is_closed:
        for end in (0, len(strips) - 1):
            _reserve_center(strips, masks, end)
    left, top = min(s.left_px for s in strips), min(s.top_px for s in strips)
    right, bottom = max(s.right_px for s in strips), max(s.bottom_px for s in strips)
    # OpenCV's stubs know neither an array where a UMat may stand nor None.
    blender: Any = cv2.detail.MultiBandBlender(0, BLEND_BANDS)
    blender.prepare((left, top, right - left, bottom - top))
    for strip, mask in zip(strips, masks, strict=True):
        blender.feed(strip.image.astype(np.int16), mask, (strip.left_px, strip.top_px))
    blended, coverage = blender.blend(None, None)
    image = np.clip(blended, 0, 255).astype(np.uint8)
    image[coverage == 0] = 0
    return image, left, top


def _seam_masks(strips: Sequence[CylinderStrip]) -> list[Mask]:
    """Which strip shows what: their masks, cut along the seams."""
    scale = min(1.0, SEAM_HEIGHT_PX / max(strip.image.shape[0] for strip in strips))
    small_images: list[Any] = []
    small_masks: list[Any] = []
    corners: list[tuple[int, int]] = []
    for strip in strips:
        height, width = strip.mask.shape
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small_images.append(
            cv2.resize(strip.image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        )
        small_masks.append(cv2.resize(strip.mask, size, interpolation=cv2.INTER_NEAREST))
        corners.append((round(strip.left_px * scale), round(strip.top_px * scale)))
    masks = []
    for strip, seam_mask in zip(
        strips,
        cv2.detail.DpSeamFinder("COLOR").find(small_images, corners, small_masks),
        strict=True,
    ):
        height, width = strip.mask.shape
        mask = np.asarray(
            seam_mask.get() if isinstance(seam_mask, cv2.UMat) else seam_mask, np.uint8
        )
        mask = np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.uint8)
        full_mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        masks.append(np.asarray(cv2.bitwise_and(full_mask, strip.mask), np.uint8))
    return masks


def _reserve_center(strips: Sequence[CylinderStrip], masks: list[Mask], strip_index: int) -> None:
    """Give the columns around a strip's middle to it alone, so that both ends of the round are the
    same picture and meet without a seam.
    """
    center_px = round(strips[strip_index].center_px)
    if strip_index:
        center_px += round(2 * math.pi * strips[strip_index].px_per_rad)
    for index, (strip, mask) in enumerate(zip(strips, masks, strict=True)):
        first = min(max(0, center_px - CUT_MARGIN_PX - strip.left_px), mask.shape[1])
        last = min(max(0, center_px + CUT_MARGIN_PX - strip.left_px), mask.shape[1])
        mask[:, first:last] = strip.mask[:, first:last] if index == strip_index else 0


def _trim_rows(image: Image) -> tuple[Image, int]:
    """Without the rows above and below of which less than half shows anything; and how many rows
    were above.
    """
    row_coverage = np.mean(np.max(image, axis=2) > 0, axis=1)
    rows = np.flatnonzero(row_coverage >= 0.5 * np.max(row_coverage))
    return image[rows[0] : rows[-1] + 1], int(rows[0])


def _encode_jpeg(image: Image, max_bytes: int) -> tuple[bytes, Image]:
    """The picture as a JPEG that fits: quality falls first, then the size."""
    while True:
        for quality in _JPEG_QUALITIES:
            encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            jpeg = encoded.tobytes()
            if len(jpeg) <= max_bytes:
                return jpeg, image
        if image.shape[1] * _SHRINK_FACTOR < _MIN_WIDTH_PX:
            return jpeg, image
        size = (
            round(image.shape[1] * _SHRINK_FACTOR),
            max(1, round(image.shape[0] * _SHRINK_FACTOR)),
        )
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
