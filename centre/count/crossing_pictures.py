"""Pictures of a crossing for the report: the same part of the street before, at and after it. Pure."""

from collections.abc import Sequence

import numpy as np
import simplejpeg

from agent.base.model import BoundingBox
from agent.detection.image import Region, Rgb, crop_rgb
from agent.detection.scene import SceneLine
from centre import draw
from drivers.media import Frame

STEP_S = 0.6
"""Between the pictures: a car moves by about its own length."""
SIZE_PX = (384, 288)
MAX_PICTURE_BYTES = 28_000
"""Of one picture: those of twenty crossings are 1.7 MB at most, and 2.3 MB in the page."""
_MARGIN = 1.5
_MIN_WIDTH = 0.16
"""Of the part of the picture that is shown: a road user is seen with its surroundings."""
_BOX_COLOUR: draw.Colour = (255, 214, 0)
_ARROW_PX = 34
_MAX_QUALITY, _MIN_QUALITY, _QUALITY_STEP = 85, 13, 12


def choose_region(boxes: Sequence[BoundingBox], width_px: int, height_px: int) -> Region:
    """Return the part of the picture to show: all of the boxes with a margin, in the shape of SIZE_PX."""
    left, top = min(box.x for box in boxes), min(box.y for box in boxes)
    right, bottom = max(box.x + box.w for box in boxes), max(box.y + box.h for box in boxes)
    aspect = SIZE_PX[0] / SIZE_PX[1]
    side_px = max(
        (right - left) * width_px * _MARGIN,
        (bottom - top) * height_px * _MARGIN * aspect,
        _MIN_WIDTH * width_px,
    )
    w = int(min(side_px, width_px, height_px * aspect)) // 2 * 2
    h = int(min(w / aspect, height_px)) // 2 * 2
    middle_x, middle_y = (left + right) / 2 * width_px, (top + bottom) / 2 * height_px
    x = min(max(0, round(middle_x - w / 2)), width_px // 2 * 2 - w) // 2 * 2
    y = min(max(0, round(middle_y - h / 2)), height_px // 2 * 2 - h) // 2 * 2
    return Region(x, y, w, h)


def draw_crossing(
    frame: Frame,
    region: Region,
    line: SceneLine,
    position: float,
    box: BoundingBox | None,
    *,
    is_forward: bool,
) -> bytes:
    """Return a region of a frame as JPEG, with the line, an arrow in the direction and the box of the road user."""
    canvas = crop_rgb(frame, region, SIZE_PX)
    scale = SIZE_PX[0] / region.w, SIZE_PX[1] / region.h

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            (x * frame.width_px - region.x) * scale[0],
            (y * frame.height_px - region.y) * scale[1],
        )

    start, end = place(line.start.x, line.start.y), place(line.to.x, line.to.y)
    draw.draw_outline(canvas, (start, end), draw.WHITE, 2, closed=False)
    _draw_arrow(canvas, start, end, position, is_forward=is_forward)
    if box is not None:
        left, top = place(box.x, box.y)
        right, bottom = place(box.x + box.w, box.y + box.h)
        draw.draw_bounding_box(
            canvas, round(left), round(top), round(right), round(bottom), _BOX_COLOUR, 1
        )
    return encode_jpeg(canvas, MAX_PICTURE_BYTES)


def _draw_arrow(
    canvas: Rgb,
    start: tuple[float, float],
    end: tuple[float, float],
    position: float,
    *,
    is_forward: bool,
) -> None:
    """Draw an arrow in the direction of the crossing, from the line's point at `position`."""
    along = np.subtract(end, start)
    unit = along / max(1.0, float(np.hypot(*along)))
    across = np.array([-unit[1], unit[0]]) * (1 if is_forward else -1)
    tail = np.add(start, along * position)
    tip = tail + across * _ARROW_PX
    wings = [tip - across * 9 + side * unit * 7 for side in (-1, 1)]
    for points in ((tail, tip), (wings[0], tip, wings[1])):
        draw.draw_outline(
            canvas, [(float(x), float(y)) for x, y in points], _BOX_COLOUR, 2, closed=False
        )


def encode_jpeg(picture: Rgb, max_bytes: int) -> bytes:
    """Return a JPEG of the best quality that fits, or of the least quality."""
    for quality in range(_MAX_QUALITY, _MIN_QUALITY - 1, -_QUALITY_STEP):
        jpeg = bytes(simplejpeg.encode_jpeg(picture, quality=quality))
        if len(jpeg) <= max_bytes:
            break
    return jpeg
