"""Seeded degradations of a film: light, fog, rain, blur, noise, shake, size, pictures a second, and lens. Pure.

Each models one thing that a street does to a camera, in the planes of the frame, so that a film with labels becomes a
film with the same labels under that condition. Planes are never written to.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from drivers.media import NS_PER_S, Frame, Plane, Point

ConditionKind = Literal[
    "unchanged",
    "gain",
    "fog",
    "rain",
    "blur",
    "noise",
    "shake",
    "size",
    "fps",
    "lens",
    "undistorted_lens",
]
REFERENCE_WIDTH_PX = 352
"""The width in which a blur is stated, and on which a streak of rain is one pixel wide."""
BLACK_LUMA, NEUTRAL_CHROMA = 16, 128
GAIN_NOISE = 2.5
"""Standard deviation of a sensor's noise after amplification, in steps of luma."""
VEIL_LUMA = 135
"""Grey of the air between the camera and the street in fog and rain."""
VEIL_LOSS = 0.4
"""Contrast is exp(-0.4 times the amount): the law of light through drops, by their number."""
STREAKS_PER_RAIN = 120
STREAK_LUMA = 28
"""The most that a streak adds."""

_MAX_ANGLE_RAD = 1.55
"""Nearly a right angle, beyond which a picture without distortion shows nothing."""

_Grid = npt.NDArray[np.float32]


class FilmCondition(msgspec.Struct, frozen=True, array_like=True):
    """A condition and its amount.

    unchanged         the film as it is; the amount has no meaning
    gain              contrast and colour times the amount, with a sensor's noise
    fog               the amount of the veil that dims contrast and colour
    rain              the amount of rain, which veils as much fog does and draws streaks: 1 is light, 5 a downpour
    blur              standard deviation of a Gaussian, in pixels of a picture that is 352 wide
    noise             standard deviation of luma, new in each picture
    shake             standard deviation of the shift of each picture to the sides and up, in pixels of 352
    size              width and height divided by the amount
    fps               pictures a second
    lens              angle of view of an equidistant lens, in degrees across the width
    undistorted_lens  the same, and the distortion corrected
    """

    kind: ConditionKind
    amount: float = 0.0

    def __str__(self) -> str:
        """Return its name in a table."""
        if self.kind == "unchanged":
            return self.kind
        return f"{self.kind.replace('_', ' ')} {self.amount:g}"


UNCHANGED = FilmCondition("unchanged")
CONDITIONS: tuple[FilmCondition, ...] = (
    UNCHANGED,
    *(FilmCondition("gain", gain) for gain in (0.6, 0.4, 0.25, 0.15, 0.08)),
    *(FilmCondition("fog", fog) for fog in (3, 5, 7)),
    *(FilmCondition("rain", rain) for rain in (1, 3, 5)),
    *(FilmCondition("blur", sigma_px) for sigma_px in (0.7, 1.2, 2, 3)),
    *(FilmCondition("noise", sigma) for sigma in (5, 10, 20)),
    *(FilmCondition("shake", sigma_px) for sigma_px in (1, 2, 4, 8)),
    *(FilmCondition("size", divisor) for divisor in (2, 3, 4)),
    *(FilmCondition("fps", fps) for fps in (10, 5, 3, 2)),
    *(FilmCondition("lens", angle_deg) for angle_deg in (120, 140)),
    *(FilmCondition("undistorted_lens", angle_deg) for angle_deg in (120, 140)),
)
"""The rows of the table of conditions."""


def degrade_film(
    frames: Iterable[Frame], condition: FilmCondition, seed: int = 0
) -> Iterator[Frame]:
    """Yield the frames of a film under a condition. The same seed gives the same film."""
    if condition.kind == "fps":
        yield from _thin_out(frames, condition.amount)
        return
    for frame in frames:
        yield degrade_frame(frame, condition, seed)


def degrade_frame(frame: Frame, condition: FilmCondition, seed: int = 0) -> Frame:
    """Return a frame under a condition; the noise and the rain of each `seq` differ."""
    rng = np.random.default_rng((seed, frame.seq))
    amount = condition.amount
    match condition.kind:
        case "gain":
            y = _with_noise(
                (frame.y - np.float32(BLACK_LUMA)) * amount + BLACK_LUMA, rng, GAIN_NOISE
            )
            u, v = (
                _with_noise(
                    (plane - np.float32(NEUTRAL_CHROMA)) * amount + NEUTRAL_CHROMA, rng, GAIN_NOISE
                )
                for plane in (frame.u, frame.v)
            )
        case "fog":
            y, u, v = _veiled(frame, amount, np.uint8(0))
        case "rain":
            y, u, v = _veiled(frame, amount, _draw_streaks(frame, amount, rng))
        case "blur":
            sigma_px = amount * frame.width_px / REFERENCE_WIDTH_PX
            y = _blurred(frame.y, sigma_px)
            u, v = (_blurred(plane, sigma_px / 2) for plane in (frame.u, frame.v))
        case "noise":
            y = _with_noise(frame.y.astype(np.float32), rng, amount)
            u, v = (
                _with_noise(plane.astype(np.float32), rng, amount / 2)
                for plane in (frame.u, frame.v)
            )
        case "shake":
            shift_px = rng.standard_normal(2) * amount * frame.width_px / REFERENCE_WIDTH_PX
            y = _shifted(frame.y, shift_px)
            u, v = (_shifted(plane, shift_px / 2) for plane in (frame.u, frame.v))
        case "size":
            y, u, v = _smaller(frame, amount)
        case "lens" | "undistorted_lens":
            y, u, v = (_through_lens(plane, condition) for plane in (frame.y, frame.u, frame.v))
        case _:
            return frame
    return msgspec.structs.replace(frame, y=y, u=u, v=v)


