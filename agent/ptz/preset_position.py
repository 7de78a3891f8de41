"""At which of its presets a head is, and how exactly it has to be there if masks were drawn there.

A mask is a polygon in the picture. If the head is a little off, the picture is shifted, and what
the mask should hide lies next to it. So all of the picture is measured: if no point of it has
shifted by more than a small share of its width, the head is at the preset; and the masks are
painted larger by that share, so that the shift uncovers nothing.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from agent.base.model import ShiftTolerance
from agent.commands.requester import CommandRejected
from agent.config.heads import FieldOfView
from agent.ptz.connection import HeadConnection
from agent.ptz.motion.field_of_view import direction_to_point, point_to_direction
from agent.ptz.motion.forbidden_sectors import UNKNOWN_POSITION_DEG
from agent.ptz.motion.position_servo import is_at_pose
from agent.ptz.motion.trajectory import NEAR_DEG, NEAR_ZOOM
from agent.ptz.motion_controller import MotionController
from agent.ptz.preset_store import Preset, PresetStore
from drivers.contracts import FRACTION, Pose, PtzCapabilities, PtzPosition
from drivers.media import Point

MAX_NEAR_ERROR_DEG = 2.0
"""A head whose position is known less well is at no preset."""
MAX_SHIFT_SHARE = 0.02
"""Of the picture's width: it may have shifted by this, by pan, tilt, zoom and error together."""
REPEATABILITY_DEG = 0.2
REPEATABILITY_ZOOM = 0.005
"""How well a head finds a preset again, and reports the same position twice.

Makers promise 0.1 degrees for better heads, the units of their answers are up to 0.08 degrees wide,
and both gears have play: a head that is held to less would stay hidden at its own presets.
"""
UNCALIBRATED_TOLERANCE_DEG = 0.1
UNCALIBRATED_TOLERANCE_ZOOM = 0.005
"""Allowed in place of the share if the field of view was not measured."""
ASSUMED_WIDTH_DEG = 40.0
"""An unmeasured picture is taken to be this wide at zoom 0: most are wider."""

_SAMPLE_POINTS = tuple(
    Point(x, y) for x, y in itertools.product((0.0, 0.5, 1.0), repeat=2) if (x, y) != (0.5, 0.5)
)
"""The picture's corners, and the middles of its edges: nothing in it shifts further."""

PresetEvidence: TypeAlias = Literal["moved", "unmoved", "remembered"]
"""Why a head may be at a preset.

moved       it was moved otherwise since, so only its reported position counts
unmoved     as far as the box knows, nothing but a recall of the preset has moved it
remembered  its own memory took it there, and nothing has moved it since
"""


