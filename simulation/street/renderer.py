"""Renderer of the street: road users drawn with OpenCV onto a background that is drawn once.

Deterministic: the same seed, frame number and conditions give the same bytes.
"""

import random
from collections.abc import Callable
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from drivers.media import Plane
from simulation.street.fixed_view import CameraProjection, FixedView
from simulation.street.road_users import draw_car_lamps, draw_road_user, fill_polygon
from simulation.street.world import (
    CROSSING_Z_M,
    ROAD_HALF_M,
    Colour,
    road_users_at,
)

Image = npt.NDArray[np.uint8]

_FACADE_M = 9.6
_NIGHT_GAIN = 0.3
_NOISE_TILES = 3


class SceneConditions(msgspec.Struct, frozen=True, kw_only=True):
    """Darkness, rain from 0 to 1, and sensor noise as a standard deviation of luma."""

    night: bool
    rain: float
    noise: float


class CameraEffects:
    """The effects of lens blur, darkness, rain and sensor noise on a picture."""

    def __init__(
        self,
        view: CameraProjection,
        conditions: SceneConditions,
        seed: int,
        rng: np.random.Generator,
    ) -> None:
        self._view = view
        self._conditions = conditions
        self._seed = seed
        shape = (view.height_px, view.width_px)
        self._noise = [
            (rng.standard_normal(shape) * conditions.noise).round().astype(np.int16)
            for _ in range(_NOISE_TILES if conditions.noise > 0 else 0)
        ]

    def apply(self, image: Image, frame: int, draw_lights: Callable[[Image], None]) -> Image:
        """Return the picture with the effects; `frame` varies noise and rain.

        At night `draw_lights` draws the lamps onto the darkened picture.
        """
        image = _as_uint8(cv2.GaussianBlur(image, (3, 3), 0))
        if self._conditions.night:
            image = _as_uint8(cv2.convertScaleAbs(image, alpha=_NIGHT_GAIN))
            draw_lights(image)
        if self._conditions.rain > 0:
            image = self._add_rain(image, frame)
        if self._conditions.noise > 0:
            # A tile for each frame, turned by a step that shares no factor with the width.
            noise = np.roll(self._noise[frame % _NOISE_TILES], (frame * 37, frame * 101), (0, 1))
            image = _as_uint8(cv2.add(image, cv2.merge([noise] * 3), dtype=cv2.CV_8U))
        return image

    def _add_rain(self, image: Image, frame: int) -> Image:
        """Add streaks and reduce the contrast."""
        rain = self._conditions.rain
        grey = np.full_like(image, 60 if self._conditions.night else 150)
        image = _as_uint8(cv2.addWeighted(image, 1 - 0.35 * rain, grey, 0.35 * rain, 0))
        rng = random.Random(self._seed * 1_000_003 + frame)  # noqa: S311 - rain, not a secret
        width, height = self._view.width_px, self._view.height_px
        length = max(3, height // 30)
        for _ in range(int(500 * rain)):
            x, y = rng.randrange(width), rng.randrange(height)
            shade = rng.randrange(90, 200) // (2 if self._conditions.night else 1)
            cv2.line(image, (x, y), (x + length // 5, y + length), (shade,) * 3, 1, cv2.LINE_AA)
        return image


class StreetRenderer:
    """Renderer of the street for a fixed camera."""

    def __init__(self, view: FixedView, conditions: SceneConditions, seed: int) -> None:
        self._view = view
        self._conditions = conditions
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._background = self._render_background()
        self._effects = CameraEffects(view, conditions, seed, self._rng)

    def render(self, t_s: float, frame: int) -> Image:
        """Return the street at `t_s` seconds, H x W x 3, BGR; `frame` varies noise and rain."""
        image = self._background.copy()
        road_users = road_users_at(self._seed, t_s)
        for road_user in road_users:
            draw_road_user(image, self._view, road_user)

        def light(dark: Image) -> None:
            for road_user in road_users:
                draw_car_lamps(dark, self._view, road_user)

        return self._effects.apply(image, frame, light)

    def _render_background(self) -> Image:
        view = self._view
        image = np.zeros((view.height_px, view.width_px, 3), np.uint8)
        horizon = int(view.pixel(0, 0, 4000.0)[1])
        for row in range(view.height_px):
            fraction = min(1.0, row / max(1, horizon))
            image[row] = (235 - 15 * fraction, 205 + 18 * fraction, 180 + 40 * fraction)
        end = 400.0
        self._draw_ground(image, -60, 60, 0.5, end, (98, 112, 108))
        self._draw_ground(image, -_FACADE_M, _FACADE_M, 0.5, end, (150, 152, 154))
        self._draw_ground(image, -ROAD_HALF_M - 0.25, ROAD_HALF_M + 0.25, 0.5, end, (176, 178, 180))
        self._draw_ground(image, -ROAD_HALF_M, ROAD_HALF_M, 0.5, end, (88, 88, 90))
        for z_m in np.arange(1.0, 130.0, 6.0):
            if not CROSSING_Z_M[0] - 3 < z_m < CROSSING_Z_M[1] + 1:
                self._draw_ground(image, -0.08, 0.08, z_m, z_m + 3.0, (215, 215, 215))
        for x_m in np.arange(-ROAD_HALF_M + 0.4, ROAD_HALF_M - 0.4, 1.0):
            self._draw_ground(image, x_m, x_m + 0.5, *CROSSING_Z_M, (222, 222, 222))
        self._draw_buildings(image)
        self._add_grain(image)
        return image

    def _draw_buildings(self, image: Image) -> None:
        rng = random.Random(self._seed)  # noqa: S311 - a street, not a secret
        colours = ((120, 140, 165), (150, 165, 178), (100, 115, 140), (165, 172, 176))
        fill_polygon(
            image,
            self._view,
            [(-30, 0, 160), (30, 0, 160), (30, 16, 160), (-30, 16, 160)],
            (140, 150, 158),
        )
        for side in (-1, 1):
            z_m = 150.0
            while z_m > 0:
                depth_m = rng.uniform(9, 15)
                self._draw_house(
                    image, side, max(1.2, z_m - depth_m), z_m, rng, rng.choice(colours)
                )
                z_m -= depth_m

    def _draw_house(
        self,
        image: Image,
        side: int,
        near_m: float,
        far_m: float,
        rng: random.Random,
        colour: Colour,
    ) -> None:
        x_m = side * _FACADE_M
        height_m = rng.uniform(8, 13)

        def wall(z0: float, z1: float, y0: float, y1: float, shade: Colour) -> None:
            fill_polygon(
                image,
                self._view,
                [(x_m, y0, z0), (x_m, y0, z1), (x_m, y1, z1), (x_m, y1, z0)],
                shade,
            )

        if far_m <= near_m:
            return
        wall(near_m, far_m, 0, height_m, colour)
        wall(near_m, far_m, 0, 0.6, tuple(int(c * 0.7) for c in colour))  # type: ignore[arg-type]
        for y_m in np.arange(1.0, height_m - 1.5, 3.0):
            for z_m in np.arange(near_m + 1.0, far_m - 1.4, 2.6):
                lit = self._conditions.night and rng.random() < 0.3  # noqa: PLR2004 - a third is at home
                shade: Colour = (140, 220, 250) if lit else (92, 84, 76)
                wall(z_m, z_m + 1.2, y_m, y_m + 1.6, shade)

    def _add_grain(self, image: Image) -> None:
        """Add a little static noise, fine and coarse: the texture of asphalt and plaster."""
        height, width = image.shape[:2]
        fine = self._rng.standard_normal((height, width)) * 3.0
        coarse = cv2.resize(
            self._rng.standard_normal((max(2, height // 24), max(2, width // 24))) * 4.0,
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        grained = image.astype(np.float32) + (fine + coarse)[..., None]
        image[:] = np.clip(grained, 0, 255).astype(np.uint8)

    def _draw_ground(
        self, image: Image, x0: float, x1: float, z0: float, z1: float, colour: Colour
    ) -> None:
        fill_polygon(
            image, self._view, [(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)], colour
        )


def bgr_to_planes(image: Image) -> tuple[Plane, Plane, Plane]:
    """Convert a picture with even sides to read-only 4:2:0 planes."""
    height, width = image.shape[:2]
    flat: Plane = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8).reshape(-1)
    flat.flags.writeable = False
    luma = flat[: width * height].reshape(height, width)
    u, v = flat[width * height :].reshape(2, height // 2, width // 2)
    return luma, u, v


def _as_uint8(image: npt.NDArray[Any]) -> Image:
    """Return the picture as uint8, which OpenCV's type hints do not promise."""
    return np.asarray(image, np.uint8)
