"""Forbidden sectors: what may be in the picture, and whether a sector is. Pure, in degrees.

A picture is a rectangle on a sphere. Here it is a range of pans and one of tilts that contains all
of it, and the parts around it whose position is not known: so it errs on the side of hiding.
"""

import math
from collections.abc import Sequence

import msgspec

from agent.base.message import Message
from agent.config.heads import FieldOfView, ForbiddenSector
from drivers.angles import FULL_TURN_DEG
from drivers.contracts import FRACTION, Pose

NADIR_DEG = -90.0
UNKNOWN_POSITION_DEG = 90.0
"""With an error as large as this the position of a head is unknown."""


class SphereArea(msgspec.Struct, frozen=True, kw_only=True):
    """Directions that a head may look in: `width_deg` of pan to the right of `pan_from_deg`, and
    tilts from low to high. The width is 360 all round. `zoom` is the widest.
    """

    pan_from_deg: float
    width_deg: float
    tilt_low_deg: float
    tilt_high_deg: float
    zoom: float


def blocked_text(sector: ForbiddenSector) -> Message:
    """Return the reason for a motion that a sector forbids."""
    return Message("sector {name!r} is in the way", name=sector.name)


def swept_area(
    pose: Pose, pan_deg: float = 0.0, tilt_deg: float = 0.0, zoom: float = 0.0
) -> SphereArea:
    """Return the area from a pose to one `pan_deg` further right and `tilt_deg` further up.

    It holds for every path between the two that never turns back. Negative is left and down.
    """
    return SphereArea(
        pan_from_deg=pose.pan_deg + min(pan_deg, 0.0),
        width_deg=abs(pan_deg),
        tilt_low_deg=pose.tilt_deg + min(tilt_deg, 0.0),
        tilt_high_deg=pose.tilt_deg + max(tilt_deg, 0.0),
        zoom=FRACTION.clamp(pose.zoom + min(zoom, 0.0)),
    )


def visible_area(area: SphereArea, fov: FieldOfView | None, margin_deg: float) -> SphereArea:
    """Return what may be in a picture taken from an area that is known within `margin_deg`.

    Without a field of view it is the middle of the picture alone.
    """
    low, high = area.tilt_low_deg - margin_deg, area.tilt_high_deg + margin_deg
    pan_margin_deg = margin_deg
    if fov is not None:
        # The width between the two ends of the zoom is not measured. Lenses narrow quickly at
        # first, so a straight line is above their curve.
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
        width_deg=min(width, FULL_TURN_DEG),
        tilt_low_deg=max(low, NADIR_DEG),
        tilt_high_deg=min(high, -NADIR_DEG),
        zoom=area.zoom,
    )


def overlaps(area: SphereArea, sector: ForbiddenSector) -> bool:
    """Return whether an area and a sector have a direction in common."""
    first, last = sector.pan_deg
    sector_width_deg = last - first if last >= first else last - first + FULL_TURN_DEG
    offset_deg = (area.pan_from_deg - first) % FULL_TURN_DEG
    in_pan = offset_deg <= sector_width_deg or offset_deg + area.width_deg >= FULL_TURN_DEG
    low, high = sector.tilt_deg
    return in_pan and area.tilt_low_deg <= high and area.tilt_high_deg >= low


def first_visible_sector(
    area: SphereArea, sectors: Sequence[ForbiddenSector], fov: FieldOfView | None, margin_deg: float
) -> ForbiddenSector | None:
    """Return the first sector that may be in a picture taken from the area, or None."""
    view = visible_area(area, fov, margin_deg)
    return next((sector for sector in sectors if overlaps(view, sector)), None)


def _corner_pan_reach_deg(tilt_deg: float, half_width: float, half_height: float) -> float:
    """Return how far in pan the upper corners of a picture reach.

    Its half width and half height are given at distance 1.
    """
    tilt = math.radians(min(abs(tilt_deg), 90.0))
    depth = math.cos(tilt) - half_height * math.sin(tilt)
    return math.degrees(math.atan2(half_width, depth)) if depth > 0 else 180.0


def _lowest_tilt_deg(tilt_deg: float, half_width: float, half_height: float) -> float:
    """Return the lowest tilt in a picture: in the middle of its lower edge, or in its corners."""
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