class MaskedPresets:
    """The presets of one head that scenes were drawn at, if one of these scenes has masks.

    `scenes` has the scene file of each preset; it is empty if no scene has masks.
    """

    def __init__(self, head_name: str, scenes: Mapping[str, str], fov: FieldOfView | None) -> None:
        self._head_name = head_name
        self._scenes = dict(scenes)
        self._fov = fov

    def replace(self, scenes: Mapping[str, str]) -> None:
        """Count other presets as those that scenes were drawn at. Thread-safe."""
        self._scenes = dict(scenes)

    def __contains__(self, preset: str) -> bool:
        """Return whether a scene was drawn at the preset."""
        return preset in self._scenes

    def is_at(
        self,
        reference: Pose,
        position: PtzPosition | None,
        capabilities: PtzCapabilities,
        evidence: PresetEvidence,
    ) -> bool:
        """Return whether a head at rest is exactly where the scene was drawn.

        A head that nothing else has moved is trusted to report the same position by the same
        numbers, so its error counts for nothing. A head whose position is estimated only repeats
        its orders: it is there by its own memory or, if it has no zoom, whose position is estimated
        without an error, by its estimate.
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
        if is_trusted and is_at_pose(
            position.pose, reference, capabilities, REPEATABILITY_DEG, REPEATABILITY_ZOOM
        ):
            return True
        error_deg = 0.0 if is_trusted else position.error_deg
        if self._fov is None:
            tolerance_deg = UNCALIBRATED_TOLERANCE_DEG - error_deg
            return is_at_pose(
                position.pose, reference, capabilities, tolerance_deg, UNCALIBRATED_TOLERANCE_ZOOM
            )
        limit = ShiftTolerance(x=MAX_SHIFT_SHARE, y=MAX_SHIFT_SHARE * self._fov.aspect)
        shifts = _iter_shifts(self._fov, reference, position.pose, error_deg, 0.0, capabilities)
        # Of a head at another preset the first sample exceeds the limit.
        return all(shift.x <= limit.x and shift.y <= limit.y for shift in shifts)

    def shift_tolerance(self, reference: Pose, capabilities: PtzCapabilities) -> ShiftTolerance:
        """Return how far the picture may have shifted if `is_at` is true."""
        fov = _assumed_fov(capabilities) if self._fov is None else self._fov
        if not capabilities.absolute:
            # The zoom is not measured: at tele the same error shifts the picture furthest.
            reference = msgspec.structs.replace(reference, zoom=1.0)
        repeatability = max_shift(
            fov, reference, reference, REPEATABILITY_DEG, REPEATABILITY_ZOOM, capabilities
        )
        return ShiftTolerance(
            x=min(1.0, max(MAX_SHIFT_SHARE, repeatability.x)),
            y=min(1.0, max(MAX_SHIFT_SHARE * fov.aspect, repeatability.y)),
        )

    def rejection(self, preset: str) -> CommandRejected:
        """Return why such a preset is neither set elsewhere nor deleted."""
        return CommandRejected(
            "forbidden",
            f"head {self._head_name!r}: scene {self._scenes.get(preset)!r} was drawn at preset {preset!r}, "
            "and its camera has masks: for another view remove the scene from the configuration, "
            "set the preset, and draw the scene again",
        )


class PresetPosition:
    """Answers at which preset one head is. Thread-safe.

    A preset that masks were drawn at has a tighter tolerance than the others, for every user of
    this class: so a tour and the way home send the head there again if its picture would be hidden.
    """

    def __init__(
        self,
        preset_store: PresetStore,
        masked_presets: MaskedPresets,
        controller: MotionController,
        connection: HeadConnection,
    ) -> None:
        self._preset_store = preset_store
        self._masked_presets = masked_presets
        self._controller = controller
        self._connection = connection

    def current_preset(self) -> str | None:
        """Return the preset at which the head rests, or None.

        The one that it was sent to comes first, then those that masks were drawn at.
        """
        presets = sorted(
            self._preset_store.all(),
            key=lambda each: (
                each.name != self._controller.arrived_preset,
                each.name not in self._masked_presets,
            ),
        )
        return next((each.name for each in presets if self.is_at(each)), None)

    def is_at(self, preset: Preset) -> bool:
        """Return whether the head, which rests, is at a preset."""
        controller, capabilities = self._controller, self._connection.capabilities
        position = controller.position
        if preset.name in self._masked_presets:
            return capabilities is not None and self._masked_presets.is_at(
                preset.pose, position, capabilities, self._evidence_for(preset.name)
            )
        if position is None or position.error_deg >= UNKNOWN_POSITION_DEG:
            return preset.name == controller.arrived_preset
        return (
            capabilities is not None
            and position.error_deg <= MAX_NEAR_ERROR_DEG
            and is_at_pose(position.pose, preset.pose, capabilities, NEAR_DEG, NEAR_ZOOM)
        )

    def shift_tolerance(self, name: str | None) -> ShiftTolerance | None:
        """Return how far the picture at a preset may have shifted; None without masks there."""
        preset, capabilities = self._preset_store.find(name), self._connection.capabilities
        if preset is None or capabilities is None or preset.name not in self._masked_presets:
            return None
        return self._masked_presets.shift_tolerance(preset.pose, capabilities)

    def _evidence_for(self, preset: str) -> PresetEvidence:
        if self._controller.arrived_device_preset == preset:
            return "remembered"
        return "unmoved" if self._controller.is_unmoved_from(preset) else "moved"


def max_shift(
    fov: FieldOfView,
    reference: Pose,
    actual: Pose,
    error_deg: float,
    error_zoom: float,
    capabilities: PtzCapabilities,
) -> ShiftTolerance:
    """Return the largest shift of any point between pictures taken at two poses.

    `actual` is known within these errors.
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
    """Yield the furthest poses that the true one may be."""
    pans, tilts, zooms = (
        (-error, error) if error else (0.0,) for error in (error_deg, error_deg, error_zoom)
    )
    for pan, tilt, zoom in itertools.product(pans, tilts, zooms):
        yield Pose(
            pan_deg=pose.pan_deg + pan,
            tilt_deg=pose.tilt_deg + tilt,
            zoom=FRACTION.clamp(pose.zoom + zoom),
        )


def _assumed_fov(capabilities: PtzCapabilities) -> FieldOfView:
    """Return a field of view for a lens that was not measured."""
    half_tele = math.tan(math.radians(ASSUMED_WIDTH_DEG / 2)) / max(1.0, capabilities.zoom_ratio)
    return FieldOfView(wide=ASSUMED_WIDTH_DEG, tele=math.degrees(2 * math.atan(half_tele)))
