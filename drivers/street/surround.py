"""The avenue all around, as a camera on a pan-tilt head sees it: a street for a demo with a head."""

import cv2
import numpy as np
import numpy.typing as npt

from drivers.angles import wrap_deg
from drivers.street import backdrop
from drivers.street.avenue import movers
from drivers.street.panned_view import TurnedView, seen, truth_of
from drivers.street.picture import Look, Weather
from drivers.street.road_users import draw_lamps, draw_mover
from drivers.street.view import TruthBox

Image = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

DAY = Look(night=False, rain=0.0, noise=2.0)
_COARSER = 8
_STEEP_DEG = 75.0
"""Nearer to straight down or up, pan turns too quickly from pixel to pixel to be interpolated."""


class Around:
    """Paints the avenue in BGR as seen at a pan, a tilt and a width of the picture. One thread."""

    def __init__(
        self,
        width_px: int,
        height_px: int,
        look: Look = DAY,
        seed: int = 1,
        px_per_deg: float = 10.0,
    ) -> None:
        """`px_per_deg` is the fineness of what stands still; 10 take 14 MB and some two seconds."""
        self._width_px, self._height_px = width_px, height_px
        self._look = look
        self._seed = seed
        self._long = backdrop.paint(seed, px_per_deg, night=look.night)
        level = self._view(0.0, 0.0, 60.0)
        self._weather = Weather(level, look, seed, np.random.default_rng(seed))
        self._still_of: TurnedView | None = None
        self._still = np.empty((height_px, width_px, 3), np.uint8)

    def paint(
        self, pan_deg: float, tilt_deg: float, fov_deg: float, t_s: float, frame: int = 0
    ) -> Image:
        """What the camera sees at `t_s` seconds; `frame` varies noise and rain. H x W x 3, BGR.

        `fov_deg` is the picture's width, below 150.
        """
        view = self._view(pan_deg, tilt_deg, fov_deg)
        if view != self._still_of:
            self._still_of, self._still = view, self._looked_at(view)
        image = self._still.copy()
        present = seen(movers(self._seed, t_s), view)
        for one in present:
            draw_mover(image, one.view, one.mover)

        def light(dark: Image) -> None:
            for one in present:
                draw_lamps(dark, one.view, one.mover)

        return self._weather.over(image, frame, light)

    def truth(
        self, pan_deg: float, tilt_deg: float, fov_deg: float, t_s: float
    ) -> tuple[TruthBox, ...]:
        """All road users of which at least half is in the picture, the nearest last."""
        view = self._view(pan_deg, tilt_deg, fov_deg)
        return truth_of(seen(movers(self._seed, t_s), view), view)

    def _view(self, pan_deg: float, tilt_deg: float, fov_deg: float) -> TurnedView:
        return TurnedView(
            width_px=self._width_px,
            height_px=self._height_px,
            pan_deg=wrap_deg(pan_deg),
            tilt_deg=tilt_deg,
            fov_deg=fov_deg,
        )

    def _looked_at(self, view: TurnedView) -> Image:
        """What stands still, out of the long picture."""
        half_down = np.degrees(np.arctan(view.height_px / 2 / view.focal_px))
        steep = abs(view.tilt_deg) + half_down > _STEEP_DEG
        step = 1 if steep else _COARSER
        height, width = self._long.shape[:2]
        per_deg_x = width / 360.0
        per_deg_y = height / (backdrop.TOP_DEG - backdrop.BOTTOM_DEG)
        pan, tilt = _angles(view, step)
        x = (pan + 180.0) * per_deg_x - 0.5
        y = np.clip((backdrop.TOP_DEG - tilt) * per_deg_y - 0.5, 0, height - 1)
        x, y = (_full(part, view, step) for part in (x, y))
        return np.asarray(
            cv2.remap(self._long, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.uint8
        )


def _angles(view: TurnedView, step: int) -> tuple[Map, Map]:
    """Pan and tilt of the rays of every `step`th pixel, from one before the picture to one behind.

    The pan counts on from the picture's middle, so that it makes no jump within the picture.
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


def _full(coarse: Map, view: TurnedView, step: int) -> Map:
    """The values of all pixels, between those of every `step`th one."""
    down, across = coarse.shape
    fine = np.asarray(cv2.resize(coarse, (across * step, down * step)), np.float32)
    return np.ascontiguousarray(fine[step : step + view.height_px, step : step + view.width_px])
