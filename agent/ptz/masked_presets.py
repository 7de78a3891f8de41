"""Presets that scenes were drawn at, where one of them has masks: when a head is at one so exactly that
the masks hide what they are to, and that such a preset keeps its place. Pure.

A mask is a polygon in the picture. Where the head is a little off, the picture is shifted, and what
the mask is for lies beside it. So all of the picture is measured: where it has shifted anywhere by no
more than a small share of its width, the head is at the preset; and the masks are painted larger by
that share, so that the shift uncovers nothing.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from agent.base.model import ShiftTolerance
from agent.commands.requester import CommandRejected
from agent.config.heads import FieldOfView
from agent.ptz.motion.field_of_view import direction_of, place_of
from drivers.angles import wrap_deg
from drivers.contracts import Pose, PtzAbilities, PtzPosition
from drivers.media import Corner

SHARE = 0.02
"""Of the picture's width: it may have shifted by so much, in pan, tilt, zoom and error together."""
REPEATS_DEG = 0.2
REPEATS_ZOOM = 0.005
"""How well a head finds a preset again, and tells the same place twice. Makers promise 0.1 degrees
for better heads, the units of their answers are up to 0.08 degrees wide, and both gears have play: a
head that is held to less would stay hidden at its own presets.
"""
UNMEASURED_DEG = 0.1
UNMEASURED_ZOOM = 0.005
"""What is allowed in place of the share where nobody has measured the picture."""
NARROW_DEG = 40.0
"""A picture whose width nobody has measured is taken for so wide at zoom 0: most are wider."""

_PLACES = tuple(
    Corner(x, y) for x, y in itertools.product((0.0, 0.5, 1.0), repeat=2) if (x, y) != (0.5, 0.5)
)
"""The picture's corners, and the middles of its edges: nothing in it shifts further."""

Stillness: TypeAlias = Literal["moved", "unmoved", "remembered"]
"""Why a head may be at a preset: it was moved otherwise since, so only its word says so; nothing but
a recall of the preset has moved it, as far as the box knows; its own memory took it there, and
nothing has moved it since.
"""


class MaskedPresets:
    """Those of one head. `scenes` names the scene file of each; without masks in any of them it is
    empty, and nothing here holds.
    """

    def __init__(self, head: str, scenes: Mapping[str, str], fov: FieldOfView | None) -> None:
        self._head = head
        self._scenes = dict(scenes)
        self._fov = fov

    def __contains__(self, preset: str) -> bool:
        """Whether a scene was drawn at it."""
        return preset in self._scenes

    def is_at(
        self,
        drawn: Pose,
        position: PtzPosition | None,
        abilities: PtzAbilities,
        stillness: Stillness,
    ) -> bool:
        """Whether a head that rests is exactly where the scene was drawn.

        One that nothing else has moved is trusted to tell the same place by the same word, so its
        error counts for nothing. A reckoned one only repeats what it was told: it is there by its
        own memory, or, without a zoom, whose place nobody reckons with an error, by its reckoning.
        """
        if not abilities.absolute:
            if stillness == "remembered":
                return True
            if abilities.zoom_ratio > 1:
                return False
            stillness = "moved"
        if position is None or position.moving:
            return False
        trusted = stillness != "moved"
        if trusted and _within(position.pose, drawn, REPEATS_DEG, REPEATS_ZOOM, abilities):
            return True
        error_deg = 0.0 if trusted else position.error_deg
        if self._fov is None:
            left_deg = UNMEASURED_DEG - error_deg
            return _within(position.pose, drawn, left_deg, UNMEASURED_ZOOM, abilities)
        most = ShiftTolerance(x=SHARE, y=SHARE * self._fov.aspect)
        shifts = _shifts(self._fov, drawn, position.pose, error_deg, 0.0, abilities)
        # The first one says no where the head is at another preset.
        return all(shift.x <= most.x and shift.y <= most.y for shift in shifts)

    def leeway(self, drawn: Pose, abilities: PtzAbilities) -> ShiftTolerance:
        """How far the picture may have shifted where `is_at` says that the head is there."""
        fov = _assumed(abilities) if self._fov is None else self._fov
        if not abilities.absolute:
            # Nobody has measured how far the lens is in.
            drawn = msgspec.structs.replace(drawn, zoom=1.0)
        repeats = most_shifted(fov, drawn, drawn, REPEATS_DEG, REPEATS_ZOOM, abilities)
        return ShiftTolerance(
            x=min(1.0, max(SHARE, repeats.x)), y=min(1.0, max(SHARE * fov.aspect, repeats.y))
        )

    def refusal(self, preset: str) -> CommandRejected:
        """Why such a preset is neither set elsewhere nor deleted."""
        return CommandRejected(
            "forbidden",
            f"head {self._head!r}: scene {self._scenes[preset]!r} was drawn at preset {preset!r}, "
            "and its camera has masks: for another view take the scene out of the configuration, "
            "set the preset, and draw the scene anew",
        )


