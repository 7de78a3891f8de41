"""Heat map of tracks: the number of road users that passed each cell of the picture. Pure."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from agent.detection.image import Rgb
from agent.detection.scene import SceneLine
from centre import draw
from centre.count.track_file import TrackRow

COLUMNS, ROWS = 160, 90
_FORGET_S = 60.0
"""A track that was not seen for this time has ended: memory does not grow over a day of film."""
_MAX_JOIN_S = 2.0
"""Feet further apart in time are not joined by a straight way."""
_MIN_OPACITY, _OPACITY_RANGE = 0.4, 0.5
_BLUR_CELLS = 0.7


class _LiveTrack:
    """The cells that one track has passed, and its newest foot."""

    def __init__(self, t_s: float, column: float, row: float) -> None:
        self.cells: set[int] = set()
        self.t_s, self.column, self.row = t_s, column, row


class TrackHeat:
    """Counts road users by cell. A road user that stands counts once, as one that passes."""

    def __init__(self) -> None:
        self._counts: npt.NDArray[Any] = np.zeros(COLUMNS * ROWS, np.int64)
        self._live: dict[int, _LiveTrack] = {}
        self._next_purge_s = _FORGET_S
        self.tracks = 0

    def add(self, row: TrackRow) -> None:
        """Add one track in one picture; pictures of a film come in their order."""
        column = min(max(row.box.x + row.box.w / 2, 0.0), 1.0) * (COLUMNS - 1)
        line = min(max(row.box.y + row.box.h, 0.0), 1.0) * (ROWS - 1)
        live = self._live.get(row.track)
        if live is None:
            self.tracks += 1
            live = self._live[row.track] = _LiveTrack(row.t_s, column, line)
        if row.t_s - live.t_s > _MAX_JOIN_S:
            live.column, live.row = column, line
        steps = int(max(abs(column - live.column), abs(line - live.row))) + 1
        for step in range(1, steps + 1):
            x = round(live.column + (column - live.column) * step / steps)
            cell = round(live.row + (line - live.row) * step / steps) * COLUMNS + x
            if cell not in live.cells:
                live.cells.add(cell)
                self._counts[cell] += 1
        live.t_s, live.column, live.row = row.t_s, column, line
        if row.t_s > self._next_purge_s:
            self._next_purge_s = row.t_s + _FORGET_S
            self._live = {
                track: live for track, live in self._live.items() if row.t_s - live.t_s < _FORGET_S
            }

    def end_film(self) -> None:
        """Forget the tracks of a film: the next film numbers its own from the beginning."""
        self._live.clear()
        self._next_purge_s = _FORGET_S

    @property
    def most(self) -> int:
        """The number of road users that passed the busiest cell."""
        return int(self._counts.max())

    def render(self, street: Rgb, lines: tuple[SceneLine, ...]) -> Rgb:
        """Return the counts in colours over a picture of the street, with the lines of the scene."""
        height_px, width_px = street.shape[:2]
        levels = np.log1p(self._counts.reshape(ROWS, COLUMNS)) / max(np.log1p(self.most), 1e-9)
        levels = cv2.GaussianBlur(levels.astype(np.float32), (0, 0), _BLUR_CELLS)
        levels = cv2.resize(levels, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
        levels = np.clip(levels, 0, 1)
        coloured = cv2.applyColorMap((levels * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        coloured = cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB)
        grey = cv2.cvtColor(cv2.cvtColor(street, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        visible = np.minimum(levels * 8, 1) * (_MIN_OPACITY + _OPACITY_RANGE * levels)
        canvas = np.asarray(
            grey * (1 - visible[..., None]) + coloured * visible[..., None], np.uint8
        )
        for line in lines:
            ends = [(end.x * width_px, end.y * height_px) for end in (line.start, line.to)]
            draw.draw_outline(canvas, ends, draw.WHITE, 2, closed=False)
        return canvas
