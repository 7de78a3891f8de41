"""Fisheye cameras and their views: `[camera.lens]`, and the options of a camera with the driver `view`."""

from typing import Annotated, Literal

import msgspec

from agent.config.heads import PanDeg, TiltDeg
from agent.config.names import Name
from drivers.media import Point

VIEW_DRIVER = "view"
"""The driver of a camera whose pictures are dewarped from those of a fisheye camera."""

Projection = Literal["rectilinear", "fisheye"]
_Coefficient = Annotated[float, msgspec.Meta(ge=-1, le=1)]
_Even = Annotated[int, msgspec.Meta(ge=64, le=4096, multiple_of=2)]
StraightLine = Annotated[tuple[Point, ...], msgspec.Meta(min_length=3, max_length=32)]

MAX_FLAT_DEG = 150.0
MAX_VIEW_PIXELS = 4_000_000
"""A view of so many takes 61 MB, and 436 MB while its maps are made, measured on x86."""
MAX_PANORAMA_TILT_DEG = 75.0


class LensConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[camera.lens]`: the lens of a fisheye camera, by `focal_length`, `field_of_view_deg`, `straight` or both of these.

    The equidistant model of `cv2.fisheye`: a ray at the angle `a` from the axis is seen at
    `focal_length * (a + k[0] a^3 + k[1] a^5 + k[2] a^7 + k[3] a^9)` from `centre`. Lengths are in picture heights.
    `field_of_view_deg` is the angle across a circle of the diameter `circle`. `straight` are lines that are straight in
    the street, each by points in order, on a picture of this `aspect`, its width over its height. `axis_tilt_deg` is the tilt of the lens's axis above the horizon: -90 looks down,
    0 is at a wall.
    """

    axis_tilt_deg: TiltDeg = -90.0
    centre: Point = Point(0.5, 0.5)
    circle: Annotated[float, msgspec.Meta(ge=0.2, le=4)] = 1.0
    field_of_view_deg: Annotated[float, msgspec.Meta(ge=60, le=240)] | None = None
    focal_length: Annotated[float, msgspec.Meta(ge=0.05, le=5)] | None = None
    k: tuple[_Coefficient, _Coefficient, _Coefficient, _Coefficient] = (0.0, 0.0, 0.0, 0.0)
    aspect: Annotated[float, msgspec.Meta(ge=0.5, le=4)] | None = None
    straight: Annotated[tuple[StraightLine, ...], msgspec.Meta(max_length=64)] = ()

    def __post_init__(self) -> None:
        """Raise ValueError unless the lens is stated, and once."""
        by_field = self.field_of_view_deg is not None or bool(self.straight)
        if by_field == (self.focal_length is not None):
            raise ValueError(
                "allowed: focal_length, or field_of_view_deg, straight or both of these"
            )
        if self.straight and any(self.k):
            raise ValueError("straight finds k; allowed: one of them")
        if self.straight and self.aspect is None:
            raise ValueError(
                "straight without aspect; allowed: with the picture's width over its height"
            )


class ViewOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A view of the fisheye camera `camera`. `flat` is the picture of a lens without distortion, `panorama` one around the
    vertical.

    Pan and tilt are those of the picture's middle: pan is positive to the right of the top of a camera's picture that looks
    down, or of the axis, and tilt is above the horizon. `field_of_view_deg` is the angle across the picture's width; its
    height follows from `height_px`.
    """

    camera: Name
    projection: Literal["flat", "panorama"] = "flat"
    pan_deg: PanDeg = 0.0
    tilt_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)] = -30.0
    field_of_view_deg: Annotated[float, msgspec.Meta(ge=10, le=360)] = 90.0
    width_px: _Even = 960
    height_px: _Even = 720

    def __post_init__(self) -> None:
        """Raise ValueError if the projection does not have the field of view or the tilt, or the picture is too large."""
        if self.width_px * self.height_px > MAX_VIEW_PIXELS:
            raise ValueError(
                f"width_px = {self.width_px}: with height_px = {self.height_px}; allowed: {MAX_VIEW_PIXELS:,} pixels in all"
            )
        if self.projection == "flat" and self.field_of_view_deg > MAX_FLAT_DEG:
            raise ValueError(
                f"field_of_view_deg = {self.field_of_view_deg:g}: allowed: up to {MAX_FLAT_DEG:g}, or projection = 'panorama'"
            )
        if self.projection == "panorama" and abs(self.tilt_deg) > MAX_PANORAMA_TILT_DEG:
            limit = f"{MAX_PANORAMA_TILT_DEG:g}"
            raise ValueError(
                f"tilt_deg = {self.tilt_deg:g}: allowed: -{limit} to {limit} with projection = 'panorama'"
            )
