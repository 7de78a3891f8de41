"""View by one picture alone: dark, flat, glare, low light, blurred or good. Pure.

Apart from `agent.base.view_condition`, which commands import that need no numpy.
"""

from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.picture_sharpness import MIN_SHARPNESS, measure_sharpness
from agent.base.view_condition import ViewState

MIN_LUMA_STD = 5.0
"""A picture with a smaller standard deviation is flat: a cap, a hand or a bag."""

LightState = Literal["dark", "low_light", "glare"]

DARK_LUMA = 45
"""Luma below which a pixel shows nothing: an eighth of the range above black. The picture of a capped lens is black, 16
to 17, with the sensor's noise on top. Rejected: 16, below which a capped lens in video range has no pixel.
"""
MIN_LIT_RATIO = 0.01
"""A picture is dark if a smaller part of it is lit. A street at night has lamps, which light more than that."""
LOW_LIGHT_MEAN = 36.0
"""Mean luma below which there is too little light to see road users by. The rendered street in a tenth and in three
twentieths of its daylight, such as a night without lamps, has 27 and 32; lit at night it has 49 to 56, and the real
street of `tfl_625_201709042122` has 95 to 100.
"""
WHITE_LUMA = 230
"""Luma from which a pixel is white: encoders leave some pixels of a white sky below 235."""
MAX_WHITE_RATIO = 0.25
"""Glare: a larger part of the picture is white. The 23 street clips have 0.10 at the most."""


class PictureLight(msgspec.Struct, frozen=True, kw_only=True):
    """The light of a picture: its mean luma, and the parts of it that are dark and white, 0..1.

    `state` is the one definition of dark, low light and glare. Luma is in video range (BT.601, BT.709): black is 16 and
    white 235. A camera that delivers full range has the same luma or one nearer to 0 and 255, so that each threshold
    holds for both.
    """

    mean: float
    dark_share: float
    white_share: float

    @property
    def state(self) -> LightState | None:
        """Return what keeps the picture from showing road users, or None."""
        if 1 - self.dark_share < MIN_LIT_RATIO:
            return "dark"
        if self.white_share > MAX_WHITE_RATIO:
            return "glare"
        return "low_light" if self.mean < LOW_LIGHT_MEAN else None


def measure_light(luma: npt.NDArray[np.uint8] | npt.NDArray[np.float32]) -> PictureLight:
    """Measure the light of a picture whose noise was reduced by scaling it down."""
    return PictureLight(
        mean=round(float(luma.mean()), 1),
        dark_share=round(float((luma < DARK_LUMA).mean()), 4),
        white_share=round(float((luma >= WHITE_LUMA).mean()), 4),
    )


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
