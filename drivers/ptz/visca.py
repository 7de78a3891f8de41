"""A camera on a pan-tilt head with VISCA, over a serial line or TCP.

```toml
[[head]]
name = "mast"
driver = "visca"

[head.options]
port = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"
baud = 9600
address = 1
model = "ptzoptics"
zoom_ratio = 20
```

Over TCP: `port = "socket://camera.example:5678"`. All options: `drivers.visca_options.Options`.
"""

import contextlib
import threading
from collections.abc import Callable

from drivers import visca_codec as visca
from drivers.angles import wrap_deg
from drivers.contracts import FRACTION, Aux, Pose, PtzCapabilities, PtzPosition, Velocity
from drivers.errors import DriverError
from drivers.media import NS_PER_S
from drivers.pan_range import unwrap_pan_deg
from drivers.ptz_checks import check_aux, check_pose, check_preset, check_velocity
from drivers.visca_models import nearest_step
from drivers.visca_options import Options
from drivers.visca_session import InquiryReply, ViscaSession
from drivers.visca_sockets import SentCommand

REST_AFTER_S = 0.2
"""After a stop or an arrival, a position that is unchanged for this long: the head rests."""
BLOCKED_AFTER_S = 2.0
"""The same during a motion: the head is blocked, or the message of its arrival was lost."""

__all__ = ["Options", "ViscaHead", "open_ptz"]


def open_ptz(name: str, options: Options, clock_ns: Callable[[], int]) -> "ViscaHead":
    """Open the head on its bus. Raises: DriverError as `SerialBuses.attach`."""
    return ViscaHead(name, options, clock_ns)


