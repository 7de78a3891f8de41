"""A network camera's own head: ONVIF's PTZ service.

```toml
[[head]]
name = "tram"
driver = "onvif"

[head.options]
url = "http://10.0.0.31"
username = "vigie"
password_file = "/etc/vigie/tram.password"
pan_deg = { low = -170, high = 170 }
tilt_deg = { low = -30, high = 90 }
pan_max_deg_s = 60
tilt_max_deg_s = 40
zoom_ratio = 10
error_deg = 1.0
timeout_s = 2.0
```

Most cameras tell positions and speeds as shares of -1..1. What these are in degrees is declared
here, out of the data sheet: `pan_deg` and `tilt_deg` at the ends of the range (`low` at -1, and
above `high` where it counts the other way), `pan_max_deg_s` and `tilt_max_deg_s` at full speed.
A camera that tells degrees needs none of it. `endless`: pan has no stop. `zoom_ratio` is left out
where there is no zoom; `error_deg` is how far its word may be off. `profile` is the token of one of
its media profiles, the first one with a head where it is left out.

Presets are kept in the camera under the names `vigie-1` and up; a number that is none of ours
recalls the preset that the camera itself has under that token, and never overwrites it.

A move is always ended by Stop, since cameras are known to ignore a move's time-out; the longest one
that it takes is sent along, so that it stops some day if nobody can tell it.
"""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import msgspec

from drivers.angles import wrap_deg
from drivers.contracts import Aux, Pose, PtzAbilities, PtzPosition, Range, Velocity
from drivers.errors import DriverError
from drivers.onvif.access import Access, Timeout, Url, check_pair
from drivers.onvif.client import OnvifClient
from drivers.onvif.spaces import (
    AUX_COMMANDS,
    GENERIC_SPEED,
    ZOOM_POSITION,
    ZOOM_VELOCITY,
    Node,
    find,
    places,
    pose_of,
    position_of,
    rates,
    read_node,
    velocity_of,
)

log = logging.getLogger(__name__)

MOST_PRESETS = 255
LONGEST_MOVE_S = 120
"""No longer time-out of a move is asked for."""
NEAR_ZOOM = 0.03

