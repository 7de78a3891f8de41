"""The coordinate spaces of an ONVIF head: its node's numbers and degrees. Pure.

A node names its spaces by URI with a range each (ONVIF PTZ Service Specification, chapter 5.7).
The generic ones are shares: -1..1 of a range that the node does not report. If a node has those
alone, the degrees are declared in the options.
"""

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from drivers.angles import wrap_deg
from drivers.contracts import FRACTION, SIGNED_FRACTION, Aux, Pose, Range, Velocity
from drivers.onvif.operations import PtzNode, PtzSpace, PtzVector
from drivers.pan_range import unwrap_pan_deg

_PAN_TILT = "http://www.onvif.org/ver10/tptz/PanTiltSpaces/"
_ZOOM = "http://www.onvif.org/ver10/tptz/ZoomSpaces/"
GENERIC_POSITION = _PAN_TILT + "PositionGenericSpace"
DEGREES_POSITION = _PAN_TILT + "SphericalPositionSpaceDegrees"
GENERIC_VELOCITY = _PAN_TILT + "VelocityGenericSpace"
DEGREES_VELOCITY = _PAN_TILT + "VelocitySpaceDegrees"
GENERIC_SPEED = _PAN_TILT + "GenericSpeedSpace"
ZOOM_POSITION = _ZOOM + "PositionGenericSpace"
ZOOM_VELOCITY = _ZOOM + "VelocityGenericSpace"

AUX_COMMANDS: dict[Aux, str] = {"wiper": "tt:Wiper", "heater": "tt:Heater", "ir": "tt:IRLamp"}
"""Before `|On` and `|Off`: ONVIF Core Specification, auxiliary commands. A heater has no standard
name; this is the one that makers use.
"""


class AxisScale(msgspec.Struct, frozen=True, kw_only=True):
    """A linear scale between a space's numbers and our unit.

    `low_value` and `high_value` are `raw.low` and `raw.high` in our unit, and may run backwards.
    """

    raw: Range
    low_value: float
    high_value: float

    def to_raw(self, value: float) -> float:
        """Convert our value to the space's, clamped to its range."""
        fraction = (value - self.low_value) / (self.high_value - self.low_value)
        return self.raw.low + FRACTION.clamp(fraction) * (self.raw.high - self.raw.low)

    def from_raw(self, raw: float) -> float:
        """Convert the space's value to ours."""
        fraction = (raw - self.raw.low) / (self.raw.high - self.raw.low)
        return self.low_value + fraction * (self.high_value - self.low_value)


class PositionSpace(msgspec.Struct, frozen=True, kw_only=True):
    """One space of positions, and its two axes in degrees."""

    uri: str
    pan: AxisScale
    tilt: AxisScale

    def pan_to_raw(self, pan_deg: float) -> float:
        """Convert the pan of a pose to the space's number, in the turn of its range and clamped to it."""
        ends = (self.pan.low_value, self.pan.high_value)
        return self.pan.to_raw(unwrap_pan_deg(pan_deg, Range(low=min(ends), high=max(ends))))


class VelocitySpace(msgspec.Struct, frozen=True, kw_only=True):
    """The space of velocities, and its top speeds in degrees a second."""

    uri: str
    x: Range
    y: Range
    pan_max_deg_s: float
    tilt_max_deg_s: float


def read_node(node: Any) -> PtzNode:
    """Convert a `tt:PTZNode` of the SOAP library."""
    spaces = node.SupportedPTZSpaces
    auxiliary_commands = {text for text in node.AuxiliaryCommands or () if isinstance(text, str)}
    aux = (
        name
        for name, command in AUX_COMMANDS.items()
        if {f"{command}|On", f"{command}|Off"} <= auxiliary_commands
    )
    return PtzNode(
        positions=_to_spaces(spaces.AbsolutePanTiltPositionSpace),
        velocities=_to_spaces(spaces.ContinuousPanTiltVelocitySpace),
        speeds=_to_spaces(spaces.PanTiltSpeedSpace),
        zoom_positions=_to_spaces(spaces.AbsoluteZoomPositionSpace),
        zoom_velocities=_to_spaces(spaces.ContinuousZoomVelocitySpace),
        presets=max(0, int(node.MaximumNumberOfPresets or 0)),
        aux=tuple(aux),
    )


def _to_spaces(soap_spaces: Iterable[Any] | None) -> tuple[PtzSpace, ...]:
    return tuple(
        PtzSpace(uri=one.URI, x=_to_range(one.XRange), y=_to_range(getattr(one, "YRange", None)))
        for one in soap_spaces or ()
        if one.URI is not None and _to_range(one.XRange) is not None
    )


def _to_range(soap_range: Any) -> Any:
    """Return a range that is not empty, or None."""
    if soap_range is None or soap_range.Min is None or soap_range.Max is None:
        return None
    low, high = float(soap_range.Min), float(soap_range.Max)
    return Range(low=low, high=high) if math.isfinite(high - low) and low < high else None


def find_space(spaces: Iterable[PtzSpace], uri: str) -> PtzSpace | None:
    """Return the space of a URI, which some makers capitalise differently, or None."""
    return next((space for space in spaces if space.uri.lower() == uri.lower()), None)


