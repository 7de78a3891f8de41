"""What the numbers of an ONVIF head mean: its node's coordinate spaces, and degrees. Pure.

A node names its spaces by URI with a range each (ONVIF PTZ Service Specification, chapter 5.7).
The generic ones are shares: -1..1 of a range that nobody tells. Where a node has those alone, the
degrees are declared by whoever set the head up.
"""

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from drivers.angles import wrap_deg
from drivers.contracts import Aux, Pose, Range, Velocity

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


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """One space of a node. `y` is None where it has one axis."""

    uri: str
    x: Range
    y: Range | None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """What a node can do, by its own word. `positions` and the rest are of pan and tilt."""

    positions: tuple[Space, ...]
    velocities: tuple[Space, ...]
    speeds: tuple[Space, ...]
    zoom_positions: tuple[Space, ...]
    zoom_velocities: tuple[Space, ...]
    presets: int
    aux: tuple[Aux, ...]


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """A straight line between a space's numbers and ours: `least` and `most` are what the space's
    `raw.low` and `raw.high` are in our unit, and may run the other way.
    """

    raw: Range
    least: float
    most: float

    def to_raw(self, value: float) -> float:
        """Our value as the space's, cut to its range."""
        share = (value - self.least) / (self.most - self.least)
        return self.raw.low + min(1.0, max(0.0, share)) * (self.raw.high - self.raw.low)

    def from_raw(self, raw: float) -> float:
        """The space's value as ours."""
        share = (raw - self.raw.low) / (self.raw.high - self.raw.low)
        return self.least + share * (self.most - self.least)


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """One space of positions, and its two axes in degrees."""

    uri: str
    pan: Axis
    tilt: Axis


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """The space of velocities, and its fastest in degrees a second."""

    uri: str
    x: Range
    y: Range
    pan_max_deg_s: float
    tilt_max_deg_s: float


def read_node(node: Any) -> Node:
    """A `tt:PTZNode` as the SOAP library gives it."""
    spaces = node.SupportedPTZSpaces
    told = {text for text in node.AuxiliaryCommands or () if isinstance(text, str)}
    aux = (name for name, word in AUX_COMMANDS.items() if {f"{word}|On", f"{word}|Off"} <= told)
    return Node(
        positions=_spaces(spaces.AbsolutePanTiltPositionSpace),
        velocities=_spaces(spaces.ContinuousPanTiltVelocitySpace),
        speeds=_spaces(spaces.PanTiltSpeedSpace),
        zoom_positions=_spaces(spaces.AbsoluteZoomPositionSpace),
        zoom_velocities=_spaces(spaces.ContinuousZoomVelocitySpace),
        presets=max(0, int(node.MaximumNumberOfPresets or 0)),
        aux=tuple(aux),
    )


def _spaces(given: Iterable[Any] | None) -> tuple[Space, ...]:
    return tuple(
        Space(uri=one.URI, x=_range(one.XRange), y=_range(getattr(one, "YRange", None)))
        for one in given or ()
        if one.URI is not None and _range(one.XRange) is not None
    )


def _range(given: Any) -> Any:
    """A range that has something in it, or None."""
    if given is None or given.Min is None or given.Max is None:
        return None
    low, high = float(given.Min), float(given.Max)
    return Range(low=low, high=high) if math.isfinite(high - low) and low < high else None


def find(spaces: Iterable[Space], uri: str) -> Space | None:
    """The space of that URI. Some makers write its capitals otherwise."""
    return next((space for space in spaces if space.uri.lower() == uri.lower()), None)


def places(node: Node, pan_deg: Range | None, tilt_deg: Range | None) -> tuple[Places, ...]:
    """The spaces in which the head's positions can be read, the one to command in first; none
    where it is not absolute. `pan_deg` and `tilt_deg` are what the generic space's ends are in
    degrees, where somebody has declared that.

    Raises ValueError, in words, where only shares are there and nothing is declared.
    """
    degrees, generic = (find(node.positions, uri) for uri in (DEGREES_POSITION, GENERIC_POSITION))
    found: list[Places] = []
    if degrees is not None and degrees.y is not None:
        found.append(
            Places(
                uri=degrees.uri, pan=_line(degrees.x, degrees.x), tilt=_line(degrees.y, degrees.y)
            )
        )
        pan_deg, tilt_deg = pan_deg or degrees.x, tilt_deg or degrees.y
    if generic is not None and generic.y is not None:
        if pan_deg is None or tilt_deg is None:
            raise ValueError(
                "its positions are shares of a range that it does not tell; "
                "allowed: pan_deg and tilt_deg, the degrees at their ends"
            )
        found.append(
            Places(uri=generic.uri, pan=_line(generic.x, pan_deg), tilt=_line(generic.y, tilt_deg))
        )
    return tuple(found)


