"""Homography from the picture to the ground by known lengths and the camera's height. Pure.

Two lengths give two unknowns of a camera: how far it looks down, and its focal length. Its roll is near zero
(_ROLL_ERROR); more lengths determine it, and what they leave open is in the error. The ground's origin is below the camera,
x to the right and y ahead. `agent/scene_editor/known_lengths.js` computes the same, step by step.
"""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from agent.base.errors import UserError
from agent.base.message import Message
from agent.detection.homography_fit import (
    MAX_DEVIATION,
    Array,
    DegenerateMarks,
    HomographyFit,
    MarkErrors,
)
from agent.detection.lens_distortion import Position

_TILTS_DEG = range(2, 90, 2)
_FOCAL_LENGTHS = tuple(0.3 * 1.1**step for step in range(36))
"""In picture heights: from a vertical view of 118 degrees to one of 6."""
_MAX_LOG_FOCAL = 4.0
_ROLL_ERROR = math.radians(1.5)
"""Standard deviation of the roll of a camera that was mounted level by eye. A roll of 2 degrees that a fit leaves out makes
lengths, and speeds, wrong by 1.9 % in the median, and by 5 % at most."""
_DELTA = 1e-6
_MAX_STEPS = 60
_MAX_DAMPING = 1e8
_CONVERGED = 1e-11
_SAME_VIEW = 1e-3
_SIGNIFICANT = 4.0
"""Two standard deviations, squared."""
MIN_HELD_OUT = 3
_FAR_M = 1e9


class MarkedLength(msgspec.Struct, frozen=True):
    """Two positions relative to the picture's centre, without distortion, and their distance on the ground."""

    start: Position
    to: Position
    metres: float


class LengthsFit(msgspec.Struct, frozen=True, kw_only=True):
    """A homography by lengths: how far each length is from the fit, and from what the others give.

    `factor` is by how much the covariance understates the held-out distances, 1 or more.
    """

    homography: HomographyFit
    residuals_m: tuple[float, ...]
    held_out_m: tuple[float | None, ...]
    factor: float


class _View(msgspec.Struct, frozen=True):
    """The angle below the horizon at which a camera looks, in radians, its focal length's logarithm, and its roll, clockwise."""

    tilt: float
    log_focal: float
    roll: float = 0.0

    def moved(self, tilt: float, log_focal: float, roll: float) -> "_View":
        return _View(self.tilt + tilt, self.log_focal + log_focal, self.roll + roll)


class _ViewFit(msgspec.Struct, frozen=True):
    view: _View
    covariance: Array
    cost: float


def fit_lengths(
    lengths: Sequence[MarkedLength], height_m: float, middle: Position, errors: MarkErrors
) -> LengthsFit:
    """Return the homography of positions relative to `middle`, with its errors.

    Raises: UserError if no camera sees such lengths, or several do; DegenerateMarks.
    """
    fit = _fit_view(lengths, height_m, errors)
    residuals_m = [abs(_found_m(fit.view, one, height_m) - one.metres) for one in lengths]
    for index, length in enumerate(lengths):
        sigma_m = _sigma_m(fit.view, length, height_m, errors)
        if residuals_m[index] > MAX_DEVIATION * sigma_m:
            found_m = _found_m(fit.view, length, height_m)
            raise UserError(
                Message(
                    "{label}: {found_m:.2f} by the other marks and the camera's height; allowed: lengths on the ground that fit a level camera at that height",
                    label=f"ground.length[{index}].metres = {length.metres:.2f}",
                    found_m=found_m,
                )
            )
    distances: list[float | None] = []
    ratios = []
    for index, length in enumerate(lengths):
        if len(lengths) < MIN_HELD_OUT:
            distances.append(None)
            continue
        others = _fit_view([*lengths[:index], *lengths[index + 1 :]], height_m, errors)
        distance = abs(_found_m(others.view, length, height_m) - length.metres)
        slopes = _length_slopes(others.view, length, height_m)
        expected = math.hypot(
            _sigma_m(others.view, length, height_m, errors),
            math.sqrt(slopes @ others.covariance @ slopes),
        )
        distances.append(distance)
        ratios.append(distance / expected)
    slopes = _view_slopes(lambda view: _parameters(view, height_m, middle), fit.view)
    homography = HomographyFit(
        parameters=_parameters(fit.view, height_m, middle),
        covariance=slopes @ fit.covariance @ slopes.T,
        used=tuple(range(len(lengths))),
    )
    return LengthsFit(
        homography=homography,
        residuals_m=tuple(residuals_m),
        held_out_m=tuple(distances),
        factor=max(1.0, float(np.median(ratios)) if ratios else 1.0),
    )


