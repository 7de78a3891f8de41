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
where there is no zoom. `profile` is the token of one of its media profiles, the first one with a
head where it is left out.

A camera that tells where it is may be off by `error_deg`. One that does not, and cannot be sent to a
position, is reckoned: `speed_error` is the share by which its speeds may be wrong, `lag_s` the time
from a command to the motion, `zoom_travel_s` from wide to tele, and `preset_deg_s` the speed at
which it goes to a preset at least.

Presets are kept in the camera under the names `vigie-1` and up; a number that is none of ours
recalls the preset that the camera itself has under that token, and never overwrites it.

A move is always ended by Stop, since cameras are known to ignore a move's time-out; the longest one
that it takes is sent along, so that it stops some day if nobody can tell it.
"""

import logging
import threading
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from drivers.angles import wrap_deg
from drivers.commanded_speed import ToldSpeed, error_deg
from drivers.contracts import Aux, Pose, PtzAbilities, PtzPosition, Range, Velocity
from drivers.dead_reckoning import AxisLimits, HeadReckoning, Outcome, Speeds, Word
from drivers.errors import DriverError
from drivers.onvif import head_profile
from drivers.onvif.client import OnvifClient
from drivers.onvif.coordinate_spaces import (
    AUX_COMMANDS,
    GENERIC_SPEED,
    ZOOM_POSITION,
    ZOOM_VELOCITY,
    Node,
    Places,
    find,
    places,
    pose_of,
    position_of,
    rates,
    velocity_of,
)
from drivers.onvif.credentials import Access, Timeout, Url, check_pair
from drivers.onvif.move_status import Arrival, is_busy

log = logging.getLogger(__name__)

MOST_PRESETS = 255
REST: Speeds = (0.0, 0.0, 0.0)

Speed = Annotated[float, msgspec.Meta(gt=0, le=720)]


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
    pan_max_deg_s: Speed | None = None
    tilt_max_deg_s: Speed | None = None
    zoom_ratio: Annotated[float, msgspec.Meta(ge=1, le=100)] = 1.0
    error_deg: Annotated[float, msgspec.Meta(gt=0, le=180)] = 1.0
    speed_error: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    lag_s: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.5
    zoom_travel_s: Annotated[float, msgspec.Meta(gt=0, le=120)] | None = None
    preset_deg_s: Speed | None = None

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
    """The head. Its camera tells where it is, or it is reckoned."""

    def __init__(self, client: OnvifClient, options: Options, clock_ns: Callable[[], int]) -> None:
        self._client = client
        self._options = options
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._closed = False
        self._tokens: dict[int, str] = {}
        told = head_profile.ask(client, options.profile)
        self._profile, self._longest_move = told.token, told.longest_move
        self._zooms = options.zoom_ratio > 1
        self._has_speeds = find(told.node.speeds, GENERIC_SPEED) is not None
        try:
            self._rates = rates(told.node, options.pan_max_deg_s, options.tilt_max_deg_s)
            self._places = places(told.node, options.pan_deg, options.tilt_deg)
            self._check(told.node)
            self._abilities = self._able(told.node)
        except ValueError as error:
            raise DriverError("unsupported", f"{client.what}: {error}") from error
        self._arrival = Arrival(options.error_deg)
        self._reckoning = self._reckon(clock_ns())
        self._speed = ToldSpeed(2 * options.lag_s)

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
        told = {} if self._longest_move is None else {"Timeout": self._longest_move}
        self._arrival.drives()
        speeds = self._speeds(velocity)
        self._order(
            "ContinuousMove",
            max(abs(speeds[0]), abs(speeds[1])),
            self._say(speeds),
            Velocity=velocity_of(self._rates, velocity, zoom=self._zooms),
            **told,
        )

    def stop(self) -> None:
        """Stop all motion."""
        self._tell("Stop", 0.0, self._say(REST), PanTilt=True, Zoom=True)
        self._arrival.stops()

    def goto(self, pose: Pose, speed: float) -> None:
        """Begin to go to a pose."""
        self._needs(self._abilities.absolute, "absolute position")
        self._needs(pose.zoom == 0 or self._zooms, "zoom")
        place = self._places[0]
        told: dict[str, Any] = {"Position": position_of(place, pose, zoom=self._zooms)}
        if self._has_speeds:
            share = min(1.0, max(0.0, speed))
            told["Speed"] = {"PanTilt": {"x": share, "y": share, "space": GENERIC_SPEED}}
        self._arrival.goes(_reachable(place, pose))
        self._order("AbsoluteMove", self._top_deg_s, None, **told)

    def position(self) -> PtzPosition:
        """Where it says that it is, or where it is reckoned to be."""
        if not self._abilities.absolute:
            return self._reckoned()
        asked_ns = self._clock_ns()
        status = self._ask("GetStatus")
        answered_ns = self._clock_ns()
        pose = pose_of(self._places, getattr(status, "Position", None))
        if pose is None:
            raise DriverError("protocol", f"{self._client.what}: it does not say where it is")
        moving = self._arrival.is_moving(pose, busy=is_busy(status))
        with self._lock:
            fastest_deg_s = self._speed.fastest_deg_s(asked_ns) if moving else 0.0
        return PtzPosition(
            pose=pose,
            error_deg=error_deg(self._options.error_deg, fastest_deg_s, asked_ns, answered_ns),
            moving=moving,
            t_ns=asked_ns,
        )

    def store_preset(self, number: int) -> None:
        """Keep the present place in the camera, as `vigie-<number>`."""
        self._needs(1 <= number <= self._abilities.presets, f"preset {number}")
        name = f"vigie-{number}"
        ours = {str(preset.Name): preset.token for preset in self._presets()}
        token = self._tokens.get(number) or ours.get(name)
        told = {} if token is None else {"PresetToken": token}
        try:
            self._tokens[number] = str(self._ask("SetPreset", PresetName=name, **told))
        except DriverError as error:
            if error.kind != "unsupported":
                with self._lock:
                    self._reckoning.forgotten(number)
            raise
        with self._lock:
            self._reckoning.stored(number, self._clock_ns())

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
        self._arrival.goes(pose_of(self._places, preset.PTZPosition))
        head_deg_s = self._options.preset_deg_s or 1.0
        speeds = (head_deg_s, head_deg_s, 1 / (self._options.zoom_travel_s or 1.0))
        self._order(
            "GotoPreset", self._top_deg_s, self._say(speeds, number), PresetToken=preset.token
        )

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

    def _order(self, operation: str, deg_s: float, word: Word | None, **arguments: Any) -> None:
        """Ask for a motion. Where that fails, the camera's own word says whether it moves."""
        try:
            self._tell(operation, deg_s, word, **arguments)
        except DriverError:
            self._arrival.stops()
            raise

    def _say(self, speeds: Speeds, number: int | None = None) -> Word:
        with self._lock:
            return self._reckoning.say(speeds, self._clock_ns(), number)

    @property
    def _top_deg_s(self) -> float:
        return max(self._abilities.pan_max_deg_s, self._abilities.tilt_max_deg_s)

    def _tell(self, operation: str, deg_s: float, word: Word | None, **arguments: Any) -> None:
        """Ask for something at that speed, and reckon with what becomes of the word. A camera whose
        answer does not come, or makes no sense, may have done it.
        """
        deg_s *= 1 + self._options.speed_error
        with self._lock:
            self._speed.telling(deg_s)
        outcome: Outcome = "lost"
        try:
            self._ask(operation, **arguments)
            outcome = "heard"
        except DriverError as error:
            if error.kind == "unsupported":
                outcome = "refused"
            raise
        finally:
            with self._lock:
                if outcome == "heard":
                    self._speed.told(deg_s, self._clock_ns())
                if word is not None:
                    self._reckoning.became(outcome, word, self._clock_ns())

    def _reckoned(self) -> PtzPosition:
        try:
            self._ask("GetStatus")  # whether anybody is there
        except DriverError as error:
            if error.kind not in ("unsupported", "protocol"):
                raise
        with self._lock:
            return self._reckoning.position(self._clock_ns())

    def _presets(self) -> list[Any]:
        return list(self._ask("GetPresets") or ())

    def _check(self, node: Node) -> None:
        """Raise ValueError, in words, for what was not declared and nobody can tell."""
        options, reckoned = self._options, not self._places
        has_zoom = find(node.zoom_velocities, ZOOM_VELOCITY) is not None and (
            reckoned or find(node.zoom_positions, ZOOM_POSITION) is not None
        )
        if self._zooms and not has_zoom:
            raise ValueError("zoom_ratio is given, and it has no zoom")
        if not reckoned:
            return
        for name, needed in (
            ("tilt_deg", True),
            ("pan_deg", not options.endless),
            ("zoom_travel_s", self._zooms),
            ("preset_deg_s", node.presets > 0),
        ):
            if needed and getattr(options, name) is None:
                raise ValueError(f"it does not tell where it is; reckoning needs {name}")

    def _able(self, node: Node) -> PtzAbilities:
        options = self._options
        pan, tilt = options.pan_deg, options.tilt_deg
        if self._places:
            first = self._places[0]
            pan = Range(low=first.pan.least, high=first.pan.most)
            tilt = Range(low=first.tilt.least, high=first.tilt.most)
        if tilt is None:
            raise ValueError("tilt_deg is missing")
        return PtzAbilities(
            absolute=bool(self._places),
            pan_deg=None if options.endless or pan is None else _upright(pan),
            tilt_deg=_upright(tilt),
            pan_max_deg_s=self._rates.pan_max_deg_s,
            tilt_max_deg_s=self._rates.tilt_max_deg_s,
            zoom_ratio=options.zoom_ratio,
            presets=min(node.presets, MOST_PRESETS),
            aux=node.aux,
        )

    def _reckon(self, t_ns: int) -> HeadReckoning:
        def limits(span: Range | None) -> AxisLimits:
            return AxisLimits(
                span=span, speed_error=self._options.speed_error, lag_s=self._options.lag_s
            )

        return HeadReckoning(
            pan=limits(self._abilities.pan_deg),
            tilt=limits(self._abilities.tilt_deg),
            zoom=limits(Range(low=0.0, high=1.0)),
            references={},
            t_ns=t_ns,
        )

    def _speeds(self, velocity: Velocity) -> Speeds:
        able = self._abilities
        return (
            min(able.pan_max_deg_s, max(-able.pan_max_deg_s, velocity.pan_deg_s)),
            min(able.tilt_max_deg_s, max(-able.tilt_max_deg_s, velocity.tilt_deg_s)),
            velocity.zoom / (self._options.zoom_travel_s or 1.0),
        )

    def _needs(self, able: bool, what: str) -> None:  # noqa: FBT001 - an assertion reads so
        if not able:
            raise DriverError("unsupported", f"{self._client.what}: it has no {what}")


def _reachable(place: Places, pose: Pose) -> Pose:
    """The nearest that the head can do."""
    return Pose(
        pan_deg=wrap_deg(place.pan.from_raw(place.pan.to_raw(pose.pan_deg))),
        tilt_deg=place.tilt.from_raw(place.tilt.to_raw(pose.tilt_deg)),
        zoom=pose.zoom,
    )


def _upright(span: Range) -> Range:
    return Range(low=min(span.low, span.high), high=max(span.low, span.high))
