"""The backdrop of the avenue: everything static, as one panorama around the pole.

Each pixel is a ray from the camera that hits the ground, a facade, a tree or the sky. Columns are even
steps of pan from -180 to 180, rows even steps of tilt.
"""

import random

import cv2
import numpy as np
import numpy.typing as npt

from simulation.street.world import ROAD_HALF_M
from simulation.surround.panned_view import POLE_HEIGHT_M, POLE_X_M

Image = npt.NDArray[np.uint8]
Rays = npt.NDArray[np.float32]

TOP_DEG, BOTTOM_DEG = 50.0, -90.0
FRONT_X_M = (-9.6, 18.0)
"""The facades of the houses, at the left and, behind a square, at the right."""
END_M = 160.0
_CROSSINGS_Z_M = ((15.0, 18.0), (-24.0, -21.0))
_SUPERSAMPLE = 2
_BAND_ROWS = 64
_HOUSE_COLOURS = (
    (120, 140, 165),
    (150, 165, 178),
    (100, 115, 140),
    (165, 172, 176),
    (140, 150, 190),
)
_TREE_POSITIONS_M = (
    (11.5, 9.0),
    (15.5, 17.0),
    (12.0, 30.0),
    (15.0, -8.0),
    (11.5, -19.0),
    (16.0, -34.0),
)
_CROWN_RADIUS_M, _CROWN_HEIGHT_M = 1.9, 4.6
_TRUNK_RADIUS_M, _BRANCHING_M = 0.16, 2.4
_BRANCH_RATIO, _LEAF_RATIO, _REACH_RATIO = 0.9, 0.88, 1.15
"""Of the crown's radius: so far reach the branches, leaves on average, and the farthest leaf."""
_CLUSTERS_M = (0.7, 0.18, 0.07)
"""Of the leaves: of a limb, a twig and a leaf."""
_BARK, _LEAF = np.array((60, 75, 92), np.float32), np.array((70, 135, 105), np.float32)


class HouseRow:
    """A row of houses: the begin of each along the street, its height and its colour."""

    def __init__(self, rng: random.Random) -> None:
        begins, heights, colours = [-END_M], [rng.uniform(8, 13)], [rng.choice(_HOUSE_COLOURS)]
        while begins[-1] < END_M:
            begins.append(begins[-1] + rng.uniform(9, 15))
            heights.append(rng.uniform(8, 13))
            colours.append(rng.choice([c for c in _HOUSE_COLOURS if c != colours[-1]]))
        self.begins_m = np.array(begins, np.float32)
        self.heights_m = np.array(heights, np.float32)
        self.colours = np.array(colours, np.float32)
        self.lit_windows = np.array([rng.random() < 0.3 for _ in range(997)])  # noqa: PLR2004 - a third is at home


def render_backdrop(seed: int, px_per_deg: float, *, night: bool) -> Image:
    """Return the panorama, about 360 * `px_per_deg` wide; H x W x 3, BGR."""
    width, height = round(360 * px_per_deg), round((TOP_DEG - BOTTOM_DEG) * px_per_deg)
    rng = random.Random(seed)  # noqa: S311 - a street, not a secret
    fronts = (HouseRow(rng), HouseRow(rng))
    pan = np.radians((np.arange(width * _SUPERSAMPLE) + 0.5) / (width * _SUPERSAMPLE) * 360 - 180)
    sin, cos = np.sin(pan).astype(np.float32), np.cos(pan).astype(np.float32)
    image = np.empty((height, width, 3), np.uint8)
    for first_row in range(0, height, _BAND_ROWS):
        rows = min(_BAND_ROWS, height - first_row)
        row_fractions = (first_row + (np.arange(rows * _SUPERSAMPLE) + 0.5) / _SUPERSAMPLE) / height
        tilt = np.radians(TOP_DEG - row_fractions * (TOP_DEG - BOTTOM_DEG)).astype(np.float32)[
            :, None
        ]
        supersampled = _render_rays(tilt, sin[None, :], cos[None, :], fronts, night=night)
        image[first_row : first_row + rows] = cv2.resize(
            supersampled, (width, rows), interpolation=cv2.INTER_AREA
        )
    return _add_grain(image, np.random.default_rng(seed), px_per_deg)


