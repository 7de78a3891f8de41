"""Align neighbouring images of a sweep by their common features, and even out brightness. Pure."""

import math
from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.ptz.panorama.shot import FloatArray, Image, Mask
from agent.ptz.panorama.strip import CylinderStrip

MIN_ERROR_DEG = 0.3
"""No head, nor its calibrated lens, is taken to be better than this."""
MAX_ERROR_DEG = 6.0
_MAX_FEATURES = 500
_INLIER_DISTANCE_PX = 2.0
_MIN_INLIERS = 10
_MIN_INLIER_SHARE = 0.25
_MATCH_ERROR_PX = 0.7
_MIN_OVERLAP_PX = 24
_MAX_GAIN = 2.0
_GAIN_PRIOR_SIGMA, _GAIN_PAIR_SIGMA = 0.3, 0.03
"""How much brightness varies from image to image, and how well two can be compared, as natural
logarithms."""


class Alignment(msgspec.Struct, frozen=True, kw_only=True):
    """The aligned strips; `matched_count` of `pair_count` neighbours had enough in common."""

    strips: tuple[CylinderStrip, ...]
    pair_count: int
    matched_count: int


class _Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How much further right and down `second` shows the same features than `first`.

    The angles are those of the features, right of each middle and above the horizon, in radians.
    """

    first: int
    second: int
    dx_px: float
    dy_px: float
    first_pan_rad: float
    second_pan_rad: float
    tilt_rad: float


class _Overlap(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the cylinder that two strips cover, in the image of each."""

    first: int
    second: int
    left_px: int
    top_px: int
    images: tuple[Image, Image]
    masks: tuple[Mask, Mask]


def align_strips(strips: Sequence[CylinderStrip]) -> Alignment:
    """Correct the poses so that common features coincide, all around at once.

    Each pose is held to the reported one, as firmly as its error allows, so neighbours without
    common features keep the reported poses, and one wrong match does not bend the whole.
    """
    overlaps = list(_find_overlaps(strips))
    shifts = [
        shift for overlap in overlaps if (shift := _match_overlap(strips, overlap)) is not None
    ]
    if not shifts:
        return Alignment(strips=tuple(strips), pair_count=len(overlaps), matched_count=0)
    rotations = _solve_rotations(strips, shifts)
    corrected = tuple(
        strip.rotate(math.degrees(pan), math.degrees(tilt))
        for strip, (pan, tilt) in zip(strips, rotations, strict=True)
    )
    return Alignment(strips=corrected, pair_count=len(overlaps), matched_count=len(shifts))


def compensate_exposure(strips: Sequence[CylinderStrip]) -> tuple[CylinderStrip, ...]:
    """Scale the brightness of each strip by one factor, so that neighbours agree."""
    rows, levels = [], []
    for overlap in _find_overlaps(strips):
        in_both = (overlap.masks[0] > 0) & (overlap.masks[1] > 0)
        first, second = (float(image[in_both].mean()) + 1.0 for image in overlap.images)
        row = np.zeros(len(strips))
        row[overlap.first], row[overlap.second] = 1, -1
        rows.append(row / _GAIN_PAIR_SIGMA)
        levels.append(math.log(second / first) / _GAIN_PAIR_SIGMA)
    if not rows:
        return tuple(strips)
    prior = np.eye(len(strips)) / _GAIN_PRIOR_SIGMA
    equations = np.concatenate([np.array(rows), prior])
    gains = np.exp(
        np.linalg.lstsq(equations, np.append(levels, np.zeros(len(strips))), rcond=None)[0]
    )
    gains = np.clip(gains, 1 / _MAX_GAIN, _MAX_GAIN)
    return tuple(
        msgspec.structs.replace(
            strip, image=np.asarray(cv2.convertScaleAbs(strip.image, alpha=float(gain)), np.uint8)
        )
        for strip, gain in zip(strips, gains, strict=True)
    )


def _find_overlaps(strips: Sequence[CylinderStrip]) -> list[_Overlap]:
    """Return the overlaps of neighbours; the last one's neighbour is the first."""
    circumference_px = round(2 * math.pi * strips[0].px_per_rad)
    found = []
    for index, strip in enumerate(strips):
        next_index = (index + 1) % len(strips)
        if next_index == index or (next_index == 0 and len(strips) == 2):  # noqa: PLR2004 - a pair once
            continue
        other = (
            strips[next_index] if next_index else strips[next_index].shift_right(circumference_px)
        )
        left, right = max(strip.left_px, other.left_px), min(strip.right_px, other.right_px)
        top, bottom = max(strip.top_px, other.top_px), min(strip.bottom_px, other.bottom_px)
        if right - left < _MIN_OVERLAP_PX or bottom - top < _MIN_OVERLAP_PX:
            continue
        crops = [
            (
                slice(top - each.top_px, bottom - each.top_px),
                slice(left - each.left_px, right - each.left_px),
            )
            for each in (strip, other)
        ]
        masks = (strip.mask[crops[0]], other.mask[crops[1]])
        if np.count_nonzero(masks[0] & masks[1]) < _MIN_OVERLAP_PX**2:
            continue
        images = (strip.image[crops[0]], other.image[crops[1]])
        found.append(
            _Overlap(
                first=index, second=next_index, left_px=left, top_px=top, images=images, masks=masks
            )
        )
    return found