def _fit_view(lengths: Sequence[MarkedLength], height_m: float, errors: MarkErrors) -> _ViewFit:
    """Return the camera that fits best. Raises: UserError if another one fits as well."""
    fits: list[_ViewFit] = []
    for start in _local_minima(lengths, height_m):
        fit = _refine(start, lengths, height_m, errors)
        if fit is not None and all(_distance(fit.view, one.view) > _SAME_VIEW for one in fits):
            fits.append(fit)
    fits.sort(key=lambda fit: fit.cost)
    if not fits:
        raise DegenerateMarks
    if len(fits) > 1 and fits[1].cost < fits[0].cost + _SIGNIFICANT:
        raise UserError(
            Message(
                "{label}: two different cameras see these lengths so; allowed: one length along the road and one across it, or a third one",
                label="ground.length",
            )
        )
    return fits[0]


def _distance(one: _View, other: _View) -> float:
    return max(
        abs(one.tilt - other.tilt),
        abs(one.log_focal - other.log_focal),
        abs(one.roll - other.roll),
    )


def _local_minima(lengths: Sequence[MarkedLength], height_m: float) -> list[_View]:
    """Return the level views of a grid that fit better than the eight around them."""
    views = [
        [_View(math.radians(tilt_deg), math.log(focal)) for focal in _FOCAL_LENGTHS]
        for tilt_deg in _TILTS_DEG
    ]
    costs = [[_relative_cost(view, lengths, height_m) for view in row] for row in views]
    found = []
    for i, row in enumerate(costs):
        for j, cost in enumerate(row):
            around = (
                costs[k][m]
                for k in range(max(0, i - 1), min(len(costs), i + 2))
                for m in range(max(0, j - 1), min(len(row), j + 2))
            )
            if cost < math.inf and cost <= min(around):
                found.append(views[i][j])
    return found


def _relative_cost(view: _View, lengths: Sequence[MarkedLength], height_m: float) -> float:
    total = 0.0
    for length in lengths:
        found_m = _found_m(view, length, height_m)
        if not 0 < found_m < _FAR_M:
            return math.inf
        total += math.log(found_m / length.metres) ** 2
    return total


def _refine(
    start: _View, lengths: Sequence[MarkedLength], height_m: float, errors: MarkErrors
) -> _ViewFit | None:
    """Return the most likely view near `start` (Levenberg and Marquardt), or None if there is none."""
    view, damping = start, 0.0
    for _ in range(_MAX_STEPS):
        sigmas = np.array(
            [*(_sigma_m(view, one, height_m, errors) for one in lengths), _ROLL_ERROR]
        )
        residuals = _residuals(view, lengths, height_m) / sigmas
        slopes = _view_slopes(lambda at: -_residuals(at, lengths, height_m), view) / sigmas[:, None]
        normal, gradient = slopes.T @ slopes, slopes.T @ residuals
        cost = float(residuals @ residuals)
        if not np.all(np.isfinite(normal)) or np.linalg.det(normal) <= 0:
            return None
        while True:
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
            trial = view.moved(*map(float, step))
            if _is_possible(trial):
                trial_residuals = _residuals(trial, lengths, height_m) / sigmas
                trial_cost = float(trial_residuals @ trial_residuals)
                if trial_cost <= cost * (1 + 1e-12) + 1e-15:
                    view, damping = trial, damping / 10 if damping > 1e-6 else 0.0  # noqa: PLR2004
                    break
            damping = max(damping * 10, 1e-4)
            if damping > _MAX_DAMPING:
                return None
        if float(np.max(np.abs(step))) < _CONVERGED:
            break
    return _ViewFit(view, np.linalg.inv(normal), cost)


