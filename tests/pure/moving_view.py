"""A rendered street as the motion gate sees it, from a camera that can be turned."""

import functools

import cv2
import numpy as np

from agent.detection.image import downscale_luma
from drivers.media import Plane
from simulation.street.fixed_view import FixedView
from simulation.street.renderer import SceneConditions, StreetRenderer, bgr_to_planes

DAY = SceneConditions(night=False, rain=0.0, noise=2.0)
NIGHT = SceneConditions(night=True, rain=0.0, noise=4.0)
RAIN = SceneConditions(night=False, rain=0.6, noise=3.0)
GATE_WIDTH_PX = 320


@functools.cache
def street(second: int, conditions: SceneConditions = DAY) -> Plane:
    """The gate's picture of the street at a second."""
    painter = StreetRenderer(FixedView(640, 360), conditions, 1)
    luma, _, _ = bgr_to_planes(painter.render(float(second), second))
    return downscale_luma(luma, GATE_WIDTH_PX)


def turned(picture: Plane, share: float) -> Plane:
    """The picture of a camera that was turned to the left by a share of the picture's width."""
    step_px = round(picture.shape[1] * share)
    wide = cv2.copyMakeBorder(picture, 0, 0, step_px, 0, cv2.BORDER_REFLECT)
    return np.ascontiguousarray(wide[:, : picture.shape[1]])
