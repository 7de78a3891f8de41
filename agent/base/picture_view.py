"""View by one picture alone: dark, flat, glare, low light, blurred or good. Pure.

Apart from `agent.base.view_condition`, which commands import that need no numpy.
"""

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.picture_light import PictureLight, measure_light
from agent.base.picture_sharpness import MIN_SHARPNESS, measure_sharpness
from agent.base.view_condition import ViewState

MIN_LUMA_STD = 5.0
"""A picture with a smaller standard deviation is flat: a cap, a hand or a bag."""


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
