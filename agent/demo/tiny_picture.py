"""The grey picture and the boxes around road users, in characters of a terminal.

Each character is the upper half of a cell: its colour is one pixel, the ground's another, so a
terminal of 80 by 24 shows 80 by 48 pixels.
"""

import cv2
import numpy as np
import numpy.typing as npt
from rich.color import Color
from rich.style import Style
from rich.text import Text

from agent.model import Label, Track
from drivers.media import Plane

Rgb = tuple[int, int, int]

COLOURS: dict[Label, Rgb] = {
    "person": (90, 220, 120),
    "bicycle": (90, 200, 230),
    "motorcycle": (200, 120, 240),
    "car": (250, 190, 60),
    "bus": (240, 110, 90),
    "truck": (240, 140, 200),
}


def tiny_picture(gate: Plane, tracks: tuple[Track, ...], columns: int) -> Text:
    """The picture, `columns` characters wide, in its own proportions."""
    height_px, width_px = gate.shape
    rows_px = max(2, round(columns * height_px / width_px / 2) * 2)
    grey = cv2.resize(gate, (columns, rows_px), interpolation=cv2.INTER_AREA)
    picture = np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)
    for track in tracks:
        _draw(picture, track)
    return _characters(picture)


def _draw(picture: npt.NDArray[np.uint8], track: Track) -> None:
    """A frame of one pixel around a road user."""
    height_px, width_px, _ = picture.shape
    box = track.box
    left = int(np.clip(round(box.x * width_px), 0, width_px - 1))
    top = int(np.clip(round(box.y * height_px), 0, height_px - 1))
    right = int(np.clip(round((box.x + box.w) * width_px), left, width_px - 1))
    bottom = int(np.clip(round((box.y + box.h) * height_px), top, height_px - 1))
    colour = COLOURS[track.label]
    picture[top : bottom + 1, [left, right]] = colour
    picture[[top, bottom], left : right + 1] = colour


def _characters(picture: npt.NDArray[np.uint8]) -> Text:
    text = Text(no_wrap=True, end="")
    for upper, lower in zip(picture[::2].tolist(), picture[1::2].tolist(), strict=True):
        for above, below in zip(upper, lower, strict=True):
            style = Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below))
            text.append("\u2580", style)
        text.append("\n")
    text.right_crop(1)
    return text
