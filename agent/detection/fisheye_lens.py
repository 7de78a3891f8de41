"""Fisheye lens: where a ray is seen, which ray is seen at a position, and the rays of a dewarped view. Pure.

Rays have the axes of the camera, x to the right, y down and z ahead, or those of the street: to the right, up and ahead
at pan 0. Angles are in radians, unless a name says degrees.
"""

import math

import msgspec
import numpy as np
import numpy.typing as npt

from agent.config.fisheye import ViewOptions
from drivers.media import Point

Array = npt.NDArray[np.float64]

_STEPS = 512
_NEWTON_STEPS = 3
_OUTSIDE = np.nan


class FisheyeLens(msgspec.Struct, frozen=True, kw_only=True):
    """The equidistant model with four coefficients, as `cv2.fisheye` has it. `focal_length` is in picture heights."""

    focal_length: float
    centre: Point = Point(0.5, 0.5)
    k: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    axis_tilt_deg: float = -90.0

    @property
    def max_angle(self) -> float:
        """The largest angle from the axis that is seen at one position alone."""
        angles = np.linspace(0, math.pi, _STEPS)
        falling = np.flatnonzero(self._slope(angles) <= 0)
        return float(angles[max(0, falling[0] - 1)]) if falling.size else math.pi

    def project(self, rays: Array, aspect: float) -> Array:
        """Return the positions, in 0..1 of a picture of this width by height, of rays of the camera; NaN if the lens sees no such ray."""
        x, y, z = rays[..., 0], rays[..., 1], rays[..., 2]
        across = np.hypot(x, y)
        angle = np.arctan2(across, z)
        seen = np.where(angle <= self.max_angle, self.focal_length * self._bent(angle), _OUTSIDE)
        scale = seen / np.maximum(across, 1e-12)
        return np.stack([self.centre.x + x * scale / aspect, self.centre.y + y * scale], -1)

    def unproject(self, positions: Array, aspect: float) -> Array:
        """Return the rays of the camera, of length 1, that are seen at positions; NaN if there is none."""
        x = (positions[..., 0] - self.centre.x) * aspect
        y = positions[..., 1] - self.centre.y
        from_centre = np.hypot(x, y)
        bent = from_centre / self.focal_length
        angles = np.linspace(0, self.max_angle, _STEPS)
        angle = np.interp(bent, self._bent(angles), angles, right=_OUTSIDE)
        for _ in range(_NEWTON_STEPS):
            angle = angle - (self._bent(angle) - bent) / np.maximum(self._slope(angle), 1e-9)
        across = np.sin(angle) / np.maximum(from_centre, 1e-12)
        return np.stack([x * across, y * across, np.cos(angle)], -1)

    def to_camera(self, rays: Array) -> Array:
        """Return rays of the street in the axes of the camera."""
        tilt = math.radians(self.axis_tilt_deg)
        right, up, ahead = rays[..., 0], rays[..., 1], rays[..., 2]
        down = math.sin(tilt) * ahead - math.cos(tilt) * up
        return np.stack([right, down, math.cos(tilt) * ahead + math.sin(tilt) * up], -1)

    def _bent(self, angle: Array) -> Array:
        k1, k2, k3, k4 = self.k
        square = angle * angle
        return angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))

    def _slope(self, angle: Array) -> Array:
        k1, k2, k3, k4 = self.k
        square = angle * angle
        return 1 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4)))


def view_rays(view: ViewOptions, x: Array, y: Array) -> Array:
    """Return the rays of the street at positions in 0..1 of a view.

    A panorama is a Mercator one, whose scale is the same in all directions at each place, so that road users keep their shape.
    """
    pan, tilt = math.radians(view.pan_deg), math.radians(view.tilt_deg)
    half_height = view.height_px / view.width_px / 2
    if view.projection == "panorama":
        width = math.radians(view.field_of_view_deg)
        pans = pan + (x - 0.5) * width
        tilts = np.arctan(np.sinh(math.asinh(math.tan(tilt)) - (y - 0.5) * 2 * half_height * width))
        level = np.cos(tilts)
        return np.stack([level * np.sin(pans), np.sin(tilts), level * np.cos(pans)], -1)
    half_width = math.tan(math.radians(view.field_of_view_deg) / 2)
    right = (2 * x - 1) * half_width
    up = -(2 * y - 1) * 2 * half_height * half_width
    level = math.cos(tilt) - up * math.sin(tilt)
    return np.stack(
        [
            level * math.sin(pan) + right * math.cos(pan),
            math.sin(tilt) + up * math.cos(tilt),
            level * math.cos(pan) - right * math.sin(pan),
        ],
        -1,
    )
