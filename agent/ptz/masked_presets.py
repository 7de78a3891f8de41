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
from agent.ptz.motion.field_of_view import direction_to_point, point_to_direction
from drivers.angles import wrap_deg
from drivers.contracts import Pose, PtzCapabilities, PtzPosition
from drivers.media import Point

MAX_SHIFT_SHARE = 0.02
"""Of the picture's width: it may have shifted by so much, in pan, tilt, zoom and error together."""
REPEATABILITY_DEG = 0.2
REPEATABILITY_ZOOM = 0.005
"""How well a head finds a preset again, and tells the same place twice. Makers promise 0.1 degrees
for better heads, the units of their answers are up to 0.08 degrees wide, and both gears have play: a
head that is held to less would stay hidden at its own presets.
"""
UNCALIBRATED_TOLERANCE_DEG = 0.1
UNCALIBRATED_TOLERANCE_ZOOM = 0.005
"""What is allowed in place of the share where nobody has measured the picture."""
ASSUMED_WIDTH_DEG = 40.0
"""A picture whose width nobody has measured is taken for so wide at zoom 0: most are wider."""

_SAMPLE_POINTS = tuple(
    Point(x, y) for x, y in itertools.product((0.0, 0.5, 1.0), repeat=2) if (x, y) != (0.5, 0.5)
)
"""The picture's corners, and the middles of its edges: nothing in it shifts further."""

PresetEvidence: TypeAlias = Literal["moved", "unmoved", "remembered"]
"""Why a head may be at a preset: it was moved otherwise since, so only its word says so; nothing but
a recall of the preset has moved it, as far as the box knows; its own memory took it there, and
nothing has moved it since.
"""


class MaskedPresets:
    """Those of one head. `scenes` names the scene file of each; without masks in any of them it is
    empty, and nothing here holds.
    """

    def __init__(self, head_name: str, scenes: Mapping[str, str], fov: FieldOfView | None) -> None:
        self._head_name = head_name
        self._scenes = dict(scenes)
        self._fov = fov

    def __contains__(self, preset: str) -> bool:
        """Whether a scene was drawn at it."""
        return preset in self._scenes

    def is_at(
        self,
        reference: Pose,
        position: PtzPosition | None,
        capabilities: PtzCapabilities,
        evidence: PresetEvidence,
    ) -> bool:
        """Whether a head that rests is exactly where the scene was drawn.

        One that nothing else has moved is trusted to tell the same place by the same word, so its
        error counts for nothing. A reckoned one only repeats what it was told: it is there by its
        own memory, or, without a zoom, whose place nobody reckons with an error, by its reckoning.
        """
        if not capabilities.absolute:
            if evidence == "remembered":
                return True
            if capabilities.zoom_ratio > 1:
                return False
            evidence = "moved"
        if position is None or position.moving:
            return False
        is_trusted = evidence != "moved"
        if is_trusted and _is_within(
            position.pose, reference, REPEATABILITY_DEG, REPEATABILITY_ZOOM, capabilities
        ):
            return True
        error_deg = 0.0 if is_trusted else position.error_deg
        if self._fov is None:
            tolerance_deg = UNCALIBRATED_TOLERANCE_DEG - error_deg
            return _is_within(
                position.pose, reference, tolerance_deg, UNCALIBRATED_TOLERANCE_ZOOM, capabilities
            )
        limit = ShiftTolerance(x=MAX_SHIFT_SHARE, y=MAX_SHIFT_SHARE * self._fov.aspect)
        shifts = _iter_shifts(self._fov, reference, position.pose, error_deg, 0.0, capabilities)
        # The first one says no where the head is at another preset.
        return all(shift.x <= limit.x and shift.y <= limit.y for shift in shifts)

    def shift_tolerance(self, reference: Pose, capabilities: PtzCapabilities) -> ShiftTolerance:
        """How far the picture may have shifted where `is_at` says that the head is there."""
        fov = _assumed_fov(capabilities) if self._fov is None else self._fov
        if not capabilities.absolute:
            # Nobody has measured how far the lens is in.
            reference = msgspec.structs.replace(reference, zoom=1.0)
        repeatability = max_shift(
            fov, reference, reference, REPEATABILITY_DEG, REPEATABILITY_ZOOM, capabilities
        )
        return ShiftTolerance(
            x=min(1.0, max(MAX_SHIFT_SHARE, repeatability.x)),
            y=min(1.0, max(MAX_SHIFT_SHARE * fov.aspect, repeatability.y)),
        )

    def rejection(self, preset: str) -> CommandRejected:
        """Why such a preset is neither set elsewhere nor deleted."""
        return CommandRejected(
            "forbidden",
            f"head {self._head_name!r}: scene {self._scenes[preset]!r} was drawn at preset {preset!r}, "
            "and its camera has masks: for another view take the scene out of the configuration, "
            "set the preset, and draw the scene anew",
        )


def max_shift(
    fov: FieldOfView,
    reference: Pose,
    actual: Pose,
    error_deg: float,
    error_zoom: float,
    capabilities: PtzCapabilities,
) -> ShiftTolerance:
    """How far a picture taken from `now` has shifted against one from `drawn` where it has shifted
    most, when `now` is wrong by these errors.
    """
    shifts = list(_iter_shifts(fov, reference, actual, error_deg, error_zoom, capabilities))
    return ShiftTolerance(x=max(shift.x for shift in shifts), y=max(shift.y for shift in shifts))


def _iter_shifts(
    fov: FieldOfView,
    reference: Pose,
    actual: Pose,
    error_deg: float,
    error_zoom: float,
    capabilities: PtzCapabilities,
) -> Iterator[ShiftTolerance]:
    has_fixed_zoom = capabilities.zoom_ratio <= 1
    if has_fixed_zoom:
        reference, actual = (
            msgspec.structs.replace(pose, zoom=0.0) for pose in (reference, actual)
        )
    for extreme_pose in _extreme_poses(actual, error_deg, 0.0 if has_fixed_zoom else error_zoom):
        for point in _SAMPLE_POINTS:
            yield _shift_at(fov, reference, extreme_pose, point)


def _shift_at(fov: FieldOfView, reference: Pose, actual: Pose, point: Point) -> ShiftTolerance:
    shifted_point = direction_to_point(fov, actual, point_to_direction(fov, reference, point))
    if shifted_point is None:
        return ShiftTolerance(x=math.inf, y=math.inf)
    return ShiftTolerance(x=abs(shifted_point.x - point.x), y=abs(shifted_point.y - point.y))


def _extreme_poses(pose: Pose, error_deg: float, error_zoom: float) -> Iterator[Pose]:
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


def _is_within(
    actual: Pose,
    reference: Pose,
    tolerance_deg: float,
    tolerance_zoom: float,
    capabilities: PtzCapabilities,
) -> bool:
    pan, tilt = wrap_deg(actual.pan_deg - reference.pan_deg), actual.tilt_deg - reference.tilt_deg
    zoom_differs = (
        capabilities.zoom_ratio > 1 and abs(actual.zoom - reference.zoom) > tolerance_zoom
    )
    return abs(pan) <= tolerance_deg and abs(tilt) <= tolerance_deg and not zoom_differs


def _assumed_fov(capabilities: PtzCapabilities) -> FieldOfView:
    """A lens that nobody has measured."""
    half_tele = math.tan(math.radians(ASSUMED_WIDTH_DEG / 2)) / max(1.0, capabilities.zoom_ratio)
    return FieldOfView(wide=ASSUMED_WIDTH_DEG, tele=math.degrees(2 * math.atan(half_tele)))
