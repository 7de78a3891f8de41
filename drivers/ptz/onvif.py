"""The built-in head of a network camera: ONVIF's PTZ service.

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

Most cameras report positions and speeds as shares of -1..1. Their values in degrees are declared
here, from the data sheet: `pan_deg` and `tilt_deg` at the ends of the range (`low` at -1, and above
`high` if it counts the other way), `pan_max_deg_s` and `tilt_max_deg_s` at full speed. A camera that
reports degrees needs none of it. `continuous_pan`: pan has no end stop. `zoom_ratio` is left out if there is
no zoom. `profile` is the token of one of its media profiles, by default the first one with a head.

A camera that reports its position may be off by `error_deg`. For one that does not, and takes no
positions, the position is estimated: `speed_error` is the share by which its speeds may be wrong,
`lag_s` the time from a command to the motion, `zoom_travel_s` from wide to tele, and `preset_deg_s`
the lowest speed on the way to a preset.

Presets are stored in the camera under the names `vigie-1` and up; any other number recalls the
preset that the camera itself has under that token, and never overwrites it.

A move is always ended by Stop, since cameras are known to ignore the timeout of a move; the longest
timeout that the camera allows is sent too, so that it stops at last if the connection is lost.
"""

import logging
import threading
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from drivers.axis_reckoning import AxisLimits
from drivers.commanded_speed import CommandedSpeed, position_error_deg
from drivers.contracts import FRACTION, Aux, Pose, PtzCapabilities, PtzPosition, Range, Velocity
from drivers.dead_reckoning import DeadReckoning, OrderOutcome, PendingOrder, Speeds
from drivers.errors import DriverError
from drivers.onvif.client import OnvifClient
from drivers.onvif.coordinate_spaces import (
    AUX_COMMANDS,
    GENERIC_SPEED,
    ZOOM_POSITION,
    ZOOM_VELOCITY,
    find_space,
    from_ptz_vector,
    nearest_pose,
    position_spaces,
    to_ptz_speed,
    to_ptz_vector,
    velocity_space,
)
from drivers.onvif.credentials import OnvifAccess, Timeout, Url, require_both_or_neither
from drivers.onvif.move_status import ArrivalDetector
from drivers.onvif.operations import CameraPreset, Order, PtzNode
from drivers.ptz_checks import check_aux, check_pose, check_preset, check_velocity

log = logging.getLogger(__name__)

MAX_PRESETS = 255
NO_SPEEDS: Speeds = (0.0, 0.0, 0.0)

