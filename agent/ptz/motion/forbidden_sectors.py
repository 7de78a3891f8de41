"""What may not be in the picture, and whether it is. Pure geometry in degrees.

A picture is a rectangle on a sphere. Here it is a range of pans and one of tilts that holds all of
it, and what lies around it because nobody knows better: so it errs to the side of hiding.
"""

import math
from collections.abc import Sequence

import msgspec

from agent.config.heads import FieldOfView, ForbiddenSector
from drivers.contracts import Pose

FULL_CIRCLE_DEG = 360.0
NADIR_DEG = -90.0
UNKNOWN_POSITION_DEG = 90.0
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


def swept_area(
    pose: Pose, pan_deg: float = 0.0, tilt_deg: float = 0.0, zoom: float = 0.0
) -> SphereArea:
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


def visible_area(area: SphereArea, fov: FieldOfView | None, margin_deg: float) -> SphereArea:
    """What may be in a picture that is taken from these places, when they are wrong by
    `slack_deg`. Without a field of view it is the middle of the picture alone.
    """
    low, high = area.tilt_low_deg - margin_deg, area.tilt_high_deg + margin_deg
    pan_margin_deg = margin_deg
    if fov is not None:
        # Between both ends nobody has measured. Lenses narrow quickly at first, so a straight line
        # is above their curve.
        hfov_deg = fov.wide + (fov.tele - fov.wide) * area.zoom
        half_width = math.tan(math.radians(hfov_deg / 2))
        half_height = half_width / fov.aspect
        pan_margin_deg += max(
            _corner_pan_reach_deg(low, half_width, half_height),
            _corner_pan_reach_deg(high, half_width, half_height),
        )
        low, high = (
            _lowest_tilt_deg(low, half_width, half_height),
            -_lowest_tilt_deg(-high, half_width, half_height),
        )
    width = area.width_deg + 2 * pan_margin_deg
    return SphereArea(
        pan_from_deg=area.pan_from_deg - pan_margin_deg,
        width_deg=min(width, FULL_CIRCLE_DEG),
        tilt_low_deg=max(low, NADIR_DEG),
        tilt_high_deg=min(high, -NADIR_DEG),
        zoom=area.zoom,
    )


def overlaps(area: SphereArea, sector: ForbiddenSector) -> bool:
    """Whether an area and a sector have anything in common."""
    first, last = sector.pan_deg
    sector_width_deg = last - first if last >= first else last - first + FULL_CIRCLE_DEG
    offset_deg = (area.pan_from_deg - first) % FULL_CIRCLE_DEG
    in_pan = offset_deg <= sector_width_deg or offset_deg + area.width_deg >= FULL_CIRCLE_DEG
    low, high = sector.tilt_deg
    return in_pan and area.tilt_low_deg <= high and area.tilt_high_deg >= low


def first_visible_sector(
    area: SphereArea, sectors: Sequence[ForbiddenSector], fov: FieldOfView | None, margin_deg: float
) -> ForbiddenSector | None:
    """The first sector that may be in the picture taken from any of these places, None where none
    may be.
    """
    view = visible_area(area, fov, margin_deg)
    return next((sector for sector in sectors if overlaps(view, sector)), None)


def _corner_pan_reach_deg(tilt_deg: float, half_width: float, half_height: float) -> float:
    """How far in pan the upper corners of a picture reach, whose half width and height are `h` and
    `v` at distance 1.
    """
    tilt = math.radians(min(abs(tilt_deg), 90.0))
    depth = math.cos(tilt) - half_height * math.sin(tilt)
    return math.degrees(math.atan2(half_width, depth)) if depth > 0 else 180.0


def _lowest_tilt_deg(tilt_deg: float, half_width: float, half_height: float) -> float:
    """The lowest tilt in a picture: in the middle of its lower edge, or in its corners."""
    tilt = math.radians(tilt_deg)
    lower_edge_deg = tilt_deg - math.degrees(math.atan(half_height))
    if lower_edge_deg <= NADIR_DEG:
        return NADIR_DEG
    lower_corner = math.sin(tilt) - half_height * math.cos(tilt)
    return min(
        lower_edge_deg,
        math.degrees(
            math.asin(
                lower_corner / math.sqrt(1 + half_width * half_width + half_height * half_height)
            )
        ),
    )
