"""Drawing on a colour picture: text, plates, outlines, see-through areas. Sizes are in pixels."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
"""Red, green, blue, 0..255."""

Pixel = tuple[int, int]
"""x and y."""

WHITE: Colour = (255, 255, 255)
INK: Colour = (16, 20, 24)

_REGULAR, _BOLD = 450, 650
_SUBPIXEL_BITS = 3


@cache
def _font() -> Any:
    """OpenCV's own sans serif; its files come with the library."""
    return cv2.FontFace("sans")


@cache
def text_width(text: str, size: int, *, bold: bool = False) -> int:
    """How wide a text will be."""
    weight = _BOLD if bold else _REGULAR
    x, _, width, _ = cv2.getTextSize((1 << 14, 1 << 10), text, (0, 100), _font(), size, weight)
    return int(x + width)


def write(
    canvas: Rgb, text: str, at: Pixel, size: int, colour: Colour = WHITE, *, bold: bool = False
) -> None:
    """Text from its baseline's left end, with a soft shadow unless it is dark itself."""
    weight = _BOLD if bold else _REGULAR
    if sum(colour) > 3 * 128:
        cv2.putText(canvas, text, (at[0] + 1, at[1] + 1), INK, _font(), size, weight)
    cv2.putText(canvas, text, at, colour, _font(), size, weight)


def tint(
    canvas: Rgb, left: int, top: int, right: int, bottom: int, colour: Colour, share: float
) -> None:
    """Lay a see-through rectangle over the canvas; what lies outside of it is cut off."""
    height, width = canvas.shape[:2]
    part = canvas[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    if part.size:
        plate = np.full_like(part, colour)
        cv2.addWeighted(plate, share, part, 1 - share, 0, dst=part)


def plate_size(text: str, size: int) -> Pixel:
    """How wide and high a plate with a text will be."""
    return text_width(text, size, bold=True) + size * 3 // 4, size * 3 // 2


def plate(canvas: Rgb, text: str, at: Pixel, size: int, colour: Colour) -> None:
    """Dark text on a plate; `at` is the plate's bottom left corner, moved to be in sight."""
    height, width = canvas.shape[:2]
    across, down = plate_size(text, size)
    left = max(0, min(at[0], width - across))
    bottom = max(down, min(at[1], height))
    tint(canvas, left, bottom - down, left + across, bottom, colour, 0.8)
    baseline = bottom - round(size * 0.42)
    write(canvas, text, (left + size * 3 // 8, baseline), size, INK, bold=True)


def fill(canvas: Rgb, corners: Sequence[Pixel], colour: Colour, share: float) -> None:
    """Lay a see-through polygon over the canvas."""
    points = np.array(corners, np.int32)
    x, y, across, down = cv2.boundingRect(points)
    part = canvas[max(0, y) : y + down, max(0, x) : x + across]
    if not part.size:
        return
    filled = part.copy()
    moved = (points - (max(0, x), max(0, y))).astype(np.int32)
    cv2.fillPoly(filled, [moved], colour, cv2.LINE_AA)
    cv2.addWeighted(filled, share, part, 1 - share, 0, dst=part)


def outline(
    canvas: Rgb,
    corners: Sequence[tuple[float, float]],
    colour: Colour,
    thickness: int,
    *,
    closed: bool,
) -> None:
    """A smooth line through points, with a dark rim that keeps it visible on snow."""
    for ink, width in ((INK, thickness + 2), (colour, thickness)):
        stroke(canvas, corners, ink, width, closed=closed)


def stroke(
    canvas: Rgb,
    corners: Sequence[tuple[float, float]],
    colour: Colour,
    thickness: int,
    *,
    closed: bool = False,
) -> None:
    """A smooth line through points."""
    points = np.array(corners, np.float64) * (1 << _SUBPIXEL_BITS)
    path = [np.rint(points).astype(np.int32)]
    cv2.polylines(canvas, path, closed, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def brackets(
    canvas: Rgb, left: int, top: int, right: int, bottom: int, colour: Colour, thickness: int
) -> None:
    """A box: a thin edge, strong at the four corners."""
    cv2.rectangle(canvas, (left, top), (right, bottom), colour, 1, cv2.LINE_AA)
    arm = max(4, min(right - left, bottom - top) // 4)
    for x, step_x in ((left, arm), (right, -arm)):
        for y, step_y in ((top, arm), (bottom, -arm)):
            stroke(canvas, ((x + step_x, y), (x, y), (x, y + step_y)), colour, thickness + 1)
