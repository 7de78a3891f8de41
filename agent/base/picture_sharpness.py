"""Sharpness of a picture, without a reference: the slope of its edges by their height. Pure.

A defocused lens spreads an edge over more pixels: P. Marziliano, F. Dufaux, S. Winkler and T. Ebrahimi measure that
width ("A no-reference perceptual blur metric", ICIP 2002). Here the slope at each pixel is divided by the contrast of
its surroundings, which is the inverse of the width, so that neither light nor the amount of detail counts. Each cell of
a grid has its steepest edges, and the upper quartile of the cells counts: what is drawn after the lens, such as a clock
or a mask, fills fewer cells. The numbers are in docs/view.md. Rejected: Tenengrad by variance, 0.12 to 0.46 on the sharp
clips and up to 0.21 on those with a blur of one and a half pixels.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

MIN_SHARPNESS = 0.57
"""A picture below is blurred."""
MIN_WIDTH_PX = 300
"""A narrower picture is not measured: its pixels are as coarse as the blur."""
CELL_COLUMNS, CELL_ROWS = 8, 6
MIN_CELLS = 6
"""With fewer cells that have edges there is nothing to measure."""
MIN_EDGE_CONTRAST = 30
"""Least contrast of an edge, in steps of luma: noise and bare asphalt have less."""
MIN_EDGE_RATIO = 0.2
"""Least part of a cell that is near such an edge."""
EDGE_PERCENTILE, CELL_PERCENTILE = 99, 75
SURROUNDINGS_PX = 15
"""Side of the square in which the contrast of a pixel is taken. It is wider than an edge, and narrower than most things."""

_Grid = npt.NDArray[np.float32]


def measure_sharpness(luma: npt.NDArray[np.uint8]) -> float | None:
    """Return the sharpness of a picture that is about 320 wide, 0 to about 0.8, or None if it has too few edges."""
    height, width = luma.shape
    if width < MIN_WIDTH_PX or height < CELL_ROWS * SURROUNDINGS_PX:
        return None
    smooth = _blend(_blend(luma.astype(np.float32), 0), 1)
    slope_x, slope_y = _slope(_blend(smooth, 0), 1), _slope(_blend(smooth, 1), 0)
    # The contrast is the highest value around a pixel minus the lowest.
    contrast = _highest_around(smooth) + _highest_around(-smooth)
    steepness = np.hypot(slope_x, slope_y) / np.maximum(contrast, 1)
    cells = list(_cell_sharpness(steepness, contrast >= MIN_EDGE_CONTRAST))
    if len(cells) < MIN_CELLS:
        return None
    return round(float(np.percentile(cells, CELL_PERCENTILE)), 3)


def _cell_sharpness(steepness: _Grid, is_edge: npt.NDArray[np.bool_]) -> Iterator[float]:
    for y in range(CELL_ROWS):
        for x in range(CELL_COLUMNS):
            cell = _cell(steepness, x, y)[_cell(is_edge, x, y)]
            if cell.size >= MIN_EDGE_RATIO * _cell(is_edge, x, y).size:
                rank = int(cell.size * EDGE_PERCENTILE / 100)
                yield float(np.partition(cell, rank)[rank])


def _cell(image: npt.NDArray[Any], x: int, y: int) -> npt.NDArray[Any]:
    height, width = image.shape
    return image[
        y * height // CELL_ROWS : (y + 1) * height // CELL_ROWS,
        x * width // CELL_COLUMNS : (x + 1) * width // CELL_COLUMNS,
    ]


def _pad(image: _Grid, axis: int, pixels: int) -> _Grid:
    """Repeat the pixels at both ends of an axis."""
    return np.pad(image, [(pixels * (axis == n),) * 2 for n in (0, 1)], mode="edge")


def _neighbours(image: _Grid, axis: int) -> tuple[_Grid, _Grid]:
    """Return the values before and after each pixel."""
    padded = _pad(image, axis, 1)
    return (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])


def _blend(image: _Grid, axis: int) -> _Grid:
    """Blend each pixel with its neighbours, 1 2 1."""
    before, after = _neighbours(image, axis)
    return np.asarray((before + 2 * image + after) / 4, np.float32)


def _slope(image: _Grid, axis: int) -> _Grid:
    before, after = _neighbours(image, axis)
    return np.asarray(after - before, np.float32)


def _highest_around(image: _Grid) -> _Grid:
    """Return the highest value of the square of SURROUNDINGS_PX around each pixel."""
    for axis in (0, 1):
        padded = _pad(image, axis, SURROUNDINGS_PX // 2)
        rows = padded if axis == 0 else padded.T
        # Of 2, 4 and 8 pixels, and of two overlapping eights.
        for step in (1, 2, 4, SURROUNDINGS_PX - 8):
            rows = np.maximum(rows[:-step], rows[step:])
        image = rows if axis == 0 else rows.T
    return image