class ViscaHead:
    """One camera on its line."""

    def __init__(self, name: str, options: Options, clock_ns: Callable[[], int]) -> None:
        self._display_name = f"head {name!r}"
        self._specs = options.specs
        self._capabilities = self._specs.capabilities
        self._address = options.address
        self._reply_timeout_s = options.reply_timeout_s
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._is_ordered = self._is_driving = self._is_zooming = self._is_focusing = False
        self._is_autofocus: bool | None = None
        """The focus mode that the camera has answered; None if it is unknown."""
        self._goto_commands: tuple[SentCommand, ...] = ()
        self._last_counts: tuple[int, int, int] | None = None
        self._last_counts_ns = 0
        self._session = ViscaSession(name, options, clock_ns)

    @property
    def capabilities(self) -> PtzCapabilities:
        """The capabilities by the options and the model."""
        return self._capabilities

    def move(self, velocity: Velocity) -> None:
        """Move at the nearest speeds that it has."""
        check_velocity(self._display_name, self._capabilities, velocity)
        if velocity == Velocity():
            self.stop()
            return
        address, specs = self._address, self._specs
        pan = nearest_step(velocity.pan_deg_s, specs.pan_speeds_deg_s)
        tilt = nearest_step(velocity.tilt_deg_s, specs.tilt_speeds_deg_s)
        zoom, focus = _to_lens_step(velocity.zoom), _to_lens_step(velocity.focus)
        frames = [*self._cancel_frames(), visca.pan_tilt_drive(address, pan, tilt)]
        with self._lock:
            if zoom or self._is_zooming:
                frames.append(visca.zoom_drive(address, zoom))
            if focus:
                frames += self._focus_mode_frames(on=False)
            if focus or self._is_focusing:
                frames.append(visca.focus_drive(address, focus))
            self._is_zooming, self._is_focusing = zoom != 0, focus != 0
            self._set_order(is_driving=True)
        self._send_motion(frames)

    def stop(self) -> None:
        """Stop all motion, also one that an earlier driver has begun.

        In autofocus the camera cannot execute the stop of its focus, which is ignored.
        """
        address = self._address
        frames = [*self._cancel_frames(), visca.pan_tilt_drive(address, 0, 0)]
        if self._has_zoom:
            frames.append(visca.zoom_drive(address, 0))
        if self._capabilities.focus:
            frames.append(visca.focus_drive(address, 0))
        with self._lock:
            self._is_zooming = self._is_focusing = False
            self._set_order(is_driving=False)
        self._session.stop(*frames)

    def goto(self, pose: Pose, speed: float) -> None:
        """Begin to go to a pose."""
        check_pose(self._display_name, self._capabilities, pose)
        address, specs = self._address, self._specs
        pan_deg = specs.pan_deg.clamp(unwrap_pan_deg(pose.pan_deg, specs.pan_deg))
        tilt_deg = specs.tilt_deg.clamp(pose.tilt_deg)
        absolute = visca.pan_tilt_absolute(
            address,
            round(pan_deg * specs.pan_units_per_deg),
            round(tilt_deg * specs.tilt_units_per_deg),
            pan_speed=nearest_step(speed * specs.pan_speeds_deg_s[-1], specs.pan_speeds_deg_s),
            tilt_speed=nearest_step(speed * specs.tilt_speeds_deg_s[-1], specs.tilt_speeds_deg_s),
        )
        zoom = visca.zoom_direct(address, round(FRACTION.clamp(pose.zoom) * specs.zoom_tele))
        self._send_goto(absolute, *([zoom] if self._has_zoom else []))

    def read_position(self) -> PtzPosition:
        """Query the position. A moving head may have moved on since it measured."""
        specs, query_ns = self._specs, self._clock_ns()
        reply = self._session.inquire(visca.pan_tilt_inquiry(self._address), 8)
        zoom = self._query_zoom() if self._has_zoom else 0
        pan, tilt = visca.parse_signed(reply.data[:4]), visca.parse_signed(reply.data[4:])
        if pan is None or tilt is None or zoom is None:
            raise DriverError(
                "protocol", f"{self._display_name}: answers {reply.data.hex(' ')}: no position"
            )
        with self._lock:
            is_moving = self._is_moving((pan, tilt, zoom), reply.t_ns)
        pose = Pose(
            pan_deg=wrap_deg(pan / specs.pan_units_per_deg),
            tilt_deg=tilt / specs.tilt_units_per_deg,
            zoom=min(zoom / specs.zoom_tele, 1.0),
        )
        return PtzPosition(
            pose=pose,
            error_deg=self._position_error_deg(reply, query_ns, is_moving),
            moving=is_moving,
            t_ns=reply.t_ns,
        )

    def store_preset(self, number: int) -> None:
        """Store the present position in its memory `number` - 1."""
        check_preset(self._display_name, self._capabilities, number)
        self._session.send_commands(visca.preset_store(self._address, number - 1), is_motion=False)

    def goto_preset(self, number: int) -> None:
        """Begin to go to a stored position."""
        check_preset(self._display_name, self._capabilities, number)
        self._send_goto(visca.preset_recall(self._address, number - 1))

    def set_aux(self, aux: Aux, *, on: bool) -> None:
        """Refuse: VISCA has no commands for auxiliaries."""
        check_aux(self._display_name, self._capabilities, aux)

    def close(self) -> None:
        """Stop, and detach from the bus."""
        with contextlib.suppress(DriverError):
            self.stop()
        self._session.close()

    @property
    def _has_zoom(self) -> bool:
        return self._capabilities.zoom_ratio > 1

    def _cancel_frames(self) -> list[bytes]:
        """Return the frames that cancel the motions in the camera's sockets."""
        return [visca.cancel(self._address, socket) for socket in self._session.busy_sockets]

    def _send_goto(self, *motions: bytes) -> None:
        """Send motions that end by themselves."""
        frames = self._cancel_frames()
        with self._lock:
            if self._capabilities.focus:
                frames += self._focus_mode_frames(on=True)
            self._is_zooming = self._is_focusing = False
            self._set_order(is_driving=False)
        commands = self._send_motion([*frames, *motions])
        with self._lock:
            self._goto_commands = tuple(command for command in commands if command.frame in motions)

    def _focus_mode_frames(self, *, on: bool) -> list[bytes]:
        """Return the frame that switches autofocus, unless that is done. The lock is held."""
        if self._is_autofocus is on:
            return []
        self._is_autofocus = None
        return [visca.autofocus(self._address, on=on)]

    def _send_motion(self, frames: list[bytes]) -> list[SentCommand]:
        """Send a motion, and note the focus mode that the camera has answered.

        A mode that it refuses counts too: otherwise each later motion would be refused for it.
        """
        try:
            commands = self._session.send_commands(*frames)
        except DriverError as error:
            if error.kind == "unsupported":
                self._note_focus_mode(frames)
            raise
        self._note_focus_mode([command.frame for command in commands])
        return commands

    def _note_focus_mode(self, answered_frames: list[bytes]) -> None:
        with self._lock:
            for on in (True, False):
                if visca.autofocus(self._address, on=on) in answered_frames:
                    self._is_autofocus = on

    def _set_order(self, *, is_driving: bool) -> None:
        self._is_ordered, self._is_driving, self._goto_commands, self._last_counts = (
            True,
            is_driving,
            (),
            None,
        )

    def _is_moving(self, counts: tuple[int, int, int], t_ns: int) -> bool:
        """Return whether the head, which reports `counts`, is not known to be done."""
        if self._last_counts != counts:
            self._last_counts, self._last_counts_ns = counts, t_ns
        is_executing = any(
            command.state in {"sent", "executing"} for command in self._goto_commands
        )
        rest_after_s = BLOCKED_AFTER_S if is_executing or self._is_driving else REST_AFTER_S
        if (t_ns - self._last_counts_ns) / NS_PER_S >= rest_after_s:
            self._is_ordered = False
        return self._is_ordered

    def _query_zoom(self) -> int | None:
        return visca.parse_unsigned(
            self._session.inquire(visca.zoom_inquiry(self._address), 4).data
        )

    def _position_error_deg(self, reply: InquiryReply, query_ns: int, is_moving: bool) -> float:  # noqa: FBT001
        """Return one unit, and the way that it may have moved between measuring and answering."""
        specs = self._specs
        unit_deg = 1 / min(specs.pan_units_per_deg, specs.tilt_units_per_deg)
        if not is_moving:
            return unit_deg
        max_speed_deg_s = max(self._capabilities.pan_max_deg_s, self._capabilities.tilt_max_deg_s)
        return unit_deg + max_speed_deg_s * min(
            (reply.t_ns - query_ns) / NS_PER_S, self._reply_timeout_s
        )


def _to_lens_step(fraction: float) -> int:
    """Return the nearest of the lens's speeds, signed; any motion is at least one step."""
    if fraction == 0:
        return 0
    step = max(round(min(abs(fraction), 1.0) * visca.MAX_LENS_SPEED), 1)
    return step if fraction > 0 else -step
