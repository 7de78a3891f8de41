"""Renderer of the avenue for a camera on a pan-tilt head."""

import cv2
import numpy as np
import numpy.typing as npt

from drivers.angles import wrap_deg
from simulation.street.fixed_view import TruthBox
from simulation.street.renderer import CameraEffects, SceneConditions
from simulation.street.road_users import draw_car_lamps, draw_road_user
from simulation.surround import backdrop
from simulation.surround.avenue import road_users_at
from simulation.surround.panned_view import PannedView, truth_boxes, visible_road_users

Image = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

DAY = SceneConditions(night=False, rain=0.0, noise=2.0)
_COARSE_STEP = 8
_STEEP_DEG = 75.0
"""At a steeper tilt, pan changes too fast from pixel to pixel to be interpolated."""


class SurroundRenderer:
    """Renderer of the avenue at a pan, a tilt and a field of view. Called by one thread."""

    def __init__(
        self,
        width_px: int,
        height_px: int,
        conditions: SceneConditions = DAY,
        seed: int = 1,
        px_per_deg: float = 10.0,
    ) -> None:
        """Render the backdrop at `px_per_deg`; 10 take 14 MB and about 2 s."""
        self._width_px, self._height_px = width_px, height_px
        self._conditions = conditions
        self._seed = seed
        self.backdrop = backdrop.render_backdrop(seed, px_per_deg, night=conditions.night)
        level_view = self.panned_view(0.0, 0.0, 60.0)
        self.effects = CameraEffects(level_view, conditions, seed, np.random.default_rng(seed))
        self._static_view: PannedView | None = None
        self._static_image = np.empty((height_px, width_px, 3), np.uint8)

    def render(
        self, pan_deg: float, tilt_deg: float, fov_deg: float, t_s: float, frame: int = 0
    ) -> Image:
        """Return the picture at `t_s` seconds, H x W x 3, BGR; `frame` varies noise and rain.

        `fov_deg` is the picture's width, below 150.
        """
        view = self.panned_view(pan_deg, tilt_deg, fov_deg)
        if view != self._static_view:
            self._static_view, self._static_image = view, self.render_static(view)
        image = self._static_image.copy()
        visible = visible_road_users(road_users_at(self._seed, t_s), view)
        for one in visible:
            draw_road_user(image, one.view, one.road_user)

        def light(dark: Image) -> None:
            for one in visible:
                draw_car_lamps(dark, one.view, one.road_user)

        return self.effects.apply(image, frame, light)

    def truth_boxes(
        self, pan_deg: float, tilt_deg: float, fov_deg: float, t_s: float
    ) -> tuple[TruthBox, ...]:
        """Return the boxes of road users of which at least half is in the picture, the nearest last."""
        view = self.panned_view(pan_deg, tilt_deg, fov_deg)
        return truth_boxes(visible_road_users(road_users_at(self._seed, t_s), view), view)

    def panned_view(self, pan_deg: float, tilt_deg: float, fov_deg: float) -> PannedView:
        """Return the view of a camera that is turned to a pan and a tilt."""
        return PannedView(
            width_px=self._width_px,
            height_px=self._height_px,
            pan_deg=wrap_deg(pan_deg),
            tilt_deg=tilt_deg,
            fov_deg=fov_deg,
        )

    def render_static(self, view: PannedView) -> Image:
        """Return the static part of a view, sampled from the backdrop."""
        half_down = np.degrees(np.arctan(view.height_px / 2 / view.focal_px))
        is_steep = abs(view.tilt_deg) + half_down > _STEEP_DEG
        step = 1 if is_steep else _COARSE_STEP
        height, width = self.backdrop.shape[:2]
        per_deg_x = width / 360.0
        per_deg_y = height / (backdrop.TOP_DEG - backdrop.BOTTOM_DEG)
        pan, tilt = _ray_angles(view, step)
        x = (pan + 180.0) * per_deg_x - 0.5
        y = np.clip((backdrop.TOP_DEG - tilt) * per_deg_y - 0.5, 0, height - 1)
        x, y = (_interpolate(part, view, step) for part in (x, y))
        return np.asarray(
            cv2.remap(self.backdrop, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.uint8
        )


def _ray_angles(view: PannedView, step: int) -> tuple[Map, Map]:
    """Return pan and tilt of every `step`th pixel's ray, with a margin of one step on each side.

    The pan is relative to the picture's middle and not wrapped, so that it has no jump in the picture.
    """
    right, up = (
        ((np.arange(-1, -(-size // step) + 1) + 0.5) * step - size / 2) / view.focal_px
        for size in (view.width_px, view.height_px)
    )
    sin, cos = np.sin(np.radians(view.tilt_deg)), np.cos(np.radians(view.tilt_deg))
    ahead, above = cos + sin * up[:, None], sin - cos * up[:, None]
    pan = view.pan_deg + np.degrees(np.arctan2(right[None, :], ahead))
    tilt = np.degrees(np.arctan2(above, np.hypot(right[None, :], ahead)))
    return pan.astype(np.float32), tilt.astype(np.float32)


def _interpolate(coarse: Map, view: PannedView, step: int) -> Map:
    """Interpolate the values of all pixels from those of every `step`th one."""
    down, across = coarse.shape
    full = np.asarray(cv2.resize(coarse, (across * step, down * step)), np.float32)
    return np.ascontiguousarray(full[step : step + view.height_px, step : step + view.width_px])
