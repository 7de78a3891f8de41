"""Lens of a fisheye camera, by its field of view, its focal length, or lines that are straight in the street. Pure.

The rays of a straight line lie in a plane. A lens is fitted to the marked points: its focal length, its centre and two
coefficients, with what is usual of lenses as a prior, so that few lines suffice.

Rays that are all stretched along the axis by one factor stay in their planes, so lines alone do not tell a lens from one
whose angles are so stretched: the prior does, and better the field of view, if it is stated. A flat view is a
picture without distortion under each of them.
"""

import math
from collections.abc import Sequence
from functools import cache

import msgspec
import numpy as np

from agent.base.errors import UserError
from agent.base.message import Message
from agent.config.fisheye import LensConfig
from agent.detection.fisheye_lens import Array, FisheyeLens
from agent.detection.lens_distortion import MAX_BEND, POINT_ERROR
from drivers.media import Point

_FIRST_FIELDS_DEG = (120.0, 190.0)
"""Fields of view that the fit begins with, across the picture's height."""
_PRIOR = np.array([np.inf, 0.03, 0.03, 0.05, 0.01])
"""Standard deviations of the logarithm of the focal length, of the centre in picture heights, and of k1 and k2."""
_FIELD_ERROR = math.radians(1.0)
"""Standard deviation of half a field of view that is stated."""
_MAX_STEPS = 40
_MAX_ERROR_DEG = 4.0
"""Largest standard deviation of the angle at the circle's edge."""
_UNSEEN = 1e3
_SLOPE_STEP = 1e-5
_MAX_LOG_FOCAL = 20.0


@cache
def resolve_lens(config: LensConfig) -> FisheyeLens:
    """Return the lens of a configuration. Raises: UserError if lines cannot show it, or are not straight under any."""
    shape = FisheyeLens(
        focal_length=1.0, centre=config.centre, k=config.k, axis_tilt_deg=config.axis_tilt_deg
    )
    if config.straight:
        return _LensFit(config).find(shape)
    if config.focal_length is not None:
        return msgspec.structs.replace(shape, focal_length=config.focal_length)
    half = math.radians(config.field_of_view_deg or 0) / 2
    edge = shape.project(np.array([[math.sin(half), 0.0, math.cos(half)]]), 1.0)[0]
    if np.isnan(edge).any():
        raise UserError(
            Message(
                "{label}: the lens bends rays back at {max_deg:.0f} degrees from its axis; allowed: a smaller field of view, or another k",
                label="field_of_view_deg",
                max_deg=math.degrees(shape.max_angle),
            )
        )
    radius = float(edge[0]) - config.centre.x
    return msgspec.structs.replace(shape, focal_length=config.circle / 2 / radius)