def _line(raw: Range, deg: Range) -> Axis:
    return Axis(raw=raw, least=deg.low, most=deg.high)


def rates(node: Node, pan_max_deg_s: float | None, tilt_max_deg_s: float | None) -> Rates:
    """The space to drive in: that of degrees a second where the node has it and nothing else is
    declared.

    Raises ValueError, in words, where the node cannot be driven, or tells shares alone and nothing
    is declared.
    """
    degrees, generic = (find(node.velocities, uri) for uri in (DEGREES_VELOCITY, GENERIC_VELOCITY))
    space = degrees or generic
    if space is None or space.y is None:
        raise ValueError("it cannot be driven: no space of velocities")
    if degrees is not None and degrees.y is not None:
        return Rates(
            uri=degrees.uri,
            x=degrees.x,
            y=degrees.y,
            pan_max_deg_s=degrees.x.high,
            tilt_max_deg_s=degrees.y.high,
        )
    if pan_max_deg_s is None or tilt_max_deg_s is None:
        raise ValueError(
            "its speeds are shares of one that it does not tell; "
            "allowed: pan_max_deg_s and tilt_max_deg_s"
        )
    return Rates(
        uri=space.uri,
        x=space.x,
        y=space.y,
        pan_max_deg_s=pan_max_deg_s,
        tilt_max_deg_s=tilt_max_deg_s,
    )


def velocity_of(rates: Rates, velocity: Velocity, *, zoom: bool) -> dict[str, Any]:
    """A `tt:PTZSpeed` of a velocity, cut to the head's fastest."""
    told: dict[str, Any] = {
        "PanTilt": {
            "x": _rate(velocity.pan_deg_s, rates.pan_max_deg_s, rates.x),
            "y": _rate(velocity.tilt_deg_s, rates.tilt_max_deg_s, rates.y),
            "space": rates.uri,
        }
    }
    if zoom:
        told["Zoom"] = {"x": min(1.0, max(-1.0, velocity.zoom)), "space": ZOOM_VELOCITY}
    return told


def _rate(deg_s: float, max_deg_s: float, raw: Range) -> float:
    share = min(1.0, max(-1.0, deg_s / max_deg_s))
    return share * raw.high if share >= 0 else -share * raw.low


def position_of(places: Places, pose: Pose, *, zoom: bool) -> dict[str, Any]:
    """A `tt:PTZVector` of a pose, cut to the head's range."""
    told: dict[str, Any] = {
        "PanTilt": {
            "x": places.pan.to_raw(pose.pan_deg),
            "y": places.tilt.to_raw(pose.tilt_deg),
            "space": places.uri,
        }
    }
    if zoom:
        told["Zoom"] = {"x": min(1.0, max(0.0, pose.zoom)), "space": ZOOM_POSITION}
    return told


def pose_of(known: tuple[Places, ...], vector: Any) -> Pose | None:
    """The pose of a `tt:PTZVector`, or None where it is in no space that is known, or not whole."""
    pan_tilt = getattr(vector, "PanTilt", None)
    if pan_tilt is None or pan_tilt.x is None or pan_tilt.y is None:
        return None
    uri = pan_tilt.space
    place = next((p for p in known if uri is None or p.uri.lower() == uri.lower()), None)
    if place is None:
        return None
    zoom = getattr(vector, "Zoom", None)
    return Pose(
        pan_deg=wrap_deg(place.pan.from_raw(float(pan_tilt.x))),
        tilt_deg=place.tilt.from_raw(float(pan_tilt.y)),
        zoom=0.0 if zoom is None or zoom.x is None else min(1.0, max(0.0, float(zoom.x))),
    )
