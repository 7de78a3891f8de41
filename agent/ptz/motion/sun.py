"""Where the sun stands, and the sector that a head keeps out of its picture for it. Pure: UTC comes
in.

The sector goes with the sun and is there while the sun is up. A head may cross it and not be sent
into it; one that rests where the sun comes by stays, as a camera without a head does.

Without a trusted clock there is no sector. What could stand in its place is all that the sun passes
in a year: from east over south to west, from the horizon up, which a wide picture along a street
meets nearly everywhere, so an operator in an emergency could look nowhere. A box is without a clock
for minutes after a boot, or for as long as it has no link, and then no tour is begun by schedule
and the head rests at home. What is left is a person who looks into the sun and sees it.
"""

import math
from datetime import datetime

import astral
import astral.sun
import msgspec

from agent.config.heads import ForbiddenSector, SunConfig
from drivers.angles import wrap_deg

SECTOR_NAME = "sun"
DISC_RADIUS_DEG = 0.27
"""Half of the sun's width: it is above the horizon until its upper edge has set."""
_ZENITH_DEG = 90.0


class SunPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where the sun's centre is, as the head counts."""

    pan_deg: float
    tilt_deg: float


def sun_position(sun: SunConfig, now_utc: datetime) -> SunPosition | None:
    """Where the sun is, None while it is below the horizon.

    By the astral library, its refraction included; right within a tenth of a degree.
    """
    observer = astral.Observer(latitude=sun.latitude_deg, longitude=sun.longitude_deg)
    elevation_deg = astral.sun.elevation(observer, now_utc)
    if elevation_deg < -DISC_RADIUS_DEG:
        return None
    azimuth_deg = astral.sun.azimuth(observer, now_utc)
    return SunPosition(pan_deg=wrap_deg(sun.north_deg + azimuth_deg), tilt_deg=elevation_deg)


def sun_sector(sun: SunConfig, now_utc: datetime | None) -> ForbiddenSector | None:
    """What may not be in the picture now: all that is within the margin of the sun's centre.

    None at night, and where `now_utc` is None because the clock is not trusted.
    """
    center = None if now_utc is None else sun_position(sun, now_utc)
    if center is None:
        return None
    low_deg, high_deg = center.tilt_deg - sun.margin_deg, center.tilt_deg + sun.margin_deg
    pan_range_deg = (-180.0, 180.0)
    if high_deg < _ZENITH_DEG:
        # How far a circle on a sphere reaches to the side; it grows towards the top.
        sin_half_width = math.sin(math.radians(sun.margin_deg)) / math.cos(
            math.radians(center.tilt_deg)
        )
        half_width_deg = math.degrees(math.asin(min(1.0, sin_half_width)))
        pan_range_deg = (
            wrap_deg(center.pan_deg - half_width_deg),
            wrap_deg(center.pan_deg + half_width_deg),
        )
    return ForbiddenSector(
        name=SECTOR_NAME,
        pan_deg=pan_range_deg,
        tilt_deg=(low_deg, min(high_deg, _ZENITH_DEG)),
        may_cross=True,
    )
