"""Where the sun stands, and whether a head would look into it. Pure: UTC comes in.

The sun that is in the picture dazzles, and through a long lens it burns the sensor. While the clock
can be trusted, a pose is bad when the sun's centre is in its picture or within the margin beside
it.

Without a trusted clock neither the hour nor the day is known. To forbid nothing would be careless
just after a boot; to keep the whole picture off all that the sun may ever pass would forbid a wide
lens half of the street. So then only what looks straight at it is bad: a pose whose middle is
within the margin of where the sun stands at some hour of some day of the year. A head that looks
down by more than the margin is not touched by that. Such a glare is not certain, and who sees the
picture himself may be let through; a tour may not.
"""

import math
from datetime import datetime

import astral
import astral.sun
import msgspec

from agent.control.field_of_view import Direction, beside_deg, between_deg
from agent.heads_config import FieldOfView, Sun
from drivers.angles import wrap_deg
from drivers.contracts import Pose

TROPIC_DEG = 23.44
"""How far the sun comes north and south of the equator: the tilt of the earth's axis."""
DISC_DEG = 0.27
"""Half of the sun's width: it is above the horizon until its upper edge has set."""
_LOWERED_BY_DEG = 1.0


class Glare(msgspec.Struct, frozen=True, kw_only=True):
    """A pose looks into the sun, in one sentence. Not `certain`: it may, and the clock that would
    tell is not trusted.
    """

    sentence: str
    certain: bool


def direction_of_sun(sun: Sun, now_utc: datetime) -> Direction | None:
    """Where the sun is, as the head counts, None while it is below the horizon.

    By the astral library, whose refraction is included; good to some hundredths of a degree.
    """
    observer = astral.Observer(latitude=sun.latitude_deg, longitude=sun.longitude_deg)
    elevation_deg = astral.sun.elevation(observer, now_utc)
    if elevation_deg < -DISC_DEG:
        return None
    azimuth_deg = astral.sun.azimuth(observer, now_utc)
    return Direction(pan_deg=wrap_deg(sun.north_deg + azimuth_deg), tilt_deg=elevation_deg)


def glare(sun: Sun, fov: FieldOfView | None, pose: Pose, now_utc: datetime | None) -> Glare | None:
    """Whether a pose looks into the sun; None where it does not.

    `now_utc` is None while the clock is not trusted. Without `fov` only the middle of the picture
    is known, and the margin around it.
    """
    middle = Direction(pan_deg=pose.pan_deg, tilt_deg=pose.tilt_deg)
    if now_utc is None:
        if not _ever_near(sun, middle):
            return None
        return Glare(
            sentence="the sun may stand there, and the box does not know the time", certain=False
        )
    there = direction_of_sun(sun, now_utc)
    if there is None:
        return None
    apart_deg = between_deg(middle, there) if fov is None else beside_deg(fov, pose, there)
    if apart_deg >= sun.margin_deg:
        return None
    return Glare(
        sentence=f"the sun stands there, at pan {there.pan_deg:.0f} tilt {there.tilt_deg:.0f}",
        certain=True,
    )


def refuge(
    sun: Sun, fov: FieldOfView | None, pose: Pose, now_utc: datetime | None, *, lowest_deg: float
) -> Pose | None:
    """The same pose, lowered until it does not look into the sun, for a head that rests where the
    sun comes. None where it may stay, and where even `lowest_deg` would not do.
    """
    lowered = pose
    while glare(sun, fov, lowered, now_utc) is not None:
        if lowered.tilt_deg <= lowest_deg:
            return None
        tilt_deg = max(lowest_deg, lowered.tilt_deg - _LOWERED_BY_DEG)
        lowered = msgspec.structs.replace(lowered, tilt_deg=tilt_deg)
    return None if lowered is pose else lowered


def _ever_near(sun: Sun, at: Direction) -> bool:
    """Whether the sun comes within the margin of a direction at some time of the year.

    Over the year it covers the band of declinations between the tropics, as far as it is above the
    horizon; the margin widens the band by as much, for parallels lie evenly.
    """
    if at.tilt_deg < -DISC_DEG - sun.margin_deg:
        return False
    azimuth, tilt, latitude = (
        math.radians(angle) for angle in (at.pan_deg - sun.north_deg, at.tilt_deg, sun.latitude_deg)
    )
    sin = math.sin(latitude) * math.sin(tilt) + math.cos(latitude) * math.cos(tilt) * math.cos(
        azimuth
    )
    declination_deg = math.degrees(math.asin(min(1.0, max(-1.0, sin))))
    return abs(declination_deg) < TROPIC_DEG + sun.margin_deg
