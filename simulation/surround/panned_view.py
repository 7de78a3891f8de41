"""The view of a pan-tilt camera on a pole at the kerb of the avenue, in any direction."""

import math
from collections.abc import Sequence

import msgspec

from simulation.street.fixed_view import TruthBox, pixel_extent, to_truth_boxes
from simulation.street.world import RoadUser

POLE_X_M = 6.0
"""Across the street, just behind the right kerb."""
POLE_HEIGHT_M = 5.5
MIN_DISTANCE_M = 0.3
"""Along the line of sight; a picture narrower than 150 degrees shows nothing nearer."""

PixelExtent = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels, not clipped."""


class PannedView(msgspec.Struct, frozen=True, kw_only=True):
    """A pinhole camera on the pole.

    Pan 0 is along the street, positive to the right; tilt is above the horizon. `fov_deg` is the
    picture's width.
    """

    width_px: int
    height_px: int
    pan_deg: float
    tilt_deg: float
    fov_deg: float

    @property
    def camera_x_m(self) -> float:
        """The camera's position across the street."""
        return POLE_X_M

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return self.width_px / 2 / math.tan(math.radians(self.fov_deg / 2))

    def depth_m(self, x_m: float, y_m: float, z_m: float) -> float:
        """Return a point's distance along the line of sight; negative behind the camera."""
        pan, tilt = math.radians(self.pan_deg), math.radians(self.tilt_deg)
        level_m = (x_m - POLE_X_M) * math.sin(pan) + z_m * math.cos(pan)
        return level_m * math.cos(tilt) + (y_m - POLE_HEIGHT_M) * math.sin(tilt)

    def pixel(self, x_m: float, y_m: float, z_m: float) -> tuple[float, float]:
        """Return the pixel of a point. Invariant: the point is in front of the camera."""
        pan, tilt = math.radians(self.pan_deg), math.radians(self.tilt_deg)
        right_m = (x_m - POLE_X_M) * math.cos(pan) - z_m * math.sin(pan)
        level_m = (x_m - POLE_X_M) * math.sin(pan) + z_m * math.cos(pan)
        above_m = y_m - POLE_HEIGHT_M
        ahead_m = max(MIN_DISTANCE_M, level_m * math.cos(tilt) + above_m * math.sin(tilt))
        up_m = above_m * math.cos(tilt) - level_m * math.sin(tilt)
        scale = self.focal_px / ahead_m
        return self.width_px / 2 + right_m * scale, self.height_px / 2 - up_m * scale

    def scale_px(self, x_m: float, z_m: float) -> float:
        """Return pixels per metre at a point on the ground."""
        return self.focal_px / max(MIN_DISTANCE_M, self.depth_m(x_m, 0.0, z_m))


class VisibleRoadUser(msgspec.Struct, frozen=True, kw_only=True):
    """A road user in the picture, and its extent.

    A road user behind the pole is mirrored to the forward half of the street, and its view turned by
    180 degrees.
    """

    road_user: RoadUser
    view: PannedView
    extent: PixelExtent


def visible_road_users(road_users: Sequence[RoadUser], view: PannedView) -> list[VisibleRoadUser]:
    """Return the road users that are at least partly in the picture, the farthest first."""
    rear_view = msgspec.structs.replace(view, pan_deg=view.pan_deg - 180.0)
    found = []
    for road_user in road_users:
        shown_user, shown_view = (
            (road_user, view) if road_user.z_m >= 0 else (_mirrored(road_user), rear_view)
        )
        half_x_m, half_z_m = shown_user.width_m / 2, shown_user.length_m / 2
        corners = [
            (shown_user.x_m + x, y, shown_user.z_m + z)
            for x in (-half_x_m, half_x_m)
            for y in (0.0, shown_user.height_m)
            for z in (-half_z_m, half_z_m)
        ]
        if min(shown_view.depth_m(*corner) for corner in corners) < MIN_DISTANCE_M:
            continue
        user_extent = (
            pixel_extent(shown_user, shown_view)
            if shown_user.label == "car"
            else _flat_extent(shown_user, shown_view)
        )
        left, top, right, bottom = user_extent
        if right > 0 and bottom > 0 and left < view.width_px and top < view.height_px:
            found.append(VisibleRoadUser(road_user=shown_user, view=shown_view, extent=user_extent))
    return sorted(found, key=lambda one: -_distance_m(one.road_user))


def truth_boxes(found: Sequence[VisibleRoadUser], view: PannedView) -> tuple[TruthBox, ...]:
    """Return the boxes of road users of which at least half is in the picture, the nearest last."""
    return to_truth_boxes(((one.road_user, one.extent) for one in found), view)


def _flat_extent(person: RoadUser, view: PannedView) -> PixelExtent:
    """Return the extent of a person, which is drawn flat and facing the camera."""
    feet_x, feet_y = view.pixel(person.x_m, 0.0, person.z_m)
    top_y = view.pixel(person.x_m, person.height_m, person.z_m)[1]
    half_px = person.width_m / 2 * view.scale_px(person.x_m, person.z_m)
    return feet_x - half_px, top_y, feet_x + half_px, feet_y


def _mirrored(road_user: RoadUser) -> RoadUser:
    return msgspec.structs.replace(
        road_user, x_m=2 * POLE_X_M - road_user.x_m, z_m=-road_user.z_m, heading=-road_user.heading
    )


def _distance_m(road_user: RoadUser) -> float:
    return math.hypot(road_user.x_m - POLE_X_M, road_user.z_m)