def place_under_condition(point: Point, condition: FilmCondition, aspect: float) -> Point:
    """Return where a point of the film is seen under a condition; `aspect` is the width by the height.

    Only a lens moves it.
    """
    if condition.kind != "lens":
        return point
    half_rad = math.radians(condition.amount / 2)
    x, y = 2 * point.x - 1, (2 * point.y - 1) / aspect
    radius = math.hypot(x, y)
    if radius == 0:
        return point
    factor = math.atan(radius * math.tan(half_rad)) / half_rad / radius
    return Point((x * factor + 1) / 2, (y * factor * aspect + 1) / 2)


def _thin_out(frames: Iterable[Frame], fps: float) -> Iterator[Frame]:
    """Yield the first frame at or after each tick."""
    interval_ns = round(NS_PER_S / fps)
    due_ns = 0
    for frame in frames:
        if frame.t_ns >= due_ns:
            due_ns = (frame.t_ns // interval_ns + 1) * interval_ns
            yield frame


def _with_noise(values: _Grid, rng: np.random.Generator, sigma: float) -> Plane:
    noise = rng.standard_normal(values.shape, np.float32) * np.float32(sigma)
    return np.clip(np.rint(values + noise), 0, 255).astype(np.uint8)


def _blurred(plane: Plane, sigma_px: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_px), np.uint8)


def _veiled(frame: Frame, amount: float, streaks: Plane | np.uint8) -> tuple[Plane, Plane, Plane]:
    """Put a grey veil before the street, and streaks before the veil."""
    contrast = math.exp(-VEIL_LOSS * amount)
    luma = (frame.y - np.float32(VEIL_LUMA)) * contrast + VEIL_LUMA
    y = np.clip(np.rint(luma + streaks), 0, 255).astype(np.uint8)
    u, v = (
        np.rint((plane - np.float32(NEUTRAL_CHROMA)) * contrast + NEUTRAL_CHROMA).astype(np.uint8)
        for plane in (frame.u, frame.v)
    )
    return y, u, v


def _draw_streaks(frame: Frame, rain: float, rng: np.random.Generator) -> Plane:
    """Return the luma that streaks add. They are new in each picture."""
    height, width = frame.y.shape
    scale = width / REFERENCE_WIDTH_PX
    streaks = np.zeros((height, width), np.uint8)
    for x, y, length, brightness in rng.random((round(STREAKS_PER_RAIN * rain), 4)).tolist():
        start = (round(x * width), round(y * height))
        length_px = (6 + 14 * length) * scale
        end = (round(start[0] + length_px / 6), round(start[1] + length_px))
        value = round(STREAK_LUMA * (0.4 + 0.6 * brightness))
        cv2.line(streaks, start, end, (value,), max(1, round(scale)), cv2.LINE_AA)
    return streaks


def _shifted(plane: Plane, shift_px: npt.NDArray[np.float64]) -> Plane:
    """Return the plane shifted to the right and down; its edges are repeated."""
    height, width = plane.shape
    shift = np.array([[1, 0, shift_px[0]], [0, 1, shift_px[1]]], np.float32)
    moved = cv2.warpAffine(plane, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _smaller(frame: Frame, divisor: float) -> tuple[Plane, Plane, Plane]:
    width, height = (
        max(2, round(side / divisor / 2) * 2) for side in (frame.width_px, frame.height_px)
    )
    sizes = ((width, height), (width // 2, height // 2), (width // 2, height // 2))
    y, u, v = (
        np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)
        for plane, size in zip((frame.y, frame.u, frame.v), sizes, strict=True)
    )
    return y, u, v


def _through_lens(plane: Plane, condition: FilmCondition) -> Plane:
    """Take the plane for one without distortion, and show it as an equidistant lens of the same angle does.

    Grey is next to the film. Corrected, the picture has lost only the detail that the lens compressed.
    """
    half_rad = math.radians(condition.amount / 2)
    edge = math.tan(half_rad)
    radius = _radii(plane.shape)
    shown = _remapped(plane, np.tan(np.minimum(radius * half_rad, _MAX_ANGLE_RAD)) / edge / radius)
    if condition.kind == "lens":
        return shown
    return _remapped(shown, np.arctan(radius * edge) / half_rad / radius)


def _radii(shape: tuple[int, ...]) -> _Grid:
    """Return the distance of each pixel to the centre, in half widths; never 0."""
    height, width = shape
    x = (np.arange(width, dtype=np.float32) + 0.5) / (width / 2) - 1
    y = (np.arange(height, dtype=np.float32) + 0.5) / (width / 2) - height / width
    return np.asarray(np.maximum(np.hypot(x[np.newaxis], y[:, np.newaxis]), 1e-6), np.float32)


def _remapped(plane: Plane, factor: npt.NDArray[np.floating[Any]]) -> Plane:
    """Take each pixel from `factor` times its distance to the centre."""
    height, width = plane.shape
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2)[np.newaxis] * factor
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2)[:, np.newaxis] * factor
    map_x, map_y = (
        (x + (width / 2 - 0.5)).astype(np.float32),
        (y + (height / 2 - 0.5)).astype(np.float32),
    )
    mapped = cv2.remap(plane, map_x, map_y, cv2.INTER_LINEAR, borderValue=(NEUTRAL_CHROMA,))
    return np.asarray(mapped, np.uint8)
