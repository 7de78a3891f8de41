"""What stands still on the avenue, as one long picture all around the pole.

Each of its pixels is a ray from the camera: it meets the ground, a front, a tree or the sky. Its
columns are even steps of pan from -180 to 180, its rows even steps of tilt.
"""

import random

import cv2
import numpy as np
import numpy.typing as npt

from drivers.street.panned_view import POLE_HEIGHT_M, POLE_X_M
from drivers.street.world import ROAD_HALF_M

Image = npt.NDArray[np.uint8]
Rays = npt.NDArray[np.float32]

TOP_DEG, BOTTOM_DEG = 50.0, -90.0
FRONTS_M = (-9.6, 18.0)
"""Where the houses stand, at the left and, behind a square, at the right."""
ENDS_M = 160.0
_CROSSINGS_M = ((15.0, 18.0), (-24.0, -21.0))
_FINER = 2
_ROWS_AT_ONCE = 64
_HOUSES = ((120, 140, 165), (150, 165, 178), (100, 115, 140), (165, 172, 176), (140, 150, 190))
_TREES_M = ((11.5, 9.0), (15.5, 17.0), (12.0, 30.0), (15.0, -8.0), (11.5, -19.0), (16.0, -34.0))
_CROWN_M, _CROWN_AT_M, _TRUNK_M = 1.9, 4.2, 0.16


class Front:
    """A row of houses: where each begins along the street, its height and its colour."""

    def __init__(self, rng: random.Random) -> None:
        begins, heights, colours = [-ENDS_M], [rng.uniform(8, 13)], [rng.choice(_HOUSES)]
        while begins[-1] < ENDS_M:
            begins.append(begins[-1] + rng.uniform(9, 15))
            heights.append(rng.uniform(8, 13))
            colours.append(rng.choice([c for c in _HOUSES if c != colours[-1]]))
        self.begins_m = np.array(begins, np.float32)
        self.heights_m = np.array(heights, np.float32)
        self.colours = np.array(colours, np.float32)
        self.lit = np.array([rng.random() < 0.3 for _ in range(997)])  # noqa: PLR2004 - a third is at home


def paint(seed: int, px_per_deg: float, *, night: bool) -> Image:
    """The long picture: about 360 * `px_per_deg` wide; H x W x 3, BGR."""
    width, height = round(360 * px_per_deg), round((TOP_DEG - BOTTOM_DEG) * px_per_deg)
    rng = random.Random(seed)  # noqa: S311 - a street, not a secret
    fronts = (Front(rng), Front(rng))
    pan = np.radians((np.arange(width * _FINER) + 0.5) / (width * _FINER) * 360 - 180)
    sin, cos = np.sin(pan).astype(np.float32), np.cos(pan).astype(np.float32)
    image = np.empty((height, width, 3), np.uint8)
    for first in range(0, height, _ROWS_AT_ONCE):
        rows = min(_ROWS_AT_ONCE, height - first)
        at = (first + (np.arange(rows * _FINER) + 0.5) / _FINER) / height
        tilt = np.radians(TOP_DEG - at * (TOP_DEG - BOTTOM_DEG)).astype(np.float32)[:, None]
        fine = _rays(tilt, sin[None, :], cos[None, :], fronts, night=night)
        image[first : first + rows] = cv2.resize(fine, (width, rows), interpolation=cv2.INTER_AREA)
    return _grained(image, np.random.default_rng(seed), px_per_deg)


def _rays(tilt: Rays, sin: Rays, cos: Rays, fronts: tuple[Front, Front], *, night: bool) -> Image:
    """The colours of a band of rays, their tilts down and their pans across."""
    slope = np.tan(tilt)
    shape = np.broadcast_shapes(tilt.shape, sin.shape)
    share = np.clip(1 - tilt / np.radians(TOP_DEG), 0, 1)
    sky = np.concatenate([235 - 15 * share, 205 + 18 * share, 180 + 40 * share], 1)
    picture = np.broadcast_to(sky[:, None, :], (*shape, 3)).astype(np.float32)
    away_m = np.minimum(POLE_HEIGHT_M / np.maximum(-slope, 1e-4), 1e4)
    ground = np.broadcast_to(slope < 0, shape)
    x_m, z_m = POLE_X_M + away_m * sin, away_m * cos
    picture[ground] = _ground(x_m[ground], z_m[ground])
    end_m = ENDS_M / np.maximum(np.abs(cos), 1e-6)
    end_y_m = POLE_HEIGHT_M + end_m * slope
    end = (end_y_m >= 0) & (end_y_m < 16.0)  # noqa: PLR2004 - four floors
    picture[end] = (140, 150, 158)
    for side, front, x_front_m in ((-1, fronts[0], FRONTS_M[0]), (1, fronts[1], FRONTS_M[1])):
        columns = np.flatnonzero(side * sin[0] > 1e-3)  # noqa: PLR2004 - along the street
        wall_m = (x_front_m - POLE_X_M) / sin[:, columns]
        along_m = np.broadcast_to(wall_m * cos[:, columns], (shape[0], columns.size))
        up_m = POLE_HEIGHT_M + wall_m * slope
        _wall(picture, columns, along_m, up_m, front, night=night)
    for tree_x_m, tree_z_m in _TREES_M:
        _tree(picture, slope, sin, cos, (tree_x_m - POLE_X_M, tree_z_m))
    return np.clip(picture, 0, 255).astype(np.uint8)