def _is_possible(view: _View) -> bool:
    return (
        0 < view.tilt < math.pi / 2
        and abs(view.log_focal) < _MAX_LOG_FOCAL
        and abs(view.roll) < math.pi / 4
    )


def _residuals(view: _View, lengths: Sequence[MarkedLength], height_m: float) -> Array:
    """Return what the view lacks of each length, and of a roll of zero."""
    return np.array([*(one.metres - _found_m(view, one, height_m) for one in lengths), -view.roll])


def _view_slopes(function: Callable[[_View], Array], view: _View) -> Array:
    """Return how a function's values change with the tilt, the focal length and the roll: n x 3."""
    columns = []
    for step in _DELTA * np.eye(3):
        above, below = function(view.moved(*step)), function(view.moved(*-step))
        columns.append((above - below) / (2 * _DELTA))
    return np.stack(columns, axis=1)


def _length_slopes(view: _View, length: MarkedLength, height_m: float) -> Array:
    slopes = _view_slopes(lambda at: np.array([_found_m(at, length, height_m)]), view)
    return np.asarray(slopes[0])


def _found_m(view: _View, length: MarkedLength, height_m: float) -> float:
    """Return a length as the view gives it; _FAR_M if an end is not on the ground in front."""
    return _between_m(view, length.start, length.to, height_m)


def _between_m(view: _View, start: Position, to: Position, height_m: float) -> float:
    first, second = _place_m(view, start, height_m), _place_m(view, to, height_m)
    return _FAR_M if first is None or second is None else math.dist(first, second)


def _place_m(view: _View, position: Position, height_m: float) -> Position | None:
    focal, sine, cosine = math.exp(view.log_focal), math.sin(view.tilt), math.cos(view.tilt)
    x, y = _level(view, position)
    below = focal * sine + y * cosine
    if below <= _DELTA:
        return None
    return height_m * x / below, height_m * (focal * cosine - y * sine) / below


def _level(view: _View, position: Position) -> Position:
    """Return a position as the camera would see it without roll."""
    x, y = position
    sine, cosine = math.sin(view.roll), math.cos(view.roll)
    return x * cosine - y * sine, x * sine + y * cosine


def _sigma_m(view: _View, length: MarkedLength, height_m: float, errors: MarkErrors) -> float:
    """Return the standard deviation of a length: of its measurement, and of its two points."""
    squared = errors.ground_m**2
    ends = (length.start, length.to)
    for index, (x, y) in enumerate(ends):
        for dx, dy in ((_DELTA, 0.0), (0.0, _DELTA)):
            above = [*ends]
            above[index] = (x + dx, y + dy)
            below = [*ends]
            below[index] = (x - dx, y - dy)
            difference = _between_m(view, above[0], above[1], height_m) - _between_m(
                view, below[0], below[1], height_m
            )
            squared += (errors.point * difference / (2 * _DELTA)) ** 2
    return math.sqrt(squared)


def _parameters(view: _View, height_m: float, middle: Position) -> Array:
    """Return the eight parameters of the homography, for positions relative to `middle`."""
    focal, sine, cosine = math.exp(view.log_focal), math.sin(view.tilt), math.cos(view.tilt)
    roll_sine, roll_cosine = math.sin(view.roll), math.cos(view.roll)
    x, y = _level(view, middle)
    below = focal * sine + y * cosine
    return np.array(
        [
            height_m * roll_cosine / below,
            -height_m * roll_sine / below,
            height_m * x / below,
            -height_m * sine * roll_sine / below,
            -height_m * sine * roll_cosine / below,
            height_m * (focal * cosine - y * sine) / below,
            cosine * roll_sine / below,
            cosine * roll_cosine / below,
        ]
    )
