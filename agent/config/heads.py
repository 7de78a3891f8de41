"""`[[head]]`: the pan-tilt heads of a box, their tours and their limits."""

from typing import Annotated, Any, Literal

import msgspec

from agent.base.weekly_hours import ALL_DAYS, Weekday
from agent.config.names import Name

Fraction = Annotated[float, msgspec.Meta(gt=0, le=1)]
TimeOfDay = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)", extra={"allowed": "00:00 to 23:59"}
    ),
]

PanDeg = Annotated[float, msgspec.Meta(ge=-180, le=180)]
TiltDeg = Annotated[float, msgspec.Meta(ge=-90, le=90)]


class ForbiddenSector(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[head.forbidden]]`: a sector that may not be in the picture.

    It reaches from the first pan to the right until the second, over the back if the first is the
    larger, and from the lower tilt to the higher. With `may_cross` the head may pass over it, but
    not rest there.
    """

    name: Name
    pan_deg: tuple[PanDeg, PanDeg]
    tilt_deg: tuple[TiltDeg, TiltDeg] = (-90.0, 90.0)
    may_cross: bool = False

    def __post_init__(self) -> None:
        """Reject tilts in the wrong order: the sector would be empty."""
        low, high = self.tilt_deg
        if low > high:
            raise ValueError(f"tilt_deg = [{low:g}, {high:g}]: allowed: the lower one first")


class FieldOfView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[head.fov_deg]`: the width of the camera's picture at both ends of its zoom.

    `aspect` is its width over its height.
    """

    wide: Annotated[float, msgspec.Meta(gt=0, lt=170)]
    tele: Annotated[float, msgspec.Meta(gt=0, lt=170)]
    aspect: Annotated[float, msgspec.Meta(ge=0.5, le=4)] = 16 / 9

    def __post_init__(self) -> None:
        """Reject ends in the wrong order: a sector in the picture would count as outside of it."""
        if self.tele > self.wide:
            raise ValueError(f"tele = {self.tele:g}: allowed: up to wide = {self.wide:g}")


class SunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[head.sun]`: the head's location, so that it does not look into the sun.

    `north_deg` is the pan at which it looks to true north; `margin_deg` is kept around the sun's
    centre, in addition to the half of the picture.
    """

    latitude_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    longitude_deg: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    north_deg: PanDeg = 0.0
    margin_deg: Annotated[float, msgspec.Meta(gt=0, le=45)] = 5.0


class RatedLife(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[head.rated_life]`: the manufacturer's duty rating of the head, if there is one.

    `degrees` are of the axis that moved further, `starts` of both.
    """

    degrees: Annotated[float, msgspec.Meta(gt=0)] | None = None
    starts: Annotated[int, msgspec.Meta(gt=0)] | None = None
    hours: Annotated[float, msgspec.Meta(gt=0)] | None = None


class TourStopConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[head.tour.stop]]`: a preset, the speed on the way there, and the time to dwell."""

    preset: Name
    dwell_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 20.0
    speed: Fraction = 0.5


class TourConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[head.tour]]`: presets one after the other.

    With `begin` and `end`, in `box.time_zone`, it runs by schedule between them on these days, over midnight if `end` is
    the earlier, and for 24 h if both are the same; without them it runs by command.
    """

    name: Name
    stop: Annotated[tuple[TourStopConfig, ...], msgspec.Meta(min_length=1, max_length=64)]
    begin: TimeOfDay | None = None
    end: TimeOfDay | None = None
    days: tuple[Weekday, ...] = ALL_DAYS
    order: Literal["forward", "back_and_forth", "shuffled"] = "forward"


class SweepConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[head.sweep]`: the turn around that becomes a panorama.

    `overlap` is the share of one picture that the next one shows again.
    """

    tilt_deg: TiltDeg = 0.0
    zoom: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    speed: Fraction = 0.5
    overlap: Annotated[float, msgspec.Meta(ge=0.1, le=0.8)] = 0.35


class TrackingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[head.tracking]`: whether the head may follow a road user that an operator has chosen.

    It needs `fov_deg`. `zoom_max` limits its zoom. The head waits for a lost target for `hold_s`, and
    follows a target for `max_follow_s` at most.
    """

    enabled: bool = False
    zoom_max: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.4
    hold_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 4.0
    max_follow_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 60.0


class HeadConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One head. `camera` is mounted on it. `options` belong to the driver, which checks them."""

    name: Name
    driver: str
    camera: Name | None = None
    options: dict[str, Any] = {}
    lease_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 30.0
    """A lease ends this long after its requester's last request."""
    max_move_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 20.0
    settle_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 2.0
    """From the end of a move until the picture counts as still."""
    dead_zone: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.05
    """A smaller share of the top speed counts as zero."""
    brake_s: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.5
    """From a stop at top speed until the head rests."""
    home: Name | None = None
    """The preset that the head returns to after `home_after_s` without a request."""
    home_after_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 300.0
    fov_deg: FieldOfView | None = None
    forbidden: Annotated[tuple[ForbiddenSector, ...], msgspec.Meta(max_length=32)] = ()
    sun: SunConfig | None = None
    rated_life: RatedLife = RatedLife()
    tour: Annotated[tuple[TourConfig, ...], msgspec.Meta(max_length=16)] = ()
    sweep: SweepConfig = SweepConfig()
    tracking: TrackingConfig = TrackingConfig()