class _LensFit:
    """The fit of a lens to marked lines. Its values are the logarithm of the focal length, the shift of the centre, k1 and k2."""

    def __init__(self, config: LensConfig) -> None:
        self._lines = [np.array([[point.x, point.y] for point in line]) for line in config.straight]
        self._aspect = config.aspect or 1.0
        self._centre = config.centre
        self._edge = np.array([[config.centre.x, config.centre.y + config.circle / 2]])
        self._half_field = (
            None if config.field_of_view_deg is None else math.radians(config.field_of_view_deg) / 2
        )

    def find(self, shape: FisheyeLens) -> FisheyeLens:
        """Return the lens under which the rays of each line are nearest to a plane. Raises: UserError as `resolve_lens`."""
        fits = [self._fit(math.radians(first_deg)) for first_deg in _FIRST_FIELDS_DEG]
        _, values, jacobian = min(fits, key=lambda fit: fit[0])
        lens = self._lens(values)
        for index, distances in enumerate(line_distances(lens, self._lines, self._aspect)):
            rms = math.sqrt(float(np.mean(distances**2)))
            if rms > MAX_BEND:
                raise UserError(
                    Message(
                        "{label}: off a straight line by {rms:.1f} % of the picture's height; allowed: at most {max:.0f} %",
                        label=f"straight[{index}]",
                        rms=100 * rms,
                        max=100 * MAX_BEND,
                    )
                )
        if self._error_deg(values, jacobian) > _MAX_ERROR_DEG:
            raise UserError(
                Message(
                    "{label}: too short, or too near to the picture's middle, to show the lens; allowed: long lines near the picture's edges",
                    label="straight",
                )
            )
        return msgspec.structs.replace(lens, axis_tilt_deg=shape.axis_tilt_deg)

    def _fit(self, first_field: float) -> tuple[float, Array, Array]:
        """Return the misfit, the values and the slopes of the best fit from a first one (Levenberg and Marquardt)."""
        values = np.array([math.log(1 / first_field), 0.0, 0.0, 0.0, 0.0])
        residuals = self._residuals(values)
        damping, jacobian = 1e-2, self._jacobian(values, residuals)
        for _ in range(_MAX_STEPS):
            normal = jacobian.T @ jacobian
            damped = normal + damping * np.diag(np.diag(normal) + 1e-9)
            tried = values + np.linalg.solve(damped, -jacobian.T @ residuals)
            tried_residuals = self._residuals(tried)
            gain = residuals @ residuals - tried_residuals @ tried_residuals
            if gain <= 0:
                damping *= 10
                continue
            values, residuals, damping = tried, tried_residuals, damping / 5
            jacobian = self._jacobian(values, residuals)
            if gain < 1e-3:  # noqa: PLR2004 - of a standard deviation, squared
                break
        return float(residuals @ residuals), values, jacobian

    def _jacobian(self, values: Array, residuals: Array) -> Array:
        moved = [self._residuals(values + step) for step in np.eye(values.size) * _SLOPE_STEP]
        return np.stack([(one - residuals) / _SLOPE_STEP for one in moved], 1)

    def _residuals(self, values: Array) -> Array:
        """Return the distances of all points from their lines, and of the values from what is stated and usual, in standard deviations."""
        distances = line_distances(self._lens(values), self._lines, self._aspect)
        stated = (
            []
            if self._half_field is None
            else [np.array([(self._angle(values, self._edge) - self._half_field) / _FIELD_ERROR])]
        )
        return np.concatenate([np.concatenate(distances) / POINT_ERROR, values / _PRIOR, *stated])

    def _error_deg(self, values: Array, jacobian: Array) -> float:
        """Return the standard deviation of the angle from the axis at the circle's edge."""
        angle = self._angle(values, self._edge)
        slopes = np.array(
            [
                (self._angle(values + step, self._edge) - angle) / _SLOPE_STEP
                for step in np.eye(values.size) * _SLOPE_STEP
            ]
        )
        # A value that the lines do not show at all has a large error, not none.
        covariance = np.linalg.inv(jacobian.T @ jacobian + 1e-6 * np.eye(values.size))
        return math.degrees(math.sqrt(max(0.0, float(slopes @ covariance @ slopes))))

    def _angle(self, values: Array, position: Array) -> float:
        ray = self._lens(values).unproject(position, self._aspect)[0]
        return math.acos(float(np.clip(np.nan_to_num(ray[2]), -1, 1)))

    def _lens(self, values: Array) -> FisheyeLens:
        log_focal, x, y, k1, k2 = (float(value) for value in values)
        return FisheyeLens(
            # Steps of a fit that fails may leave the range of a float.
            focal_length=math.exp(min(max(log_focal, -_MAX_LOG_FOCAL), _MAX_LOG_FOCAL)),
            centre=Point(self._centre.x + x / self._aspect, self._centre.y + y),
            k=(k1, k2, 0.0, 0.0),
        )


def line_distances(lens: FisheyeLens, lines: Sequence[Array], aspect: float) -> list[Array]:
    """Return the distances on the picture, in its heights, of each line's points from the plane that fits their rays best.

    To the first order: the distance from the plane by its slope on the picture. The distance alone would be least under the
    smallest focal length.
    """
    points = np.concatenate(lines)
    steps = np.array([[0.0, 0.0], [_SLOPE_STEP / aspect, 0.0], [0.0, _SLOPE_STEP]])
    rays, right_rays, down_rays = lens.unproject(points + steps[:, None], aspect)
    if not np.isfinite(rays + right_rays + down_rays).all():
        return [np.full(len(line), _UNSEEN) for line in lines]
    found, begin = [], 0
    for line in lines:
        part = slice(begin, begin + len(line))
        begin += len(line)
        across = np.linalg.eigh(rays[part].T @ rays[part])[1][:, 0]
        off = rays[part] @ across
        slope = np.hypot((right_rays[part] @ across - off), (down_rays[part] @ across - off))
        found.append(off * _SLOPE_STEP / np.maximum(slope, 1e-12))
    return found
