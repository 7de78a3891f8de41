"""The avenue as a turning camera sees it: from a pole at the kerb, any way round."""

import math
from collections.abc import Sequence

import msgspec

from drivers.street.view import TruthBox, boxes_of, extent
from drivers.street.world import Mover

POLE_X_M = 6.0
"""Across the street, just behind the right kerb."""
POLE_HEIGHT_M = 5.5
NEAREST_M = 0.3
"""Nothing nearer than this, along the line of sight, is in a picture narrower than 150 degrees."""

Extent = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels, not clipped."""


class TurnedView(msgspec.Struct, frozen=True, kw_only=True):
    """A pinhole camera on the pole. Pan 0 looks along the street and is positive to the right, tilt
    is above the horizon; `fov_deg` is the picture's width.
    """

    width_px: int
    height_px: int
    pan_deg: float
    tilt_deg: float
    fov_deg: float

    @property
    def camera_x_m(self) -> float:
        """Where the camera stands across the street."""
        return POLE_X_M

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return self.width_px / 2 / math.tan(math.radians(self.fov_deg / 2))

    def ahead_m(self, x_m: float, y_m: float, z_m: float) -> float:
        """How far away along the line of sight a point is; negative behind the camera."""
        pan, tilt = math.radians(self.pan_deg), math.radians(self.tilt_deg)
        level_m = (x_m - POLE_X_M) * math.sin(pan) + z_m * math.cos(pan)
        return level_m * math.cos(tilt) + (y_m - POLE_HEIGHT_M) * math.sin(tilt)

    def pixel(self, x_m: float, y_m: float, z_m: float) -> tuple[float, float]:
        """Where a point is seen. Invariant: it lies in front of the camera."""
        pan, tilt = math.radians(self.pan_deg), math.radians(self.tilt_deg)
        right_m = (x_m - POLE_X_M) * math.cos(pan) - z_m * math.sin(pan)
        level_m = (x_m - POLE_X_M) * math.sin(pan) + z_m * math.cos(pan)
        above_m = y_m - POLE_HEIGHT_M
        ahead_m = max(NEAREST_M, level_m * math.cos(tilt) + above_m * math.sin(tilt))
        up_m = above_m * math.cos(tilt) - level_m * math.sin(tilt)
        scale = self.focal_px / ahead_m
        return self.width_px / 2 + right_m * scale, self.height_px / 2 - up_m * scale

    def scale_px(self, x_m: float, z_m: float) -> float:
        """Pixels a metre at a place on the ground."""
        return self.focal_px / max(NEAREST_M, self.ahead_m(x_m, 0.0, z_m))


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A road user, turned together with the view about the pole so that he is on the forward half
    of the street, and where he is in the picture.
    """

    mover: Mover
    view: TurnedView
    extent: Extent


def seen(movers: Sequence[Mover], view: TurnedView) -> list[Seen]:
    """Those of whom anything is in the picture, the farthest first."""
    back = msgspec.structs.replace(view, pan_deg=view.pan_deg - 180.0)
    found = []
    for mover in movers:
        here, looks = (mover, view) if mover.z_m >= 0 else (_half_turned(mover), back)
        half_x_m, half_z_m = here.width_m / 2, here.length_m / 2
        corners = [
            (here.x_m + x, y, here.z_m + z)
            for x in (-half_x_m, half_x_m)
            for y in (0.0, here.height_m)
            for z in (-half_z_m, half_z_m)
        ]
        if min(looks.ahead_m(*corner) for corner in corners) < NEAREST_M:
            continue
        place = extent(here, looks) if here.label == "car" else _flat(here, looks)
        left, top, right, bottom = place
        if right > 0 and bottom > 0 and left < view.width_px and top < view.height_px:
            found.append(Seen(mover=here, view=looks, extent=place))
    return sorted(found, key=lambda one: -_away_m(one.mover))


def truth_of(found: Sequence[Seen], view: TurnedView) -> tuple[TruthBox, ...]:
    """The boxes of those of whom at least half is in the picture, the nearest last."""
    return boxes_of(((one.mover, one.extent) for one in found), view)


def _flat(person: Mover, view: TurnedView) -> Extent:
    """A person is drawn flat, facing the camera."""
    feet_x, feet_y = view.pixel(person.x_m, 0.0, person.z_m)
    top_y = view.pixel(person.x_m, person.height_m, person.z_m)[1]
    half_px = person.width_m / 2 * view.scale_px(person.x_m, person.z_m)
    return feet_x - half_px, top_y, feet_x + half_px, feet_y


def _half_turned(mover: Mover) -> Mover:
    return msgspec.structs.replace(
        mover, x_m=2 * POLE_X_M - mover.x_m, z_m=-mover.z_m, heading=-mover.heading
    )


def _away_m(mover: Mover) -> float:
    return math.hypot(mover.x_m - POLE_X_M, mover.z_m)
