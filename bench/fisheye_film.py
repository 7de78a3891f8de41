"""Fisheye pictures with truth: a flat picture, or the rendered avenue around a pole, as a fisheye lens shows it.

No street film of a fisheye camera with truth can be had, so flat ones are warped by the inverse of the maps that
dewarp them.
"""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from agent.config.fisheye import ViewOptions
from agent.detection.fisheye_lens import Array, FisheyeLens
from drivers.media import Frame, Plane, Planes
from simulation.street.renderer import SceneConditions
from simulation.surround.surround_renderer import DAY, SurroundRenderer

Maps = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
Image = npt.NDArray[np.uint8]

FACE_FOV_DEG = 100.0
FACES = (*((pan_deg, -20.0) for pan_deg in range(-180, 180, 60)), (0.0, -90.0), (0.0, 40.0))
"""Pan and tilt of the flat views that cover all that a fisheye lens sees of the avenue."""


def street_rays(lens: FisheyeLens, width_px: int, height_px: int) -> Array:
    """Return the ray of the street that each pixel of a fisheye picture sees, NaN outside of the lens."""
    x, y = np.meshgrid(
        (np.arange(width_px) + 0.5) / width_px, (np.arange(height_px) + 0.5) / height_px
    )
    return to_street(lens, lens.unproject(np.stack([x, y], -1), width_px / height_px))


def to_street(lens: FisheyeLens, rays: Array) -> Array:
    """Return rays of the camera in the axes of the street."""
    axes = np.eye(3)
    return np.asarray(rays @ lens.to_camera(axes).T, np.float64)


def view_positions(view: ViewOptions, rays: Array) -> Array:
    """Return the positions in 0..1 of a flat view at which rays of the street are seen, NaN behind it."""
    pan, tilt = math.radians(view.pan_deg), math.radians(view.tilt_deg)
    level = rays[..., 0] * math.sin(pan) + rays[..., 2] * math.cos(pan)
    right = rays[..., 0] * math.cos(pan) - rays[..., 2] * math.sin(pan)
    ahead = level * math.cos(tilt) + rays[..., 1] * math.sin(tilt)
    up = rays[..., 1] * math.cos(tilt) - level * math.sin(tilt)
    scale = 0.5 / (
        np.where(ahead > 1e-6, ahead, np.nan) * math.tan(math.radians(view.field_of_view_deg) / 2)
    )
    return np.stack([0.5 + right * scale, 0.5 - up * scale * view.width_px / view.height_px], -1)


class FisheyeFilm:
    """Warps the frames of a film into the picture of a fisheye lens, as what it sees in each of some flat views."""

    def __init__(
        self, lens: FisheyeLens, views: Sequence[ViewOptions], width_px: int, height_px: int
    ) -> None:
        self._maps = tuple(
            _maps(lens, views, width_px // scale, height_px // scale, scale) for scale in (1, 2)
        )

    def warp(self, frame: Frame, onto: Planes | None = None) -> Planes:
        """Return the planes of the fisheye picture, dark around the film, or with the planes of another one there."""
        luma, chroma = self._maps
        y, u, v = (None, None, None) if onto is None else onto
        return (
            _remap(frame.y, luma, 16, y),
            _remap(frame.u, chroma, 128, u),
            _remap(frame.v, chroma, 128, v),
        )


def render_avenue(
    lens: FisheyeLens,
    width_px: int,
    height_px: int,
    seed: int = 1,
    conditions: SceneConditions = DAY,
) -> Callable[[float, int], Image]:
    """Return a function of seconds and a frame's number that renders the avenue, BGR, as a fisheye lens on its pole sees it."""
    face_px = round(height_px * 0.8)
    renderer = SurroundRenderer(face_px, face_px, conditions, seed)
    rays = street_rays(lens, width_px, height_px)
    views = [
        ViewOptions(
            camera="avenue",
            pan_deg=pan_deg,
            tilt_deg=tilt_deg,
            field_of_view_deg=FACE_FOV_DEG,
            width_px=face_px // 2 * 2,
            height_px=face_px // 2 * 2,
        )
        for pan_deg, tilt_deg in FACES
    ]
    positions = np.stack([view_positions(view, rays) for view in views])
    off_middle = np.nan_to_num(np.abs(positions - 0.5).max(-1), nan=np.inf)
    nearest = off_middle.argmin(0)
    maps = [_pixels(one, face_px, face_px) for one in positions]

    def render(t_s: float, frame: int) -> Image:
        picture = np.zeros((height_px, width_px, 3), np.uint8)
        for index, (pan_deg, tilt_deg) in enumerate(FACES):
            face = renderer.render(pan_deg, tilt_deg, FACE_FOV_DEG, t_s, frame)
            warped = cv2.remap(face, *maps[index], cv2.INTER_LINEAR)
            inside = (nearest == index) & (off_middle.min(0) <= 0.5)
            picture[inside] = warped[inside]
        return picture

    return render


def _maps(
    lens: FisheyeLens, views: Sequence[ViewOptions], width_px: int, height_px: int, scale: int
) -> Maps:
    rays = street_rays(lens, width_px, height_px)
    positions = np.full(rays[..., :2].shape, np.nan)
    for view in views:
        seen = view_positions(view, rays)
        inside = (np.abs(seen - 0.5) <= 0.5).all(-1)
        positions[inside] = seen[inside]
    return _pixels(positions, views[0].width_px // scale, views[0].height_px // scale)


def _pixels(positions: Array, width_px: int, height_px: int) -> Maps:
    pixels = np.nan_to_num(positions * (width_px, height_px) - 0.5, nan=-9.0).clip(-9, 32_000)
    return pixels[..., 0].astype(np.float32), pixels[..., 1].astype(np.float32)


def _remap(plane: Plane, maps: Maps, outside: int, onto: Plane | None) -> Plane:
    if onto is not None:
        target = onto.copy()
        cv2.remap(plane, *maps, cv2.INTER_LINEAR, dst=target, borderMode=cv2.BORDER_TRANSPARENT)
        return target
    return np.asarray(
        cv2.remap(
            plane,
            *maps,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(outside,),
        ),
        np.uint8,
    )
