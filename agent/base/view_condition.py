"""Condition of a camera's view: whether its pictures can show road users, and if not, why not. Pure.

`agent.detection.view_monitor` diagnoses it over time. Events, faults, the health report, the console, the page at the
pole and the centre use that diagnosis.
"""

from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.picture_light import PictureLight, measure_light
from agent.base.picture_sharpness import MIN_SHARPNESS, measure_sharpness

ViewState = Literal["good", "dark", "frozen", "blocked", "blurred", "moved", "glare", "low_light"]
"""The state of a view. The first that applies counts, from `dark` on.

good      none of the others
dark      CAM-07: nothing in the picture is lit: a capped lens, or a night without any light
frozen    CAM-07: the same picture comes again and again, to the last bit of noise
blocked   CAM-07: the picture is flat, or the edges of half the view are missing
blurred   CAM-07: edges are soft, absolutely or compared with the learnt view
moved     CAM-07: edges are not where they were in the learnt view
glare     CAM-08: a quarter of the picture is white
low_light CAM-08: too little light to see road users by
"""

MIN_LUMA_STD = 5.0
"""A picture with a smaller standard deviation is flat: a cap, a hand or a bag."""


class ViewCondition(msgspec.Struct, frozen=True, kw_only=True):
    """The condition of a view, since when it lasts, and the measures of the newest picture.

    `sharpness` is 0 to about 0.8, and blurred below 0.57; None if the picture has too few edges or is too small.
    """

    state: ViewState
    since_ns: int
    mean_luma: float
    sharpness: float | None


class PictureView(msgspec.Struct, frozen=True, kw_only=True):
    """The view by one picture alone. `frozen` and `moved` need more than one."""

    state: ViewState
    light: PictureLight
    sharpness: float | None


def judge_picture(luma: npt.NDArray[np.uint8]) -> PictureView:
    """Judge one picture that is about 320 wide."""
    small = _halve(luma)
    light = measure_light(small)
    sharpness = measure_sharpness(luma)
    state: ViewState = "good"
    if light.state == "dark":
        state = "dark"
    elif small.std() < MIN_LUMA_STD:
        state = "blocked"
    elif light.state is not None:
        state = light.state
    elif sharpness is not None and sharpness < MIN_SHARPNESS:
        state = "blurred"
    return PictureView(state=state, light=light, sharpness=sharpness)


def _halve(luma: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the picture in half its width and height, which removes most of the noise; a tiny one as it is."""
    height, width = (size - size % 2 for size in luma.shape)
    if not height or not width:
        return luma.astype(np.float32)
    quads = luma[:height, :width].reshape(height // 2, 2, width // 2, 2)
    return np.asarray(quads.mean(axis=(1, 3), dtype=np.float32), np.float32)