SpeedDegS = Annotated[float, msgspec.Meta(gt=0, le=720)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The address of the camera, and its shares in degrees."""

    url: Url
    username: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    password_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    timeout_s: Timeout = 2.0
    profile: str | None = None
    pan_deg: Range | None = None
    tilt_deg: Range | None = None
    continuous_pan: bool = False
    pan_max_deg_s: SpeedDegS | None = None
    tilt_max_deg_s: SpeedDegS | None = None
    zoom_ratio: Annotated[float, msgspec.Meta(ge=1, le=100)] = 1.0
    error_deg: Annotated[float, msgspec.Meta(gt=0, le=180)] = 1.0
    speed_error: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    lag_s: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.5
    zoom_travel_s: Annotated[float, msgspec.Meta(gt=0, le=120)] | None = None
    preset_deg_s: SpeedDegS | None = None

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        require_both_or_neither(self.username, self.password_file)
        for name in ("pan_deg", "tilt_deg"):
            span: Range | None = getattr(self, name)
            if span is not None and span.low == span.high:
                raise ValueError(f"{name}: low and high are both {span.low}")

    @property
    def access(self) -> OnvifAccess:
        """The address and the credentials of the camera."""
        return OnvifAccess(
            url=self.url,
            username=self.username,
            password_file=self.password_file,
            timeout_s=self.timeout_s,
        )


def open_ptz(name: str, options: Options, clock_ns: Callable[[], int]) -> "OnvifHead":
    """Connect and query the head's capabilities.

    Raises: DriverError; `unsupported` if the camera has no head, or options are missing for it.
    """
    client = OnvifClient(f"head {name!r}", options.access)
    try:
        return OnvifHead(client, options, clock_ns)
    except DriverError:
        client.close()
        raise


class OnvifHead:
    """The head. Its camera reports the position, or it is estimated."""

    def __init__(self, client: OnvifClient, options: Options, clock_ns: Callable[[], int]) -> None:
        self._client = client
        self._options = options
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._closed = False
        head = client.read_head_profile(options.profile)
        self._profile, self._max_move_s = head.token, head.max_move_s
        self._presets = CameraPresets(client, head.token)
        self._has_zoom = options.zoom_ratio > 1
        self._has_speeds = find_space(head.node.speeds, GENERIC_SPEED) is not None
        try:
            self._velocity_space = velocity_space(
                head.node, options.pan_max_deg_s, options.tilt_max_deg_s
            )
            self._position_spaces = position_spaces(head.node, options.pan_deg, options.tilt_deg)
            self._check_declared(head.node)
            self._capabilities = self._read_capabilities(head.node)
        except ValueError as error:
            raise DriverError("unsupported", f"{client.display_name}: {error}") from error
        self._arrival_detector = ArrivalDetector(options.error_deg)
        self._reckoning = self._new_reckoning(clock_ns())
        self._commanded_speed = CommandedSpeed(2 * options.lag_s)

    @property
    def capabilities(self) -> PtzCapabilities:
        """The capabilities of its node, in its own degrees or the declared ones."""
        return self._capabilities

    def move(self, velocity: Velocity) -> None:
        """Move at this velocity from now on; all zeros is `stop`."""
        check_velocity(self._client.display_name, self._capabilities, velocity)
        if velocity == Velocity():
            self.stop()
            return
        self._arrival_detector.on_drive()
        speeds = self._to_speeds(velocity)
        self._start_motion(
            "ContinuousMove",
            max(abs(speeds[0]), abs(speeds[1])),
            self._begin_order(speeds),
            move_timeout_s=self._max_move_s,
            Velocity=to_ptz_speed(self._velocity_space, velocity, zoom=self._has_zoom),
        )

    def stop(self) -> None:
        """Stop all motion."""
        self._send_order("Stop", 0.0, self._begin_order(NO_SPEEDS), PanTilt=True, Zoom=True)
        self._arrival_detector.on_stop()

    def goto(self, pose: Pose, speed: float) -> None:
        """Begin to go to a pose."""
        check_pose(self._client.display_name, self._capabilities, pose)
        position_space = self._position_spaces[0]
        arguments: dict[str, Any] = {
            "Position": to_ptz_vector(position_space, pose, zoom=self._has_zoom)
        }
        if self._has_speeds:
            fraction = FRACTION.clamp(speed)
            arguments["Speed"] = {"PanTilt": {"x": fraction, "y": fraction, "space": GENERIC_SPEED}}
        self._arrival_detector.on_goto(nearest_pose(position_space, pose))
        self._start_motion("AbsoluteMove", self._max_speed_deg_s, None, **arguments)

    def read_position(self) -> PtzPosition:
        """Return the position: queried, or estimated."""
        if not self._capabilities.absolute:
            return self._estimated_position()
        query_ns = self._clock_ns()
        status = self._client.read_status(self._profile)
        reply_ns = self._clock_ns()
        pose = from_ptz_vector(self._position_spaces, status.position)
        if pose is None:
            raise DriverError(
                "protocol", f"{self._client.display_name}: it does not report its position"
            )
        is_moving = self._arrival_detector.is_moving(pose, busy=status.is_busy)
        with self._lock:
            max_speed_deg_s = self._commanded_speed.max_speed_deg_s(query_ns) if is_moving else 0.0
        return PtzPosition(
            pose=pose,
            error_deg=position_error_deg(
                self._options.error_deg, max_speed_deg_s, query_ns, reply_ns
            ),
            moving=is_moving,
            t_ns=query_ns,
        )

    def store_preset(self, number: int) -> None:
        """Store the present position in the camera, as `vigie-<number>`."""
        check_preset(self._client.display_name, self._capabilities, number)
        token = self._presets.own_token(number)
        try:
            self._presets.store(number, token)
        except DriverError as error:
            if error.kind != "unsupported":
                with self._lock:
                    self._reckoning.forget_preset(number)
            raise
        with self._lock:
            self._reckoning.on_preset_stored(number, self._clock_ns())

    def goto_preset(self, number: int) -> None:
        """Begin to go to `vigie-<number>`, or to the camera's own preset of that token."""
        check_preset(self._client.display_name, self._capabilities, number)
        preset = self._presets.find(number)
        if preset is None:
            raise DriverError(
                "unsupported", f"{self._client.display_name}: it has no preset {number}"
            )
        self._arrival_detector.on_goto(from_ptz_vector(self._position_spaces, preset.position))
        preset_speed_deg_s = self._options.preset_deg_s or 1.0
        speeds = (preset_speed_deg_s, preset_speed_deg_s, 1 / (self._options.zoom_travel_s or 1.0))
        self._start_motion(
            "GotoPreset",
            self._max_speed_deg_s,
            self._begin_order(speeds, number),
            PresetToken=preset.token,
        )

    def set_aux(self, aux: Aux, *, on: bool) -> None:
        """Switch the wiper, the heater or the lamp."""
        check_aux(self._client.display_name, self._capabilities, aux)
        command = f"{AUX_COMMANDS[aux]}|{'On' if on else 'Off'}"
        self._client.send_order(self._profile, "SendAuxiliaryCommand", AuxiliaryData=command)

    def close(self) -> None:
        """Stop, and close the connection. A second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            self.stop()
        except DriverError as error:
            log.warning("not stopped before it was closed: %s", error)
        finally:
            self._client.close()

    def _start_motion(
        self, operation: Order, speed_deg_s: float, order: PendingOrder | None, **arguments: Any
    ) -> None:
        """Send a motion. If that fails, only the camera's own report says whether it moves."""
        try:
            self._send_order(operation, speed_deg_s, order, **arguments)
        except DriverError:
            self._arrival_detector.on_stop()
            raise

    def _begin_order(self, speeds: Speeds, preset: int | None = None) -> PendingOrder:
        with self._lock:
            return self._reckoning.begin_order(speeds, self._clock_ns(), preset)

    @property
    def _max_speed_deg_s(self) -> float:
        return max(self._capabilities.pan_max_deg_s, self._capabilities.tilt_max_deg_s)

    def _send_order(
        self, operation: Order, speed_deg_s: float, order: PendingOrder | None, **arguments: Any
    ) -> None:
        """Send an order at a speed, and note its outcome for the estimate.

        A camera that does not answer, or not in ONVIF, may have executed it.
        """
        speed_deg_s *= 1 + self._options.speed_error
        with self._lock:
            self._commanded_speed.begin_order(speed_deg_s)
        outcome: OrderOutcome = "lost"
        try:
            self._client.send_order(self._profile, operation, **arguments)
            outcome = "heard"
        except DriverError as error:
            if error.kind == "unsupported":
                outcome = "refused"
            raise
        finally:
            with self._lock:
                if outcome == "heard":
                    self._commanded_speed.confirm_order(speed_deg_s, self._clock_ns())
                if order is not None:
                    self._reckoning.settle_order(outcome, order, self._clock_ns())

    def _estimated_position(self) -> PtzPosition:
        try:
            self._client.read_status(self._profile)  # raises if the camera is gone
        except DriverError as error:
            if error.kind not in ("unsupported", "protocol"):
                raise
        with self._lock:
            return self._reckoning.position_at(self._clock_ns())

    def _check_declared(self, node: PtzNode) -> None:
        """Raises: ValueError if an option is missing that the camera does not report."""
        options, is_estimated = self._options, not self._position_spaces
        has_zoom = find_space(node.zoom_velocities, ZOOM_VELOCITY) is not None and (
            is_estimated or find_space(node.zoom_positions, ZOOM_POSITION) is not None
        )
        if self._has_zoom and not has_zoom:
            raise ValueError("zoom_ratio is given, and it has no zoom")
        if not is_estimated:
            return
        for name, is_required in (
            ("tilt_deg", True),
            ("pan_deg", not options.continuous_pan),
            ("zoom_travel_s", self._has_zoom),
            ("preset_deg_s", node.presets > 0),
        ):
            if is_required and getattr(options, name) is None:
                raise ValueError(f"it does not report its position; to estimate it, give {name}")

    def _read_capabilities(self, node: PtzNode) -> PtzCapabilities:
        options = self._options
        pan, tilt = options.pan_deg, options.tilt_deg
        if self._position_spaces:
            first = self._position_spaces[0]
            pan = Range(low=first.pan.low_value, high=first.pan.high_value)
            tilt = Range(low=first.tilt.low_value, high=first.tilt.high_value)
        if tilt is None:
            raise ValueError("tilt_deg is missing")
        return PtzCapabilities(
            absolute=bool(self._position_spaces),
            pan_deg=None if options.continuous_pan or pan is None else _ordered_range(pan),
            tilt_deg=_ordered_range(tilt),
            pan_max_deg_s=self._velocity_space.pan_max_deg_s,
            tilt_max_deg_s=self._velocity_space.tilt_max_deg_s,
            zoom_ratio=options.zoom_ratio,
            presets=min(node.presets, MAX_PRESETS),
            aux=node.aux,
        )

    def _new_reckoning(self, t_ns: int) -> DeadReckoning:
        def limits(span: Range | None) -> AxisLimits:
            return AxisLimits(
                span=span, speed_error=self._options.speed_error, lag_s=self._options.lag_s
            )

        return DeadReckoning(
            pan=limits(self._capabilities.pan_deg),
            tilt=limits(self._capabilities.tilt_deg),
            zoom=limits(FRACTION),
            references={},
            t_ns=t_ns,
        )

    def _to_speeds(self, velocity: Velocity) -> Speeds:
        capabilities = self._capabilities
        return (
            _clamp_speed(velocity.pan_deg_s, capabilities.pan_max_deg_s),
            _clamp_speed(velocity.tilt_deg_s, capabilities.tilt_max_deg_s),
            velocity.zoom / (self._options.zoom_travel_s or 1.0),
        )


def _clamp_speed(deg_s: float, max_deg_s: float) -> float:
    return Range(low=-max_deg_s, high=max_deg_s).clamp(deg_s)


def _ordered_range(span: Range) -> Range:
    return Range(low=min(span.low, span.high), high=max(span.low, span.high))


class CameraPresets:
    """Presets that the camera stores, by a media profile: numbers of the agent, names and tokens of the camera."""

    def __init__(self, client: OnvifClient, profile: str) -> None:
        self._client = client
        self._profile = profile
        self._tokens: dict[int, str] = {}
        """The tokens of the presets that were stored since the connection."""

    def own_token(self, number: int) -> str | None:
        """Return the token of `vigie-<number>`, or None if the camera does not have it."""
        own_presets = {preset.name: preset.token for preset in self._read()}
        return self._tokens.get(number) or own_presets.get(_preset_name(number))

    def store(self, number: int, token: str | None) -> None:
        """Store the present position as `vigie-<number>`, in place of the one with the token."""
        self._tokens[number] = self._client.store_preset(self._profile, _preset_name(number), token)

    def find(self, number: int) -> CameraPreset | None:
        """Return `vigie-<number>`, or the camera's own preset of that token, or None."""
        presets = self._read()
        by_token = {preset.token: preset for preset in presets}
        by_name = {preset.name: preset for preset in presets}
        return (
            by_token.get(self._tokens.get(number, ""))
            or by_name.get(_preset_name(number))
            or by_token.get(str(number))
        )

    def _read(self) -> tuple[CameraPreset, ...]:
        return self._client.read_presets(self._profile)


def _preset_name(number: int) -> str:
    return f"vigie-{number}"
