"""What neighbours in a sweep show together corrects where they were taken, and how bright. Pure."""

import math
from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.ptz.panorama.strip import CylinderStrip

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

LEAST_ERROR_DEG = 0.3
"""No head is believed to be better than this, nor its calibrated lens."""
MOST_ERROR_DEG = 6.0
_FEATURES = 500
_AGREE_PX = 2.0
_LEAST_AGREEING = 10
_LEAST_SHARE = 0.25
_MATCH_ERROR_PX = 0.7
_NARROWEST_PX = 24
_STRONGEST_GAIN = 2.0
_GAIN_PRIOR, _GAIN_ERROR = 0.3, 0.03
"""How far brightness goes astray from picture to picture, and how well two can be compared, both
as natural logarithms."""


class Aligned(msgspec.Struct, frozen=True, kw_only=True):
    """The strips where they belong; `matched` of `pairs` neighbours had enough in common."""

    strips: tuple[CylinderStrip, ...]
    pairs: int
    matched: int


class _Shift(msgspec.Struct, frozen=True, kw_only=True):
    """What both show stands further right and down in `second` than in `first`, by this. It is seen
    this far right of each one's middle, and so far above the horizon, in radians.
    """

    first: int
    second: int
    right_px: float
    down_px: float
    first_pan: float
    second_pan: float
    tilt: float


class _Common(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the cylinder that two strips cover, as each of them shows it."""

    first: int
    second: int
    left_px: int
    top_px: int
    images: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
    masks: tuple[Grey, Grey]


def aligned(strips: Sequence[CylinderStrip]) -> Aligned:
    """Poses such that what neighbours both show is in one place, all around at once.

    Each pose is held to what the head said, as firmly as its error allows, so neighbours that have
    nothing in common stay as they are told, and one wrong match does not bend the whole.
    """
    commons = list(_commons(strips))
    shifts = [shift for common in commons if (shift := _shift(strips, common)) is not None]
    if not shifts:
        return Aligned(strips=tuple(strips), pairs=len(commons), matched=0)
    turns = _turns(strips, shifts)
    moved = tuple(
        strip.turned(math.degrees(pan), math.degrees(tilt))
        for strip, (pan, tilt) in zip(strips, turns, strict=True)
    )
    return Aligned(strips=moved, pairs=len(commons), matched=len(shifts))


def evened(strips: Sequence[CylinderStrip]) -> tuple[CylinderStrip, ...]:
    """Each strip brighter or darker by one factor, such that neighbours agree."""
    rows, levels = [], []
    for common in _commons(strips):
        both = (common.masks[0] > 0) & (common.masks[1] > 0)
        first, second = (float(image[both].mean()) + 1.0 for image in common.images)
        row = np.zeros(len(strips))
        row[common.first], row[common.second] = 1, -1
        rows.append(row / _GAIN_ERROR)
        levels.append(math.log(second / first) / _GAIN_ERROR)
    if not rows:
        return tuple(strips)
    prior = np.eye(len(strips)) / _GAIN_PRIOR
    held = np.concatenate([np.array(rows), prior])
    gains = np.exp(np.linalg.lstsq(held, np.append(levels, np.zeros(len(strips))), rcond=None)[0])
    gains = np.clip(gains, 1 / _STRONGEST_GAIN, _STRONGEST_GAIN)
    return tuple(
        msgspec.structs.replace(
            strip, image=np.asarray(cv2.convertScaleAbs(strip.image, alpha=float(gain)), np.uint8)
        )
        for strip, gain in zip(strips, gains, strict=True)
    )


def _commons(strips: Sequence[CylinderStrip]) -> list[_Common]:
    """What neighbours have in common; the last one's neighbour is the first."""
    round_px = round(2 * math.pi * strips[0].px_per_rad)
    found = []
    for index, strip in enumerate(strips):
        after = (index + 1) % len(strips)
        if after == index or (after == 0 and len(strips) == 2):  # noqa: PLR2004 - a pair once
            continue
        other = strips[after] if after else strips[after].moved(round_px)
        left, right = max(strip.left_px, other.left_px), min(strip.right_px, other.right_px)
        top, bottom = max(strip.top_px, other.top_px), min(strip.bottom_px, other.bottom_px)
        if right - left < _NARROWEST_PX or bottom - top < _NARROWEST_PX:
            continue
        parts = [
            (
                slice(top - one.top_px, bottom - one.top_px),
                slice(left - one.left_px, right - one.left_px),
            )
            for one in (strip, other)
        ]
        masks = (strip.mask[parts[0]], other.mask[parts[1]])
        if np.count_nonzero(masks[0] & masks[1]) < _NARROWEST_PX**2:
            continue
        images = (strip.image[parts[0]], other.image[parts[1]])
        found.append(
            _Common(first=index, second=after, left_px=left, top_px=top, images=images, masks=masks)
        )
    return found


def _shift(strips: Sequence[CylinderStrip], common: _Common) -> _Shift | None:
    """Where the features of one strip are in the other, None where too few agree."""
    first, second = strips[common.first], strips[common.second]
    orb = cv2.ORB.create(nfeatures=_FEATURES, fastThreshold=8)
    (keys, marks), (other_keys, other_marks) = (
        orb.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), mask)
        for image, mask in zip(common.images, common.masks, strict=True)
    )
    if marks is None or other_marks is None:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(marks, other_marks)
    here = np.array([keys[match.queryIdx].pt for match in matches]).reshape(-1, 2)
    there = np.array([other_keys[match.trainIdx].pt for match in matches]).reshape(-1, 2)
    errors_deg = [max(LEAST_ERROR_DEG, strip.error_deg) for strip in (first, second)]
    bound_deg = min(MOST_ERROR_DEG, 3 * math.hypot(*errors_deg))
    near = np.hypot(*(there - here).T) <= math.radians(bound_deg) * first.px_per_rad
    here, there = here[near], there[near]
    agreeing = _agreeing(there - here)
    if agreeing is None:
        return None
    right_px, down_px = (there - here)[agreeing].mean(axis=0)
    x_px, y_px = ((here + there) / 2)[agreeing].mean(axis=0)
    x_px, y_px = x_px + common.left_px, y_px + common.top_px
    turn_px = 0.0 if common.second else 2 * math.pi * first.px_per_rad
    return _Shift(
        first=common.first,
        second=common.second,
        right_px=float(right_px),
        down_px=float(down_px),
        first_pan=(x_px - first.middle_px) / first.px_per_rad,
        second_pan=(x_px - turn_px - second.middle_px) / first.px_per_rad,
        tilt=math.atan(-y_px / first.px_per_rad),
    )


