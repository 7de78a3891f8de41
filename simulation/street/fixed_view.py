"""The view of a fixed camera on a pole above the road, and the ground truth in its picture."""

import math
from collections.abc import Iterable
from typing import Protocol

import msgspec

from simulation.street.world import Activity, RoadUser, RoadUserLabel, road_users_at

CAMERA_X_M = 0.6
CAMERA_HEIGHT_M = 5.2
PITCH_RAD = math.radians(12.0)
FOCAL_PER_WIDTH = 0.82
_COS_PITCH, _SIN_PITCH = math.cos(PITCH_RAD), math.sin(PITCH_RAD)


class TruthBox(msgspec.Struct, frozen=True, kw_only=True):
    """The bounding box of a road user: the top left corner, width and height, in 0..1.

    `hidden` is the largest share of it that the bounding box of one nearer road user covers.
    """

    id: int
    label: RoadUserLabel
    activity: Activity
    x: float
    y: float
    w: float
    h: float
    hidden: float


class CameraProjection(Protocol):
    """The projection of a camera in the street: metres to pixels."""

    @property
    def width_px(self) -> int:
        """The picture's width."""
        ...

    @property
    def height_px(self) -> int:
        """The picture's height."""
        ...

    @property
    def camera_x_m(self) -> float:
        """The camera's position across the street; along the street it is 0."""
        ...

    def pixel(self, x_m: float, y_m: float, z_m: float) -> tuple[float, float]:
        """Return the pixel of a point. Invariant: the point is in front of the camera."""
        ...

    def scale_px(self, x_m: float, z_m: float) -> float:
        """Return pixels per metre at a point on the ground."""
        ...


class FixedView(msgspec.Struct, frozen=True):
    """A pinhole camera that looks along the street: metres to pixels."""

    width_px: int
    height_px: int

    @property
    def camera_x_m(self) -> float:
        """The camera's position across the street."""
        return CAMERA_X_M

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return FOCAL_PER_WIDTH * self.width_px

    def depth_m(self, y_m: float, z_m: float) -> float:
        """Return a point's distance along the line of sight."""
        return z_m * _COS_PITCH + (CAMERA_HEIGHT_M - y_m) * _SIN_PITCH

    def pixel(self, x_m: float, y_m: float, z_m: float) -> tuple[float, float]:
        """Return the pixel of a point. Invariant: the point is in front of the camera."""
        depth_m = max(0.2, self.depth_m(y_m, z_m))
        below_m = (CAMERA_HEIGHT_M - y_m) * _COS_PITCH - z_m * _SIN_PITCH
        scale = self.focal_px / depth_m
        return (
            self.width_px / 2 + (x_m - CAMERA_X_M) * scale,
            self.height_px / 2 + below_m * scale,
        )

    def scale_px(self, x_m: float, z_m: float) -> float:
        """Return pixels per metre at ground level, `z_m` away, at any `x_m`."""
        return self.focal_px / max(0.2, self.depth_m(0.0, z_m))


def truth_boxes(seed: int, t_s: float, view: FixedView) -> tuple[TruthBox, ...]:
    """Return the boxes of all road users of which at least half is in the picture, the nearest last."""
    return to_truth_boxes(
        ((road_user, pixel_extent(road_user, view)) for road_user in road_users_at(seed, t_s)), view
    )


def to_truth_boxes(
    extents: Iterable[tuple[RoadUser, tuple[float, float, float, float]]], view: CameraProjection
) -> tuple[TruthBox, ...]:
    """Return the boxes of road users of which at least half is in the picture.

    `extents` has each road user with its extent in pixels, the farthest first.
    """
    boxes: list[TruthBox] = []
    for road_user, (left, top, right, bottom) in extents:
        visible_left, visible_right = max(0.0, left), min(float(view.width_px), right)
        visible_top, visible_bottom = max(0.0, top), min(float(view.height_px), bottom)
        width, height = visible_right - visible_left, visible_bottom - visible_top
        if width <= 0 or height <= 0 or width * height < (right - left) * (bottom - top) / 2:
            continue
        boxes.append(
            TruthBox(
                id=road_user.id,
                label=road_user.label,
                activity=road_user.activity,
                x=visible_left / view.width_px,
                y=visible_top / view.height_px,
                w=width / view.width_px,
                h=height / view.height_px,
                hidden=0.0,
            )
        )
    return tuple(
        msgspec.structs.replace(
            box,
            hidden=max(
                (_covered_fraction(box, nearer) for nearer in boxes[index + 1 :]), default=0.0
            ),
        )
        for index, box in enumerate(boxes)
    )


def pixel_extent(road_user: RoadUser, view: CameraProjection) -> tuple[float, float, float, float]:
    """Return the bounding box of a road user in pixels, not clipped: left, top, right, bottom."""
    half_m = road_user.width_m / 2
    # A person is drawn flat, facing the camera; a car is solid.
    depth_m = road_user.length_m / 2 if road_user.label == "car" else 0.0
    corners = [
        view.pixel(road_user.x_m + x, y, road_user.z_m + z)
        for x in (-half_m, half_m)
        for y in (0.0, road_user.height_m)
        for z in (-depth_m, depth_m)
    ]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def _covered_fraction(box: TruthBox, other: TruthBox) -> float:
    """Return the share of `box` that `other` covers."""
    width = min(box.x + box.w, other.x + other.w) - max(box.x, other.x)
    height = min(box.y + box.h, other.y + other.h) - max(box.y, other.y)
    return max(0.0, width) * max(0.0, height) / (box.w * box.h)