def _render_rays(
    tilt: Rays, sin: Rays, cos: Rays, house_rows: tuple[HouseRow, HouseRow], *, night: bool
) -> Image:
    """Return the colours of a band of rays, tilts along the rows and pans along the columns."""
    slope = np.tan(tilt)
    shape = np.broadcast_shapes(tilt.shape, sin.shape)
    sky_fraction = np.clip(1 - tilt / np.radians(TOP_DEG), 0, 1)
    sky = np.concatenate(
        [235 - 15 * sky_fraction, 205 + 18 * sky_fraction, 180 + 40 * sky_fraction], 1
    )
    image = np.broadcast_to(sky[:, None, :], (*shape, 3)).astype(np.float32)
    away_m = np.minimum(POLE_HEIGHT_M / np.maximum(-slope, 1e-4), 1e4)
    ground = np.broadcast_to(slope < 0, shape)
    x_m, z_m = POLE_X_M + away_m * sin, away_m * cos
    image[ground] = _ground_colours(x_m[ground], z_m[ground])
    end_m = END_M / np.maximum(np.abs(cos), 1e-6)
    end_y_m = POLE_HEIGHT_M + end_m * slope
    end = (end_y_m >= 0) & (end_y_m < 16.0)  # noqa: PLR2004 - four floors
    image[end] = (140, 150, 158)
    for side, house_row, x_front_m in (
        (-1, house_rows[0], FRONT_X_M[0]),
        (1, house_rows[1], FRONT_X_M[1]),
    ):
        columns = np.flatnonzero(side * sin[0] > 1e-3)  # noqa: PLR2004 - along the street
        wall_m = (x_front_m - POLE_X_M) / sin[:, columns]
        along_m = np.broadcast_to(wall_m * cos[:, columns], (shape[0], columns.size))
        up_m = POLE_HEIGHT_M + wall_m * slope
        _render_wall(image, columns, along_m, up_m, house_row, night=night)
    from_pole_m = [(x_m - POLE_X_M, z_m) for x_m, z_m in _TREE_POSITIONS_M]
    for at_m in sorted(from_pole_m, key=lambda at_m: -float(np.hypot(*at_m))):
        _render_tree(image, slope, sin, cos, at_m)
    return np.clip(image, 0, 255).astype(np.uint8)


def _ground_colours(x_m: Rays, z_m: Rays) -> Rays:
    """Return the colours of ground points: pavement, kerb, road and its markings."""
    colour = np.empty((*x_m.shape, 3), np.float32)
    colour[:] = (150, 152, 154)
    slabs = (x_m > -FRONT_X_M[0]) & ((np.mod(x_m, 3) < 0.12) | (np.mod(z_m, 3) < 0.12))  # noqa: PLR2004
    colour[slabs] = (132, 134, 138)
    across_m = np.abs(x_m)
    colour[across_m < ROAD_HALF_M + 0.25] = (176, 178, 180)
    colour[across_m < ROAD_HALF_M] = (88, 88, 90)
    crossing = np.zeros(x_m.shape, bool)
    near_crossing = np.zeros(x_m.shape, bool)
    for begin_m, end_m in _CROSSINGS_Z_M:
        crossing |= (z_m > begin_m) & (z_m < end_m)
        near_crossing |= (z_m > begin_m - 3) & (z_m < end_m + 3)
    colour[(across_m < 0.08) & (np.mod(z_m, 6) < 3) & ~near_crossing] = (215, 215, 215)  # noqa: PLR2004
    stripes = (np.mod(x_m, 1) < 0.5) & (across_m < ROAD_HALF_M - 0.4)  # noqa: PLR2004
    colour[crossing & stripes] = (222, 222, 222)
    return colour


