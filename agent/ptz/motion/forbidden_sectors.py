"""What may not be in the picture, and whether it is. Pure geometry in degrees.

A picture is a rectangle on a sphere. Here it is a range of pans and one of tilts that holds all of
it, and what lies around it because nobody knows better: so it errs to the side of hiding.
"""

import math
from collections.abc import Sequence

import msgspec

from agent.config.heads import FieldOfView, Sector
from drivers.contracts import Pose

ROUND_DEG = 360.0
DOWN_DEG = -90.0
NOBODY_KNOWS_DEG = 90.0
"""An error as large as this says nothing of where a head looks."""


class SphereArea(msgspec.Struct, frozen=True, kw_only=True):
    """Places that a head may look at: `pan_deg` to the right of `pan_from_deg` by `width_deg`, 360
    for all round; tilts from low to high. `zoom` is the widest.
    """

    pan_from_deg: float
    width_deg: float
    tilt_low_deg: float
    tilt_high_deg: float
    zoom: float


def reach(pose: Pose, pan_deg: float = 0.0, tilt_deg: float = 0.0, zoom: float = 0.0) -> SphereArea:
    """The places from a pose on to `pan_deg` further to the right (negative: left) and `tilt_deg`
    further up, by any way that never turns back.
    """
    return SphereArea(
        pan_from_deg=pose.pan_deg + min(pan_deg, 0.0),
        width_deg=abs(pan_deg),
        tilt_low_deg=pose.tilt_deg + min(tilt_deg, 0.0),
        tilt_high_deg=pose.tilt_deg + max(tilt_deg, 0.0),
        zoom=min(max(pose.zoom + min(zoom, 0.0), 0.0), 1.0),
    )


def seen(area: SphereArea, fov: FieldOfView | None, slack_deg: float) -> SphereArea:
    """What may be in a picture that is taken from these places, when they are wrong by
    `slack_deg`. Without a field of view it is the middle of the picture alone.
    """
    low, high = area.tilt_low_deg - slack_deg, area.tilt_high_deg + slack_deg
    beside = slack_deg
    if fov is not None:
        # Between both ends nobody has measured. Lenses narrow quickly at first, so a straight line
        # is above their curve.
        width_deg = fov.wide + (fov.tele - fov.wide) * area.zoom
        h = math.tan(math.radians(width_deg / 2))
        v = h / fov.aspect
        beside += max(_beside(low, h, v), _beside(high, h, v))
        low, high = _lowest(low, h, v), -_lowest(-high, h, v)
    width = area.width_deg + 2 * beside
    return SphereArea(
        pan_from_deg=area.pan_from_deg - beside,
        width_deg=min(width, ROUND_DEG),
        tilt_low_deg=max(low, DOWN_DEG),
        tilt_high_deg=min(high, -DOWN_DEG),
        zoom=area.zoom,
    )


def meets(area: SphereArea, sector: Sector) -> bool:
    """Whether an area and a sector have anything in common."""
    first, last = sector.pan_deg
    width = last - first if last >= first else last - first + ROUND_DEG
    begins = (area.pan_from_deg - first) % ROUND_DEG
    in_pan = begins <= width or begins + area.width_deg >= ROUND_DEG
    low, high = sector.tilt_deg
    return in_pan and area.tilt_low_deg <= high and area.tilt_high_deg >= low


def in_picture(
    area: SphereArea, sectors: Sequence[Sector], fov: FieldOfView | None, slack_deg: float
) -> Sector | None:
    """The first sector that may be in the picture taken from any of these places, None where none
    may be.
    """
    picture = seen(area, fov, slack_deg)
    return next((sector for sector in sectors if meets(picture, sector)), None)


def _beside(tilt_deg: float, h: float, v: float) -> float:
    """How far in pan the upper corners of a picture reach, whose half width and height are `h` and
    `v` at distance 1.
    """
    tilt = math.radians(min(abs(tilt_deg), 90.0))
    ahead = math.cos(tilt) - v * math.sin(tilt)
    return math.degrees(math.atan2(h, ahead)) if ahead > 0 else 180.0


def _lowest(tilt_deg: float, h: float, v: float) -> float:
    """The lowest tilt in a picture: in the middle of its lower edge, or in its corners."""
    tilt = math.radians(tilt_deg)
    middle = tilt_deg - math.degrees(math.atan(v))
    if middle <= DOWN_DEG:
        return DOWN_DEG
    below = math.sin(tilt) - v * math.cos(tilt)
    return min(middle, math.degrees(math.asin(below / math.sqrt(1 + h * h + v * v))))