def position_spaces(
    node: PtzNode, pan_deg: Range | None, tilt_deg: Range | None
) -> tuple[PositionSpace, ...]:
    """Return the spaces of the head's positions, the one for commands first.

    None if it is not absolute. `pan_deg` and `tilt_deg` are the declared degrees at the ends of the
    generic space. Raises: ValueError if there are only shares and nothing is declared.
    """
    degree_space, generic_space = (
        find_space(node.positions, uri) for uri in (DEGREES_POSITION, GENERIC_POSITION)
    )
    found: list[PositionSpace] = []
    if degree_space is not None and degree_space.y is not None:
        found.append(
            PositionSpace(
                uri=degree_space.uri,
                pan=_to_scale(degree_space.x, degree_space.x),
                tilt=_to_scale(degree_space.y, degree_space.y),
            )
        )
        pan_deg, tilt_deg = pan_deg or degree_space.x, tilt_deg or degree_space.y
    if generic_space is not None and generic_space.y is not None:
        if pan_deg is None or tilt_deg is None:
            raise ValueError(
                "its positions are shares of a range that it does not report; "
                "give pan_deg and tilt_deg, the degrees at their ends"
            )
        found.append(
            PositionSpace(
                uri=generic_space.uri,
                pan=_to_scale(generic_space.x, pan_deg),
                tilt=_to_scale(generic_space.y, tilt_deg),
            )
        )
    return tuple(found)


def _to_scale(raw: Range, deg: Range) -> AxisScale:
    return AxisScale(raw=raw, low_value=deg.low, high_value=deg.high)


def velocity_space(
    node: PtzNode, pan_max_deg_s: float | None, tilt_max_deg_s: float | None
) -> VelocitySpace:
    """Return the space of velocities: that of degrees a second if the node has it.

    Raises: ValueError if the node has none, or only shares and nothing is declared.
    """
    degree_space, generic_space = (
        find_space(node.velocities, uri) for uri in (DEGREES_VELOCITY, GENERIC_VELOCITY)
    )
    space = degree_space or generic_space
    if space is None or space.y is None:
        raise ValueError("it has no space of velocities")
    if degree_space is not None and degree_space.y is not None:
        return VelocitySpace(
            uri=degree_space.uri,
            x=degree_space.x,
            y=degree_space.y,
            pan_max_deg_s=degree_space.x.high,
            tilt_max_deg_s=degree_space.y.high,
        )
    if pan_max_deg_s is None or tilt_max_deg_s is None:
        raise ValueError(
            "its speeds are shares of a top speed that it does not report; "
            "give pan_max_deg_s and tilt_max_deg_s"
        )
    return VelocitySpace(
        uri=space.uri,
        x=space.x,
        y=space.y,
        pan_max_deg_s=pan_max_deg_s,
        tilt_max_deg_s=tilt_max_deg_s,
    )


def to_ptz_speed(
    velocity_space: VelocitySpace, velocity: Velocity, *, zoom: bool
) -> dict[str, Any]:
    """Convert a velocity to a `tt:PTZSpeed`, clamped to the top speeds."""
    ptz_speed: dict[str, Any] = {
        "PanTilt": {
            "x": _to_raw_rate(velocity.pan_deg_s, velocity_space.pan_max_deg_s, velocity_space.x),
            "y": _to_raw_rate(velocity.tilt_deg_s, velocity_space.tilt_max_deg_s, velocity_space.y),
            "space": velocity_space.uri,
        }
    }
    if zoom:
        ptz_speed["Zoom"] = {"x": SIGNED_FRACTION.clamp(velocity.zoom), "space": ZOOM_VELOCITY}
    return ptz_speed


def _to_raw_rate(deg_s: float, max_deg_s: float, raw: Range) -> float:
    fraction = SIGNED_FRACTION.clamp(deg_s / max_deg_s)
    return fraction * raw.high if fraction >= 0 else -fraction * raw.low


def to_ptz_vector(position_space: PositionSpace, pose: Pose, *, zoom: bool) -> dict[str, Any]:
    """Convert a pose to a `tt:PTZVector`, clamped to the head's range."""
    vector: dict[str, Any] = {
        "PanTilt": {
            "x": position_space.pan_to_raw(pose.pan_deg),
            "y": position_space.tilt.to_raw(pose.tilt_deg),
            "space": position_space.uri,
        }
    }
    if zoom:
        vector["Zoom"] = {"x": FRACTION.clamp(pose.zoom), "space": ZOOM_POSITION}
    return vector


def nearest_pose(position_space: PositionSpace, pose: Pose) -> Pose:
    """Return the nearest pose that the head can take."""
    return Pose(
        pan_deg=wrap_deg(position_space.pan.from_raw(position_space.pan_to_raw(pose.pan_deg))),
        tilt_deg=position_space.tilt.from_raw(position_space.tilt.to_raw(pose.tilt_deg)),
        zoom=pose.zoom,
    )


def read_vector(vector: Any) -> PtzVector | None:
    """Convert a `tt:PTZVector` of the SOAP library, or return None if it is incomplete."""
    pan_tilt = getattr(vector, "PanTilt", None)
    if pan_tilt is None or pan_tilt.x is None or pan_tilt.y is None:
        return None
    zoom = getattr(vector, "Zoom", None)
    return PtzVector(
        x=float(pan_tilt.x),
        y=float(pan_tilt.y),
        space=None if pan_tilt.space is None else str(pan_tilt.space),
        zoom=None if zoom is None or zoom.x is None else float(zoom.x),
    )


def from_ptz_vector(spaces: tuple[PositionSpace, ...], vector: PtzVector | None) -> Pose | None:
    """Convert a reported position to a pose, or None if its space is unknown or it is no number."""
    if vector is None or not math.isfinite(vector.x + vector.y + (vector.zoom or 0.0)):
        return None
    uri = vector.space
    position_space = next((p for p in spaces if uri is None or p.uri.lower() == uri.lower()), None)
    if position_space is None:
        return None
    return Pose(
        pan_deg=wrap_deg(position_space.pan.from_raw(vector.x)),
        tilt_deg=position_space.tilt.from_raw(vector.y),
        zoom=FRACTION.clamp(vector.zoom or 0.0),
    )
