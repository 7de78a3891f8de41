"""Drawing on an RGB image: text, labels, outlines, translucent areas. Sizes are in pixels."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np

from agent.detection.image import Rgb

Colour = tuple[int, int, int]
"""Red, green, blue, 0..255."""

Pixel = tuple[int, int]
"""x and y."""

WHITE: Colour = (255, 255, 255)
NEAR_BLACK: Colour = (16, 20, 24)

_REGULAR_WEIGHT, _BOLD_WEIGHT = 450, 650
_SUBPIXEL_BITS = 3


@cache
def _font() -> Any:
    """Return OpenCV's built-in sans serif font."""
    return cv2.FontFace("sans")


@cache
def text_width_px(text: str, size: int, *, bold: bool = False) -> int:
    """Return the width of a text."""
    weight = _BOLD_WEIGHT if bold else _REGULAR_WEIGHT
    x, _, width, _ = cv2.getTextSize((1 << 14, 1 << 10), text, (0, 100), _font(), size, weight)
    return int(x + width)


def draw_text(
    canvas: Rgb,
    text: str,
    baseline_left: Pixel,
    size: int,
    colour: Colour = WHITE,
    *,
    bold: bool = False,
) -> None:
    """Draw text from the left end of its baseline; bright text gets a shadow."""
    weight = _BOLD_WEIGHT if bold else _REGULAR_WEIGHT
    if sum(colour) > 3 * 128:
        cv2.putText(
            canvas,
            text,
            (baseline_left[0] + 1, baseline_left[1] + 1),
            NEAR_BLACK,
            _font(),
            size,
            weight,
        )
    cv2.putText(canvas, text, baseline_left, colour, _font(), size, weight)


def blend_rectangle(
    canvas: Rgb, left: int, top: int, right: int, bottom: int, colour: Colour, opacity: float
) -> None:
    """Blend a rectangle over the canvas, clipped to it."""
    height, width = canvas.shape[:2]
    area = canvas[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    if area.size:
        overlay = np.full_like(area, colour)
        cv2.addWeighted(overlay, opacity, area, 1 - opacity, 0, dst=area)


def label_size(text: str, size: int) -> Pixel:
    """Return the width and height of a label."""
    return text_width_px(text, size, bold=True) + size * 3 // 4, size * 3 // 2


def draw_label(canvas: Rgb, text: str, bottom_left: Pixel, size: int, colour: Colour) -> None:
    """Draw dark text on a coloured label, moved so that it is inside the canvas."""
    height, width = canvas.shape[:2]
    label_width, label_height = label_size(text, size)
    left = max(0, min(bottom_left[0], width - label_width))
    bottom = max(label_height, min(bottom_left[1], height))
    blend_rectangle(canvas, left, bottom - label_height, left + label_width, bottom, colour, 0.8)
    baseline = bottom - round(size * 0.42)
    draw_text(canvas, text, (left + size * 3 // 8, baseline), size, NEAR_BLACK, bold=True)


def blend_polygon(canvas: Rgb, corners: Sequence[Pixel], colour: Colour, opacity: float) -> None:
    """Blend a polygon over the canvas."""
    points = np.array(corners, np.int32)
    x, y, width, height = cv2.boundingRect(points)
    area = canvas[max(0, y) : y + height, max(0, x) : x + width]
    if not area.size:
        return
    filled = area.copy()
    shifted = (points - (max(0, x), max(0, y))).astype(np.int32)
    cv2.fillPoly(filled, [shifted], colour, cv2.LINE_AA)
    cv2.addWeighted(filled, opacity, area, 1 - opacity, 0, dst=area)


def draw_outline(
    canvas: Rgb,
    corners: Sequence[tuple[float, float]],
    colour: Colour,
    thickness: int,
    *,
    closed: bool,
) -> None:
    """Draw a line with a dark rim, which keeps it visible on snow."""
    for line_colour, width in ((NEAR_BLACK, thickness + 2), (colour, thickness)):
        draw_polyline(canvas, corners, line_colour, width, closed=closed)


def draw_polyline(
    canvas: Rgb,
    corners: Sequence[tuple[float, float]],
    colour: Colour,
    thickness: int,
    *,
    closed: bool = False,
) -> None:
    """Draw an antialiased line through points."""
    points = np.array(corners, np.float64) * (1 << _SUBPIXEL_BITS)
    polyline = [np.rint(points).astype(np.int32)]
    cv2.polylines(canvas, polyline, closed, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def draw_bounding_box(
    canvas: Rgb, left: int, top: int, right: int, bottom: int, colour: Colour, thickness: int
) -> None:
    """Draw a bounding box: a thin edge with strong corners."""
    cv2.rectangle(canvas, (left, top), (right, bottom), colour, 1, cv2.LINE_AA)
    arm_px = max(4, min(right - left, bottom - top) // 4)
    for x, step_x in ((left, arm_px), (right, -arm_px)):
        for y, step_y in ((top, arm_px), (bottom, -arm_px)):
            draw_polyline(canvas, ((x + step_x, y), (x, y), (x, y + step_y)), colour, thickness + 1)