def most_shifted(
    fov: FieldOfView,
    drawn: Pose,
    now: Pose,
    error_deg: float,
    error_zoom: float,
    abilities: PtzAbilities,
) -> ShiftTolerance:
    """How far a picture taken from `now` has shifted against one from `drawn` where it has shifted
    most, when `now` is wrong by these errors.
    """
    shifts = list(_shifts(fov, drawn, now, error_deg, error_zoom, abilities))
    return ShiftTolerance(x=max(shift.x for shift in shifts), y=max(shift.y for shift in shifts))


def _shifts(
    fov: FieldOfView,
    drawn: Pose,
    now: Pose,
    error_deg: float,
    error_zoom: float,
    abilities: PtzAbilities,
) -> Iterator[ShiftTolerance]:
    fixed = abilities.zoom_ratio <= 1
    if fixed:
        drawn, now = (msgspec.structs.replace(pose, zoom=0.0) for pose in (drawn, now))
    for tip in _tips(now, error_deg, 0.0 if fixed else error_zoom):
        for place in _PLACES:
            yield _shifted(fov, drawn, tip, place)


def _shifted(fov: FieldOfView, drawn: Pose, now: Pose, place: Corner) -> ShiftTolerance:
    there = place_of(fov, now, direction_of(fov, drawn, place))
    if there is None:
        return ShiftTolerance(x=math.inf, y=math.inf)
    return ShiftTolerance(x=abs(there.x - place.x), y=abs(there.y - place.y))


def _tips(pose: Pose, error_deg: float, error_zoom: float) -> Iterator[Pose]:
    """The furthest poses that it may be in truth."""
    pans, tilts, zooms = (
        (-error, error) if error else (0.0,) for error in (error_deg, error_deg, error_zoom)
    )
    for pan, tilt, zoom in itertools.product(pans, tilts, zooms):
        yield Pose(
            pan_deg=pose.pan_deg + pan,
            tilt_deg=pose.tilt_deg + tilt,
            zoom=min(1.0, max(0.0, pose.zoom + zoom)),
        )


def _within(now: Pose, drawn: Pose, deg: float, zoom: float, abilities: PtzAbilities) -> bool:
    pan, tilt = wrap_deg(now.pan_deg - drawn.pan_deg), now.tilt_deg - drawn.tilt_deg
    lens = abilities.zoom_ratio > 1 and abs(now.zoom - drawn.zoom) > zoom
    return abs(pan) <= deg and abs(tilt) <= deg and not lens


def _assumed(abilities: PtzAbilities) -> FieldOfView:
    """A lens that nobody has measured."""
    half = math.tan(math.radians(NARROW_DEG / 2)) / max(1.0, abilities.zoom_ratio)
    return FieldOfView(wide=NARROW_DEG, tele=math.degrees(2 * math.atan(half)))