def _render_wall(
    image: Rays,
    columns: npt.NDArray[np.intp],
    along_m: Rays,
    up_m: Rays,
    house_row: HouseRow,
    *,
    night: bool,
) -> None:
    """Draw a row of houses onto the columns that face it."""
    house_index = np.clip(
        np.searchsorted(house_row.begins_m, along_m[0]) - 1, 0, house_row.begins_m.size - 1
    )
    begins_m = house_row.begins_m[house_index]
    lasts_m = np.append(house_row.begins_m, END_M + 15)[house_index + 1] - begins_m
    heights_m = house_row.heights_m[house_index]
    hit = (up_m >= 0) & (up_m < heights_m) & (np.abs(along_m) < END_M)
    colour = np.broadcast_to(house_row.colours[house_index], (*up_m.shape, 3)).copy()
    colour[up_m < 0.6] *= 0.7  # noqa: PLR2004 - the plinth
    inside_m, floor_m = along_m - begins_m - 1.0, up_m - 1.0
    window = (inside_m > 0) & (inside_m < lasts_m - 2.4) & (np.mod(inside_m, 2.6) < 1.2)  # noqa: PLR2004
    window &= (floor_m > 0) & (up_m < heights_m - 1.0) & (np.mod(floor_m, 3) < 1.6)  # noqa: PLR2004
    colour[window] = (92, 84, 76)
    if night:
        number = (
            house_index * 131 + (inside_m // 2.6).astype(int) * 7 + (floor_m // 3).astype(int) * 17
        )
        colour[window & house_row.lit_windows[number % house_row.lit_windows.size]] = (
            140,
            220,
            250,
        )
    rows, across = np.nonzero(hit)
    image[rows, columns[across]] = colour[rows, across]


def _render_tree(image: Rays, slope: Rays, sin: Rays, cos: Rays, at_m: tuple[float, float]) -> None:
    """Draw a tree, a trunk with branches and a crown of leaves, flat and facing the camera.

    Leaves of many shades with gaps between them: a smooth crown is a torso to a detector.
    """
    away_m = float(np.hypot(*at_m))
    beside_m = at_m[0] * cos[0] - at_m[1] * sin[0]
    is_ahead = at_m[0] * sin[0] + at_m[1] * cos[0] > 0
    columns = np.flatnonzero(is_ahead & (np.abs(beside_m) < _REACH_RATIO * _CROWN_RADIUS_M))
    beside_m = np.broadcast_to(beside_m[columns], (slope.shape[0], columns.size))
    up_m = np.broadcast_to(POLE_HEIGHT_M + away_m * slope, beside_m.shape)
    columns_view = image[:, columns]
    crown = np.hypot(beside_m, (up_m - _CROWN_HEIGHT_M) * 0.9) / _CROWN_RADIUS_M
    wood = (np.abs(beside_m) < _TRUNK_RADIUS_M) & (up_m > 0) & (up_m < _CROWN_HEIGHT_M)
    for lean in (-0.7, -0.3, 0.3, 0.8):
        branch = np.abs(beside_m - lean * (up_m - _BRANCHING_M)) < _TRUNK_RADIUS_M / 2
        wood |= branch & (up_m > _BRANCHING_M) & (crown < _BRANCH_RATIO)
    columns_view[wood] = _BARK
    clusters, twigs, leaves = (
        _value_noise(beside_m + np.float32(at_m[0]), up_m + np.float32(at_m[1]), size_m) - 0.5
        for size_m in _CLUSTERS_M
    )
    is_leaf = crown + 0.7 * clusters + 0.4 * twigs + 0.4 * leaves < _LEAF_RATIO
    is_leaf &= crown < _REACH_RATIO
    light = 0.7 + 0.3 * clusters + 0.4 * twigs + 0.6 * leaves + 0.12 * (up_m - _CROWN_HEIGHT_M)
    columns_view[is_leaf] = np.clip(light, 0.15, 1.2)[is_leaf, None] * _LEAF
    image[:, columns] = columns_view


def _value_noise(
    x_m: npt.NDArray[np.floating], y_m: npt.NDArray[np.floating], size_m: float
) -> Rays:
    """Return smooth noise in 0..1 at each point, with cells of `size_m`."""
    x, y = x_m / size_m, y_m / size_m
    column, row = np.floor(x), np.floor(y)
    across, down = (part * part * (3 - 2 * part) for part in (x - column, y - row))

    def at_corner(right: int, below: int) -> Rays:
        scattered = np.sin((column + right) * 127.1 + (row + below) * 311.7) * 43758.5
        return np.asarray(scattered - np.floor(scattered), np.float32)

    upper = at_corner(0, 0) * (1 - across) + at_corner(1, 0) * across
    lower = at_corner(0, 1) * (1 - across) + at_corner(1, 1) * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def _add_grain(image: Image, rng: np.random.Generator, px_per_deg: float) -> Image:
    """Add a little static noise, fine and coarse, without a seam at pan 180."""
    height, width = image.shape[:2]
    down, across = max(2, round(height / px_per_deg / 2)), max(4, round(width / px_per_deg / 2))
    coarse = rng.standard_normal((down, across)).astype(np.float32) * 2.0
    step = width // across + 1
    around = np.concatenate([coarse[:, -2:], coarse, coarse[:, :2]], 1)
    large = cv2.resize(around, ((across + 4) * step, height), interpolation=cv2.INTER_CUBIC)
    fits = cv2.resize(large[:, 2 * step : -2 * step], (width, height))
    fine = rng.standard_normal((height, width), np.float32) * 3.0
    return np.clip(image + (fine + fits)[..., None], 0, 255).astype(np.uint8)