Degrees = Annotated[float, msgspec.Meta(gt=0, le=1000)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the camera is, and what its shares are in degrees."""

    url: Url
    username: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    password_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    timeout_s: Timeout = 2.0
    profile: str | None = None
    pan_deg: Range | None = None
    tilt_deg: Range | None = None
    endless: bool = False
    pan_max_deg_s: Degrees | None = None
    tilt_max_deg_s: Degrees | None = None
    zoom_ratio: Annotated[float, msgspec.Meta(ge=1, le=100)] = 1.0
    error_deg: Annotated[float, msgspec.Meta(gt=0, le=180)] = 1.0

    def __post_init__(self) -> None:
        """Refuse what no single field can tell."""
        check_pair(self.username, self.password_file)
        for name in ("pan_deg", "tilt_deg"):
            span: Range | None = getattr(self, name)
            if span is not None and span.low == span.high:
                raise ValueError(f"{name}: low and high are both {span.low}")

    @property
    def access(self) -> Access:
        """How the camera is reached."""
        return Access(
            url=self.url,
            username=self.username,
            password_file=self.password_file,
            timeout_s=self.timeout_s,
        )


class _Told(msgspec.Struct, frozen=True):
    """What the head was last told: to rest, to drive, or to go somewhere, to `target` where that is
    known. `seen` is where it was when it was asked last.
    """

    drives: bool = False
    goes: bool = False
    target: Pose | None = None
    seen: Pose | None = None


def open_ptz(name: str, options: Options, clock_ns: Callable[[], int]) -> "OnvifHead":
    """Connect and ask what the head can do. Raises DriverError; `unsupported` where the camera has
    no head, or one that has to be declared.
    """
    client = OnvifClient(f"head {name!r}", options.access)
    try:
        return OnvifHead(client, options, clock_ns)
    except DriverError:
        client.close()
        raise


class OnvifHead:
    """The head."""

    def __init__(self, client: OnvifClient, options: Options, clock_ns: Callable[[], int]) -> None:
        self._client = client
        self._options = options
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._told = _Told()
        self._tokens: dict[int, str] = {}
        self._closed = False
        profile = self._find_profile()
        self._profile = str(profile.token)
        node = self._find_node(profile.PTZConfiguration.NodeToken)
        self._longest = self._longest_move(profile.PTZConfiguration.token)
        try:
            self._rates = rates(node, options.pan_max_deg_s, options.tilt_max_deg_s)
            self._places = places(node, options.pan_deg, options.tilt_deg)
        except ValueError as error:
            raise DriverError("unsupported", f"{client.what}: {error}") from error
        if not self._places:
            raise DriverError("unsupported", f"{client.what}: it cannot be sent to a position")
        self._zooms = options.zoom_ratio > 1
        if self._zooms and not (
            find(node.zoom_positions, ZOOM_POSITION) and find(node.zoom_velocities, ZOOM_VELOCITY)
        ):
            raise DriverError(
                "unsupported", f"{client.what}: zoom_ratio is given, and it has no zoom"
            )
        self._has_speeds = find(node.speeds, GENERIC_SPEED) is not None
        self._abilities = self._able(node)

    @property
    def abilities(self) -> PtzAbilities:
        """What its node says, in the degrees that it says or that were declared."""
        return self._abilities

    def move(self, velocity: Velocity) -> None:
        """Move at this velocity from now on; all zeros is `stop`."""
        self._needs(velocity.focus == 0, "focus")
        self._needs(velocity.zoom == 0 or self._zooms, "zoom")
        if velocity == Velocity():
            self.stop()
            return
        self._tell(_Told(drives=True))
        told = {} if self._longest is None else {"Timeout": self._longest}
        self._ask(
            "ContinuousMove", Velocity=velocity_of(self._rates, velocity, zoom=self._zooms), **told
        )

    def stop(self) -> None:
        """Stop all motion."""
        self._ask("Stop", PanTilt=True, Zoom=True)
        self._tell(_Told())

    def goto(self, pose: Pose, speed: float) -> None:
        """Begin to go to a pose."""
        self._needs(pose.zoom == 0 or self._zooms, "zoom")
        vector = position_of(self._places[0], pose, zoom=self._zooms)
        self._tell(_Told(goes=True, target=self._reachable(pose)))
        told: dict[str, Any] = {}
        if self._has_speeds:
            share = min(1.0, max(0.0, speed))
            told["Speed"] = {"PanTilt": {"x": share, "y": share, "space": GENERIC_SPEED}}
        self._ask("AbsoluteMove", Position=vector, **told)

    def position(self) -> PtzPosition:
        """Where it says that it is."""
        with self._lock:
            before = self._told
        status = self._ask("GetStatus")
        t_ns = self._clock_ns()
        pose = pose_of(self._places, getattr(status, "Position", None))
        if pose is None:
            raise DriverError("protocol", f"{self._client.what}: it does not say where it is")
        moving, told = self._judge(before, pose, busy=_busy(status))
        with self._lock:
            if self._told is before:  # else it was told something else meanwhile
                self._told = told
        return PtzPosition(pose=pose, error_deg=self._options.error_deg, moving=moving, t_ns=t_ns)

    def store_preset(self, number: int) -> None:
        """Keep the present place in the camera, as `vigie-<number>`."""
        self._needs(1 <= number <= self._abilities.presets, f"preset {number}")
        name = f"vigie-{number}"
        ours = {str(preset.Name): preset.token for preset in self._presets()}
        token = self._tokens.get(number) or ours.get(name)
        told = {} if token is None else {"PresetToken": token}
        self._tokens[number] = str(self._ask("SetPreset", PresetName=name, **told))

    def recall_preset(self, number: int) -> None:
        """Begin to go to `vigie-<number>`, or to the camera's own preset of that token."""
        self._needs(1 <= number <= self._abilities.presets, f"preset {number}")
        there = self._presets()
        by_token = {str(preset.token): preset for preset in there}
        by_name = {str(preset.Name): preset for preset in there}
        preset = (
            by_token.get(self._tokens.get(number, ""))
            or by_name.get(f"vigie-{number}")
            or by_token.get(str(number))
        )
        if preset is None:
            raise DriverError("unsupported", f"{self._client.what}: it has no preset {number}")
        target = pose_of(self._places, preset.PTZPosition)
        self._tell(_Told(goes=True, target=target))
        self._ask("GotoPreset", PresetToken=preset.token)

    def switch(self, aux: Aux, *, on: bool) -> None:
        """Switch the wiper, the heater or the lamp."""
        self._needs(aux in self._abilities.aux, aux)
        word = f"{AUX_COMMANDS[aux]}|{'On' if on else 'Off'}"
        self._ask("SendAuxiliaryCommand", AuxiliaryData=word)

    def close(self) -> None:
        """Stop, and let go of the connection. A second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            self.stop()
        except DriverError as error:
            log.warning("not stopped before it was let go: %s", error)
        finally:
            self._client.close()

    def _ask(self, operation: str, **arguments: Any) -> Any:
        return self._client.call("ptz", operation, ProfileToken=self._profile, **arguments)

    def _tell(self, told: _Told) -> None:
        with self._lock:
            self._told = told

    def _judge(self, told: _Told, pose: Pose, *, busy: bool | None) -> tuple[bool, _Told]:
        """Whether it moves, and what it has still to do.

        Cameras tell that they are idle before they have begun, and some never tell that they move:
        it has arrived when it is where it was sent, or, where nobody knows that, when it was twice
        in a row found idle at the same place.
        """
        if told.drives:
            return True, told
        if told.goes:
            if told.target is not None:
                arrived = not busy and self._is_near(pose, told.target)
            else:
                arrived = not busy and told.seen is not None and self._is_near(pose, told.seen)
            if arrived:
                return False, _Told()
            return True, msgspec.structs.replace(told, seen=pose)
        return bool(busy), told

    def _is_near(self, one: Pose, other: Pose) -> bool:
        most_deg = self._options.error_deg
        return (
            abs(wrap_deg(one.pan_deg - other.pan_deg)) <= most_deg
            and abs(one.tilt_deg - other.tilt_deg) <= most_deg
            and abs(one.zoom - other.zoom) <= NEAR_ZOOM
        )

    def _reachable(self, pose: Pose) -> Pose:
        """The nearest that the head can do."""
        place = self._places[0]
        return Pose(
            pan_deg=wrap_deg(place.pan.from_raw(place.pan.to_raw(pose.pan_deg))),
            tilt_deg=place.tilt.from_raw(place.tilt.to_raw(pose.tilt_deg)),
            zoom=pose.zoom if self._zooms else 0.0,
        )

    def _presets(self) -> list[Any]:
        return list(self._ask("GetPresets") or ())

    def _find_profile(self) -> Any:
        if not self._client.has("ptz"):
            raise DriverError("unsupported", f"{self._client.what}: it has no head")
        profiles = self._client.call("media", "GetProfiles") or ()
        able = [profile for profile in profiles if profile.PTZConfiguration is not None]
        wanted = self._options.profile
        for profile in able:
            if wanted in (None, profile.token):
                return profile
        tokens = ", ".join(str(profile.token) for profile in able) or "none has a head"
        raise DriverError(
            "unsupported",
            f"{self._client.what}: no profile {wanted!r} with a head; there: {tokens}",
        )

    def _find_node(self, token: str) -> Node:
        nodes = self._client.call("ptz", "GetNodes") or ()
        for node in nodes:
            if node.token == token or len(nodes) == 1:
                return read_node(node)
        raise DriverError(
            "protocol", f"{self._client.what}: its profile's node {token!r} is missing"
        )

    def _longest_move(self, token: str) -> timedelta | None:
        """The longest time-out that a move may have, None where the camera does not tell."""
        try:
            told = self._client.call("ptz", "GetConfigurationOptions", ConfigurationToken=token)
        except DriverError as error:
            if error.kind not in ("unsupported", "protocol"):
                raise
            return None
        most = getattr(getattr(told, "PTZTimeout", None), "Max", None)
        if not isinstance(most, timedelta):
            return None
        return min(most, timedelta(seconds=LONGEST_MOVE_S))

    def _able(self, node: Node) -> PtzAbilities:
        place, endless = self._places[0], self._options.endless
        return PtzAbilities(
            absolute=True,
            pan_deg=None if endless else _span(place.pan.least, place.pan.most),
            tilt_deg=_span(place.tilt.least, place.tilt.most),
            pan_max_deg_s=self._rates.pan_max_deg_s,
            tilt_max_deg_s=self._rates.tilt_max_deg_s,
            zoom_ratio=self._options.zoom_ratio,
            presets=min(node.presets, MOST_PRESETS),
            aux=node.aux,
        )

    def _needs(self, able: bool, what: str) -> None:  # noqa: FBT001 - an assertion reads so
        if not able:
            raise DriverError("unsupported", f"{self._client.what}: it has no {what}")


def _span(least: float, most: float) -> Range:
    return Range(low=min(least, most), high=max(least, most))


def _busy(status: Any) -> bool | None:
    """Whether the camera says that it moves; None where it does not say."""
    told = getattr(status, "MoveStatus", None)
    words = {str(word) for word in (told and told.PanTilt, told and told.Zoom) if word}
    if "MOVING" in words:
        return True
    return False if words == {"IDLE"} else None