def _match_overlap(strips: Sequence[CylinderStrip], overlap: _Overlap) -> _Shift | None:
    """Return the shift between the features of two strips, or None if too few agree."""
    first, second = strips[overlap.first], strips[overlap.second]
    orb = cv2.ORB.create(nfeatures=_MAX_FEATURES, fastThreshold=8)
    (keypoints, descriptors), (other_keypoints, other_descriptors) = (
        orb.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), mask)
        for image, mask in zip(overlap.images, overlap.masks, strict=True)
    )
    if descriptors is None or other_descriptors is None:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(descriptors, other_descriptors)
    points = np.array([keypoints[match.queryIdx].pt for match in matches]).reshape(-1, 2)
    other_points = np.array([other_keypoints[match.trainIdx].pt for match in matches]).reshape(
        -1, 2
    )
    errors_deg = [max(MIN_ERROR_DEG, strip.error_deg) for strip in (first, second)]
    max_shift_deg = min(MAX_ERROR_DEG, 3 * math.hypot(*errors_deg))
    is_near = np.hypot(*(other_points - points).T) <= math.radians(max_shift_deg) * first.px_per_rad
    points, other_points = points[is_near], other_points[is_near]
    inliers = _largest_consensus(other_points - points)
    if inliers is None:
        return None
    dx_px, dy_px = (other_points - points)[inliers].mean(axis=0)
    x_px, y_px = ((points + other_points) / 2)[inliers].mean(axis=0)
    x_px, y_px = x_px + overlap.left_px, y_px + overlap.top_px
    wrap_px = 0.0 if overlap.second else 2 * math.pi * first.px_per_rad
    return _Shift(
        first=overlap.first,
        second=overlap.second,
        dx_px=float(dx_px),
        dy_px=float(dy_px),
        first_pan_rad=(x_px - first.center_px) / first.px_per_rad,
        second_pan_rad=(x_px - wrap_px - second.center_px) / first.px_per_rad,
        tilt_rad=math.atan(-y_px / first.px_per_rad),
    )


def _largest_consensus(shifts: FloatArray) -> npt.NDArray[np.bool_] | None:
    """Return the largest group of shifts that agree within some pixels, or None if it is too small.

    Objects that moved in the street between two images are in no large group.
    """
    if len(shifts) < _MIN_INLIERS:
        return None
    distances_px = np.hypot(*(shifts[:, None, :] - shifts[None, :, :]).transpose(2, 0, 1))
    is_close = distances_px <= _INLIER_DISTANCE_PX
    largest = is_close[int(is_close.sum(axis=1).argmax())]
    count = int(largest.sum())
    is_enough = count >= _MIN_INLIERS and count >= _MIN_INLIER_SHARE * len(shifts)
    return np.asarray(largest) if is_enough else None


def _solve_rotations(strips: Sequence[CylinderStrip], shifts: Sequence[_Shift]) -> FloatArray:
    """Return the rotation of each pose, N x 2 in radians: pan to the right, tilt up.

    A pose that is off by a little pan and tilt shows a direction further right by `pan + tilt *
    sin(offset) * tan(up)`, and higher by `tilt * cos(offset)`: the small rotation about the level
    axis of its camera.
    """
    count, rows, values = len(strips), [], []
    px_per_rad = strips[0].px_per_rad
    weight = px_per_rad / _MATCH_ERROR_PX
    for shift in shifts:
        pan, tilt = np.zeros(2 * count), np.zeros(2 * count)
        for index, pan_offset_rad, sign in (
            (shift.first, shift.first_pan_rad, -1),
            (shift.second, shift.second_pan_rad, 1),
        ):
            pan[2 * index] += sign
            pan[2 * index + 1] += sign * math.sin(pan_offset_rad) * math.tan(shift.tilt_rad)
            tilt[2 * index + 1] += sign * math.cos(pan_offset_rad)
        rows += [pan * weight, tilt * weight]
        # The correction: the second strip shows the features too far right and too low.
        values += [
            -shift.dx_px / px_per_rad * weight,
            shift.dy_px / px_per_rad * math.cos(shift.tilt_rad) ** 2 * weight,
        ]
    errors = np.radians([max(MIN_ERROR_DEG, strip.error_deg) for strip in strips])
    prior = np.diag(1 / np.repeat(errors, 2))
    solution = np.linalg.lstsq(
        np.concatenate([np.array(rows), prior]),
        np.append(values, np.zeros(2 * count)),
        rcond=None,
    )[0]
    return np.asarray(solution).reshape(count, 2)