def _ground(x_m: Rays, z_m: Rays) -> Rays:
    """Grass and earth beyond, pavement, kerb, road, and what is painted on it."""
    colour = np.empty((*x_m.shape, 3), np.float32)
    colour[:] = (150, 152, 154)
    slabs = (x_m > -FRONTS_M[0]) & ((np.mod(x_m, 3) < 0.12) | (np.mod(z_m, 3) < 0.12))  # noqa: PLR2004
    colour[slabs] = (132, 134, 138)
    across_m = np.abs(x_m)
    colour[across_m < ROAD_HALF_M + 0.25] = (176, 178, 180)
    colour[across_m < ROAD_HALF_M] = (88, 88, 90)
    crossing = np.zeros(x_m.shape, bool)
    near = np.zeros(x_m.shape, bool)
    for begin_m, end_m in _CROSSINGS_M:
        crossing |= (z_m > begin_m) & (z_m < end_m)
        near |= (z_m > begin_m - 3) & (z_m < end_m + 3)
    colour[(across_m < 0.08) & (np.mod(z_m, 6) < 3) & ~near] = (215, 215, 215)  # noqa: PLR2004
    stripes = (np.mod(x_m, 1) < 0.5) & (across_m < ROAD_HALF_M - 0.4)  # noqa: PLR2004
    colour[crossing & stripes] = (222, 222, 222)
    return colour


def _wall(
    picture: Rays,
    columns: npt.NDArray[np.intp],
    along_m: Rays,
    up_m: Rays,
    front: Front,
    *,
    night: bool,
) -> None:
    """One row of houses onto the columns that face it."""
    house = np.clip(np.searchsorted(front.begins_m, along_m[0]) - 1, 0, front.begins_m.size - 1)
    begins_m = front.begins_m[house]
    lasts_m = np.append(front.begins_m, ENDS_M + 15)[house + 1] - begins_m
    heights_m = front.heights_m[house]
    hit = (up_m >= 0) & (up_m < heights_m) & (np.abs(along_m) < ENDS_M)
    colour = np.broadcast_to(front.colours[house], (*up_m.shape, 3)).copy()
    colour[up_m < 0.6] *= 0.7  # noqa: PLR2004 - the plinth
    inside_m, floor_m = along_m - begins_m - 1.0, up_m - 1.0
    window = (inside_m > 0) & (inside_m < lasts_m - 2.4) & (np.mod(inside_m, 2.6) < 1.2)  # noqa: PLR2004
    window &= (floor_m > 0) & (up_m < heights_m - 1.0) & (np.mod(floor_m, 3) < 1.6)  # noqa: PLR2004
    colour[window] = (92, 84, 76)
    if night:
        number = house * 131 + (inside_m // 2.6).astype(int) * 7 + (floor_m // 3).astype(int) * 17
        colour[window & front.lit[number % front.lit.size]] = (140, 220, 250)
    rows, across = np.nonzero(hit)
    picture[rows, columns[across]] = colour[rows, across]


def _tree(picture: Rays, slope: Rays, sin: Rays, cos: Rays, at_m: tuple[float, float]) -> None:
    """A trunk and a crown, flat, facing the camera."""
    away_m = float(np.hypot(*at_m))
    beside_m = at_m[0] * cos[0] - at_m[1] * sin[0]
    ahead = at_m[0] * sin[0] + at_m[1] * cos[0] > 0
    columns = np.flatnonzero(ahead & (np.abs(beside_m) < _CROWN_M + 0.5))
    beside_m = beside_m[columns]
    up_m = POLE_HEIGHT_M + away_m * slope
    part = picture[:, columns]
    part[(np.abs(beside_m) < _TRUNK_M) & (up_m > 0) & (up_m < _CROWN_AT_M)] = (60, 75, 92)
    leaves_m = np.hypot(beside_m, (up_m - _CROWN_AT_M) * 0.8)
    leaves_m = leaves_m + 0.08 * np.sin(beside_m * 11) * np.cos(up_m * 9)
    for size, colour in ((1.0, (52, 92, 70)), (0.6, (66, 112, 86))):
        part[leaves_m < size * _CROWN_M] = colour
    picture[:, columns] = part


def _grained(image: Image, rng: np.random.Generator, px_per_deg: float) -> Image:
    """A little noise, fine and coarse, fixed in place; it goes on over the back."""
    height, width = image.shape[:2]
    down, across = max(2, round(height / px_per_deg / 2)), max(4, round(width / px_per_deg / 2))
    coarse = rng.standard_normal((down, across)).astype(np.float32) * 2.0
    step = width // across + 1
    around = np.concatenate([coarse[:, -2:], coarse, coarse[:, :2]], 1)
    large = cv2.resize(around, ((across + 4) * step, height), interpolation=cv2.INTER_CUBIC)
    fits = cv2.resize(large[:, 2 * step : -2 * step], (width, height))
    fine = rng.standard_normal((height, width), np.float32) * 3.0
    return np.clip(image + (fine + fits)[..., None], 0, 255).astype(np.uint8)
