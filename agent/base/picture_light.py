"""Light of a picture by its luma: dark, low light or glare. The one definition of these words. Pure.

Luma is in video range (BT.601, BT.709): black is 16 and white 235. A camera that delivers full range has the same
luma or one nearer to 0 and 255, so that each threshold holds for both.
"""

from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

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
    """The light of a picture: its mean luma, and the parts of it that are dark and white, 0..1."""

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
