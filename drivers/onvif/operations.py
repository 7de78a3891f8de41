"""Operations of an ONVIF child, and their results: the only form in which data leaves the child."""

from typing import Literal, TypeAlias

import msgspec

from drivers.contracts import Aux, Range

Service = Literal["devicemgmt", "media", "ptz", "events"]
NAMESPACES: dict[Service, str] = {
    "devicemgmt": "http://www.onvif.org/ver10/device/wsdl",
    "media": "http://www.onvif.org/ver10/media/wsdl",
    "ptz": "http://www.onvif.org/ver20/ptz/wsdl",
    "events": "http://www.onvif.org/ver10/events/wsdl",
}
"""The namespaces of the services in use: ONVIF Core Specification, table 1."""

FIRST_CALL_FACTOR = 3
"""The first call connects: it may take this many times the timeout of the others."""

Order = Literal["AbsoluteMove", "ContinuousMove", "GotoPreset", "SendAuxiliaryCommand", "Stop"]
"""Operations of the PTZ service whose result is not used."""


class DeviceAccess(msgspec.Struct, frozen=True, kw_only=True):
    """The address and the password of one device. `host` begins with `https://` for TLS."""

    host: str
    port: int
    username: str | None
    password: str | None
    timeout_s: float


class OnvifSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a child; without a device it can only discover."""

    device: DeviceAccess | None = None


class HasService(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Whether the device reports a service."""

    service: Service


class ReadCameraInfo(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The camera's description for the configuration: a CameraInfo."""


class ReadHeadProfile(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A profile with a head: a HeadProfile. `token` None is the first one."""

    token: str | None


class ReadStatus(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The state of a head: a HeadStatus."""

    profile: str


class ReadPresets(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The presets of a head: a tuple of CameraPreset."""

    profile: str


class StorePreset(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Store the present position, in place of the preset `token`: the token of the preset."""

    profile: str
    name: str
    token: str | None


class SendOrder(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An order to a head. `timeout_s` is that of a ContinuousMove."""

    profile: str
    operation: Order
    arguments: dict[str, object]
    timeout_s: float | None = None


class Subscribe(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Subscribe to the camera's notifications."""


class Pull(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The notifications that come within `timeout_s`: a tuple of CameraNotification."""

    timeout_s: float


class Unsubscribe(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """End the subscription."""


class Discover(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The cameras that answer on the networks of some addresses of the box: a tuple of FoundCamera."""

    addresses: tuple[str, ...]
    timeout_s: float


Operation: TypeAlias = (
    HasService
    | ReadCameraInfo
    | ReadHeadProfile
    | ReadStatus
    | ReadPresets
    | StorePreset
    | SendOrder
    | Subscribe
    | Pull
    | Unsubscribe
    | Discover
)


class PtzSpace(msgspec.Struct, frozen=True, kw_only=True):
    """One space of a node. `y` is None if it has one axis."""

    uri: str
    x: Range
    y: Range | None


class PtzNode(msgspec.Struct, frozen=True, kw_only=True):
    """The capabilities that a node reports. `positions`, `velocities` and `speeds` are of pan and tilt."""

    positions: tuple[PtzSpace, ...]
    velocities: tuple[PtzSpace, ...]
    speeds: tuple[PtzSpace, ...]
    zoom_positions: tuple[PtzSpace, ...]
    zoom_velocities: tuple[PtzSpace, ...]
    presets: int
    aux: tuple[Aux, ...]


class PtzVector(msgspec.Struct, frozen=True, kw_only=True):
    """A reported position. `space` None is the node's default, `zoom` None is not reported."""

    x: float
    y: float
    space: str | None
    zoom: float | None


class HeadProfile(msgspec.Struct, frozen=True, kw_only=True):
    """`token` is of the media profile. `max_move_s` is the longest timeout of a move, None if unknown."""

    token: str
    node: PtzNode
    max_move_s: float | None


class HeadStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A head's position and whether it moves, each None if it is not reported."""

    position: PtzVector | None
    is_busy: bool | None


class CameraPreset(msgspec.Struct, frozen=True, kw_only=True):
    """A preset that the camera stores."""

    token: str
    name: str
    position: PtzVector | None


class CameraNotification(msgspec.Struct, frozen=True, kw_only=True):
    """One notification of a camera.

    `topic` is without prefixes. `state` is None if the topic has none. `source` is the item in the
    camera that it is about. `t_ns` is the time of arrival, which the parent sets: the camera's clock is
    not the box's.
    """

    topic: str
    state: bool | None
    source: str
    t_ns: int = 0


class FoundCamera(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One camera that answered. `url` is as `[camera.onvif]` takes it."""

    url: str
    name: str | None
    hardware: str | None
    id: str
    """Its endpoint, which stays the same: `urn:uuid:...`."""
