"""A grey image with bounding boxes, in characters of a terminal.

Each cell shows two pixels: the upper half block in the foreground colour, over the background
colour. So a terminal of 80 by 24 cells shows 80 by 48 pixels.
"""

from functools import lru_cache
from itertools import groupby

import cv2
import numpy as np
import numpy.typing as npt
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

from agent.base.model import Track
from centre.annotator import LABEL_COLOURS
from centre.draw import Colour
from drivers.media import Plane

_PALETTE: tuple[Colour, ...] = (
    *((g * 17, g * 17, g * 17) for g in range(16)),
    *LABEL_COLOURS.values(),
)
"""Sixteen greys, then the labels' colours: so few that a row has few changes of colour."""
_LABEL_INDEX = {label: 16 + index for index, label in enumerate(LABEL_COLOURS)}

_UPPER_HALF = "\u2580"


class AsciiPicture:
    """A rich renderable, `columns` wide, that keeps the image's aspect ratio."""

    def __init__(self, image: Plane, tracks: tuple[Track, ...], columns: int) -> None:
        height_px, width_px = image.shape
        self.columns = columns
        self.rows = max(1, round(columns * height_px / width_px / 2))
        grey = cv2.resize(image, (columns, self.rows * 2), interpolation=cv2.INTER_AREA)
        self._palette_indices: npt.NDArray[np.uint8] = (np.asarray(grey, np.uint8) >> 4).astype(
            np.uint8
        )
        for track in tracks:
            _draw_box(self._palette_indices, track)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render row by row."""
        pairs = zip(
            self._palette_indices[::2].tolist(), self._palette_indices[1::2].tolist(), strict=True
        )
        for upper, lower in pairs:
            for (above, below), run in groupby(zip(upper, lower, strict=True)):
                yield Segment(_UPPER_HALF * len(list(run)), _style(above, below))
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the fixed width."""
        return Measurement(self.columns, self.columns)


@lru_cache(maxsize=len(_PALETTE) ** 2)
def _style(above: int, below: int) -> Style:
    return Style(color=Color.from_rgb(*_PALETTE[above]), bgcolor=Color.from_rgb(*_PALETTE[below]))


def _draw_box(indices: npt.NDArray[np.uint8], track: Track) -> None:
    """Draw a bounding box, one pixel wide."""
    height_px, width_px = indices.shape
    box = track.box
    left = int(np.clip(round(box.x * width_px), 0, width_px - 1))
    top = int(np.clip(round(box.y * height_px), 0, height_px - 1))
    right = int(np.clip(round((box.x + box.w) * width_px), left, width_px - 1))
    bottom = int(np.clip(round((box.y + box.h) * height_px), top, height_px - 1))
    index = _LABEL_INDEX[track.label]
    indices[top : bottom + 1, [left, right]] = index
    indices[[top, bottom], left : right + 1] = index
