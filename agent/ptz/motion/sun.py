"""The sun as a forbidden sector: its position, and the area around it. Pure: UTC comes in.

The sector moves with the sun and exists while the sun is up. A head may cross it and is not sent
into it; a head that rests where the sun passes stays, as a camera without a head does.

Without a trusted clock there is no sector. The alternative is everything that the sun passes in a
year: from east over south to west, from the horizon up, which a wide picture along a street meets
nearly everywhere, so an operator in an emergency could look nowhere. A box has no clock for minutes
after a boot, or as long as it has no link; then no tour starts by schedule and the head rests at
home. An operator can still turn it into the sun, and sees that.
"""

import math
from datetime import datetime

import astral
import astral.sun

from agent.config.heads import ForbiddenSector, SunConfig
from agent.ptz.motion.field_of_view import Direction
from drivers.angles import wrap_deg

SECTOR_NAME = "sun"
DISC_RADIUS_DEG = 0.27
"""Half of the sun's width: it is above the horizon until its upper edge has set."""
_ZENITH_DEG = 90.0


def sun_position(sun: SunConfig, now_utc: datetime) -> Direction | None:
    """Return the sun's direction, or None while it is below the horizon.

    By the astral library, refraction included; within a tenth of a degree.
    """
    observer = astral.Observer(latitude=sun.latitude_deg, longitude=sun.longitude_deg)
    elevation_deg = astral.sun.elevation(observer, now_utc)
    if elevation_deg < -DISC_RADIUS_DEG:
        return None
    azimuth_deg = astral.sun.azimuth(observer, now_utc)
    return Direction(pan_deg=wrap_deg(sun.north_deg + azimuth_deg), tilt_deg=elevation_deg)


def sun_sector(sun: SunConfig, now_utc: datetime | None) -> ForbiddenSector | None:
    """Return the sector within the margin of the sun's centre.

    None at night, and if `now_utc` is None because the clock is not trusted.
    """
    center = None if now_utc is None else sun_position(sun, now_utc)
    if center is None:
        return None
    low_deg, high_deg = center.tilt_deg - sun.margin_deg, center.tilt_deg + sun.margin_deg
    pan_range_deg = (-180.0, 180.0)
    if high_deg < _ZENITH_DEG:
        # Half the width of a circle on a sphere, in pan: it grows towards the zenith.
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
