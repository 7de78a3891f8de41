"""Stitch the images of a sweep into one panorama, a JPEG with its geometry. Pure.

It is laid out on a cylinder: columns are even steps of pan, rows even steps of the tangent of tilt,
so vertical lines stay vertical. It rests on the reported poses, for a street at night has no
features to match. If neighbours show the same features, those correct the poses, within the
head's own error and all around at once (`agent.ptz.panorama.align`). Brightness is evened out, and
the seams run where neighbours differ least, so that a vehicle that drove through one of two images
is there whole or not at all (OpenCV's `detail` module, as its own stitcher uses it).

A panorama is a map only if the pan of each column and the tilt of each row are known. They are in the file itself,
because a picture and a message about it get separated: as Photo Sphere XMP (`GPano`), which programs for panoramas
read, with the projection "cylindrical". The field of view of the head's camera is in a namespace of our own.
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import cv2.detail
import msgspec
import numpy as np

from agent.capture.jpeg import encode_jpeg
from agent.config.heads import FieldOfView
from agent.ptz.panorama.align import align_strips, compensate_exposure
from agent.ptz.panorama.shot import Image, Mask, Shot
from agent.ptz.panorama.strip import CylinderStrip, project_shot
from drivers.angles import FULL_TURN_DEG, HALF_TURN_DEG

MAX_WIDTH_PX = 4096
SEAM_HEIGHT_PX = 120
"""Seams are searched on strips of this height: finer steps would not show."""
BLEND_BANDS = 3
CUT_MARGIN_PX = 24
"""Half of the columns that the first image has alone where the circle is cut open: more than the
blending of BLEND_BANDS reaches."""

NAMESPACE = "urn:vigie:head:1"
_XMP_ID = b"http://ns.adobe.com/xap/1.0/\x00"
_JFIF_MARKER, _XMP_MARKER = b"\xff\xe0", b"\xff\xe1"
_SOI_BYTES, _MARKER_BYTES, _LENGTH_BYTES = 2, 2, 2


class StitchedImage(msgspec.Struct, frozen=True, kw_only=True):
    """A panorama, H x W x 3, BGR, from `pan_from_deg` to the right over `width_deg`.

    The width is 360 if it is closed. Its rows are even in the tangent of tilt between the two
    tilts. It is black where no image reaches. `matched_count` of `pair_count` neighbours were
    aligned by their features.
    """

    image: Image
    pan_from_deg: float
    width_deg: float
    tilt_low_deg: float
    tilt_high_deg: float
    pair_count: int
    matched_count: int


def render_panorama(shots: Sequence[Shot], fov: FieldOfView, max_bytes: int) -> bytes:
    """Return the panorama as a JPEG of at most `max_bytes`, with its geometry.

    There is at least one shot, and all have one size; their poses have one tilt and zoom, but for
    errors.
    """
    stitched = stitch(shots, fov)
    height_px, width_px = stitched.image.shape[:2]
    segment = geometry_segment(
        (width_px, height_px),
        stitched.pan_from_deg,
        stitched.width_deg,
        stitched.tilt_high_deg,
        fov,
    )
    return insert_segment(encode_jpeg(stitched.image, max_bytes - len(segment)), segment)


def geometry_segment(
    size_px: tuple[int, int],
    pan_from_deg: float,
    width_deg: float,
    tilt_high_deg: float,
    fov: FieldOfView,
) -> bytes:
    """Return the JPEG segment with the geometry of a panorama of the width and height `size_px`.

    The JPEG may be smaller than that: a reader scales by `CroppedAreaImageWidthPixels`, as of any panorama.
    """
    width_px, height_px = size_px
    full_width_px = round(width_px * FULL_TURN_DEG / width_deg)
    px_per_rad = full_width_px / (2 * math.pi)
    top_px = -math.tan(math.radians(tilt_high_deg)) * px_per_rad
    half_height_px = math.ceil(max(abs(top_px), abs(top_px + height_px)))
    left_px = round((pan_from_deg + HALF_TURN_DEG) / FULL_TURN_DEG * full_width_px)
    values: dict[str, object] = {
        "GPano:ProjectionType": "cylindrical",
        "GPano:FullPanoWidthPixels": full_width_px,
        "GPano:FullPanoHeightPixels": 2 * half_height_px,
        "GPano:CroppedAreaImageWidthPixels": width_px,
        "GPano:CroppedAreaImageHeightPixels": height_px,
        "GPano:CroppedAreaLeftPixels": left_px % full_width_px,
        "GPano:CroppedAreaTopPixels": round(half_height_px + top_px),
        "vigie:FovWideDeg": f"{fov.wide:.6f}",
        "vigie:FovTeleDeg": f"{fov.tele:.6f}",
        "vigie:FovAspect": f"{fov.aspect:.6f}",
    }
    attributes = " ".join(f'{name}="{value}"' for name, value in values.items())
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" '
        f'xmlns:vigie="{NAMESPACE}" {attributes}/></rdf:RDF></x:xmpmeta>'
    )
    content = _XMP_ID + packet.encode("ascii")
    return _XMP_MARKER + (_LENGTH_BYTES + len(content)).to_bytes(_LENGTH_BYTES, "big") + content


def insert_segment(jpeg: bytes, segment: bytes) -> bytes:
    """Return the JPEG with a segment at its begin, after the one of JFIF, which has to be the first."""
    at = _SOI_BYTES
    if jpeg[at : at + _MARKER_BYTES] == _JFIF_MARKER:
        at += _MARKER_BYTES
        at += int.from_bytes(jpeg[at : at + _LENGTH_BYTES], "big")
    return jpeg[:at] + segment + jpeg[at:]


def stitch(shots: Sequence[Shot], fov: FieldOfView, *, refine: bool = True) -> StitchedImage:
    """Stitch the shots. Without `refine` the reported poses are not corrected."""
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
        # The first image is at both ends: cut through its middle, which shows it alone.
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
        width_deg=math.degrees(width / px_per_rad) if not is_closed else FULL_TURN_DEG,
        tilt_low_deg=-math.degrees(math.atan((top_px + height) / px_per_rad)),
        tilt_high_deg=-math.degrees(math.atan(top_px / px_per_rad)),
        pair_count=pair_count,
        matched_count=matched_count,
    )


def _is_closed(strips: Sequence[CylinderStrip]) -> bool:
    """Return whether the last strip reaches the first one over the back."""
    circumference_px = 2 * math.pi * strips[0].px_per_rad
    first, last = strips[0], strips[-1]
    return len(strips) > 2 and last.right_px > first.left_px + circumference_px  # noqa: PLR2004 - a ring


def _close_ring(strips: Sequence[CylinderStrip], *, is_closed: bool) -> list[CylinderStrip]:
    if not is_closed:
        return list(strips)
    circumference_px = round(2 * math.pi * strips[0].px_per_rad)
    return [*strips, strips[0].shift_right(circumference_px)]


def _blend(strips: Sequence[CylinderStrip], *, is_closed: bool) -> tuple[Image, int, int]:
    """Blend all strips; return the image and the column and row at which it begins."""
    masks = _seam_masks(strips)
    if is_closed:
        for end in (0, len(strips) - 1):
            _reserve_center(strips, masks, end)
    left, top = min(s.left_px for s in strips), min(s.top_px for s in strips)
    right, bottom = max(s.right_px for s in strips), max(s.bottom_px for s in strips)
    # OpenCV's stubs allow neither an array in place of a UMat nor None.
    blender: Any = cv2.detail.MultiBandBlender(0, BLEND_BANDS)
    blender.prepare((left, top, right - left, bottom - top))
    for strip, mask in zip(strips, masks, strict=True):
        blender.feed(strip.image.astype(np.int16), mask, (strip.left_px, strip.top_px))
    blended, coverage = blender.blend(None, None)
    image = np.clip(blended, 0, 255).astype(np.uint8)
    image[coverage == 0] = 0
    return image, left, top


def _seam_masks(strips: Sequence[CylinderStrip]) -> list[Mask]:
    """Return the masks of the strips, cut along the seams."""
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
    """Show a strip alone in the columns around its middle, so that both ends of the circle meet
    without a seam.
    """
    center_px = round(strips[strip_index].center_px)
    if strip_index:
        center_px += round(2 * math.pi * strips[strip_index].px_per_rad)
    for index, (strip, mask) in enumerate(zip(strips, masks, strict=True)):
        first = min(max(0, center_px - CUT_MARGIN_PX - strip.left_px), mask.shape[1])
        last = min(max(0, center_px + CUT_MARGIN_PX - strip.left_px), mask.shape[1])
        mask[:, first:last] = strip.mask[:, first:last] if index == strip_index else 0


def _trim_rows(image: Image) -> tuple[Image, int]:
    """Trim the rows above and below that are covered by less than half; return how many were above."""
    row_coverage = np.mean(np.max(image, axis=2) > 0, axis=1)
    rows = np.flatnonzero(row_coverage >= 0.5 * np.max(row_coverage))
    return image[rows[0] : rows[-1] + 1], int(rows[0])