def _agreeing(shifts: Floats) -> npt.NDArray[np.bool_] | None:
    """The largest group of shifts that agree within some pixels, None where it is no majority worth
    the name. What moved in the street between two pictures is in no large group.
    """
    if len(shifts) < _LEAST_AGREEING:
        return None
    apart = np.hypot(*(shifts[:, None, :] - shifts[None, :, :]).transpose(2, 0, 1))
    agree = apart <= _AGREE_PX
    best = agree[int(agree.sum(axis=1).argmax())]
    count = int(best.sum())
    enough = count >= _LEAST_AGREEING and count >= _LEAST_SHARE * len(shifts)
    return np.asarray(best) if enough else None


def _turns(strips: Sequence[CylinderStrip], shifts: Sequence[_Shift]) -> Floats:
    """How far each pose is to be turned, N x 2 in radians: pan to the right, tilt up.

    A pose that is wrong by a little pan and tilt shows a direction further right by `pan + tilt *
    sin(beside) * tan(up)`, and higher by `tilt * cos(beside)`: the small rotation about the level
    axis of its camera.
    """
    count, rows, values = len(strips), [], []
    per_rad = strips[0].px_per_rad
    weight = per_rad / _MATCH_ERROR_PX
    for shift in shifts:
        pan, tilt = np.zeros(2 * count), np.zeros(2 * count)
        for index, beside, sign in (
            (shift.first, shift.first_pan, -1),
            (shift.second, shift.second_pan, 1),
        ):
            pan[2 * index] += sign
            pan[2 * index + 1] += sign * math.sin(beside) * math.tan(shift.tilt)
            tilt[2 * index + 1] += sign * math.cos(beside)
        rows += [pan * weight, tilt * weight]
        # To be undone: the second shows it too far right and too low.
        values += [
            -shift.right_px / per_rad * weight,
            shift.down_px / per_rad * math.cos(shift.tilt) ** 2 * weight,
        ]
    errors = np.radians([max(LEAST_ERROR_DEG, strip.error_deg) for strip in strips])
    prior = np.diag(1 / np.repeat(errors, 2))
    solved = np.linalg.lstsq(
        np.concatenate([np.array(rows), prior]),
        np.append(values, np.zeros(2 * count)),
        rcond=None,
    )[0]
    return np.asarray(solved).reshape(count, 2)
