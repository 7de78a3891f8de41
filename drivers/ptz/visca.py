"""A camera on a pan-tilt head that speaks VISCA, over a serial line or TCP.

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
from drivers.angles import nearest_deg, wrap_deg
from drivers.contracts import Aux, Pose, PtzAbilities, PtzPosition, Range, Velocity
from drivers.errors import DriverError
from drivers.visca_models import nearest_step
from drivers.visca_options import Options
from drivers.visca_session import Told, ViscaTalk
from drivers.visca_sockets import Command

NS_PER_S = 1_000_000_000
RESTS_AFTER_S = 0.2
"""Answers that have been the same for so long, once it was stopped or has arrived: it rests."""
HELD_AFTER_S = 2.0
"""The same while it should move: something holds it, or what it said of its arrival was lost."""

__all__ = ["Options", "ViscaHead", "open_ptz"]


def open_ptz(name: str, options: Options, clock_ns: Callable[[], int]) -> "ViscaHead":
    """Take a seat on the head's bus. Raises DriverError as `drivers.serial_bus.Buses.seat`."""
    return ViscaHead(name, options, clock_ns)


class ViscaHead:
    """One camera on its line."""

    def __init__(self, name: str, options: Options, clock_ns: Callable[[], int]) -> None:
        self._what = f"head {name!r}"
        self._build = options.build
        self._abilities = self._build.abilities
        self._address = options.address
        self._answer_s = options.reply_timeout_s
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._told = self._driving = self._zooming = self._focusing = self._manual = False
        self._going: tuple[Command, ...] = ()
        self._seen: tuple[int, int, int] | None = None
        self._seen_ns = 0
        self._talk = ViscaTalk(name, options, clock_ns)

    @property
    def abilities(self) -> PtzAbilities:
        """What its options and its model say."""
        return self._abilities

    def move(self, velocity: Velocity) -> None:
        """Move at the nearest speeds that it has."""
        self._needs(velocity.zoom == 0 or self._zooms, "zoom")
        self._needs(velocity.focus == 0 or self._abilities.focus, "focus")
        if velocity == Velocity():
            self.stop()
            return
        address, build = self._address, self._build
        pan = nearest_step(velocity.pan_deg_s, build.pan_speeds_deg_s)
        tilt = nearest_step(velocity.tilt_deg_s, build.tilt_speeds_deg_s)
        zoom, focus = _lens_step(velocity.zoom), _lens_step(velocity.focus)
        frames = [*self._cancels(), visca.pan_tilt_drive(address, pan, tilt)]
        with self._lock:
            if zoom or self._zooming:
                frames.append(visca.zoom_drive(address, zoom))
            if focus and not self._manual:
                frames.append(visca.autofocus(address, on=False))
            if focus or self._focusing:
                frames.append(visca.focus_drive(address, focus))
            self._zooming, self._focusing = zoom != 0, focus != 0
            self._manual = self._manual or self._focusing
            self._tell(driving=True)
        self._talk.order(*frames)

    def stop(self) -> None:
        """Stop all motion."""
        address = self._address
        frames = [*self._cancels(), visca.pan_tilt_drive(address, 0, 0)]
        if self._zooms:
            frames.append(visca.zoom_drive(address, 0))
        with self._lock:
            if self._focusing:
                frames.append(visca.focus_drive(address, 0))
            self._zooming = self._focusing = False
            self._tell(driving=False)
        self._talk.stop(*frames)

    def goto(self, pose: Pose, speed: float) -> None:
        """Begin to go to a pose."""
        self._needs(pose.zoom == 0 or self._zooms, "zoom")
        address, build = self._address, self._build
        pan_deg = _within(nearest_deg(pose.pan_deg, 0.0), build.pan_deg)
        tilt_deg = _within(pose.tilt_deg, build.tilt_deg)
        absolute = visca.pan_tilt_absolute(
            address,
            round(pan_deg * build.pan_units_per_deg),
            round(tilt_deg * build.tilt_units_per_deg),
            pan_speed=nearest_step(speed * build.pan_speeds_deg_s[-1], build.pan_speeds_deg_s),
            tilt_speed=nearest_step(speed * build.tilt_speeds_deg_s[-1], build.tilt_speeds_deg_s),
        )
        zoom = visca.zoom_direct(address, round(min(max(pose.zoom, 0), 1) * build.zoom_tele))
        self._go(absolute, *([zoom] if self._zooms else []))

    def position(self) -> PtzPosition:
        """Where it is, as it says. It may have moved on since it looked, while it moves."""
        build, asked_ns = self._build, self._clock_ns()
        told = self._talk.ask(visca.pan_tilt_inquiry(self._address), 8)
        zoom = self._ask_zoom() if self._zooms else 0
        pan, tilt = visca.signed(told.data[:4]), visca.signed(told.data[4:])
        if pan is None or tilt is None or zoom is None:
            raise DriverError("protocol", f"{self._what}: answers {told.data.hex(' ')}: no place")
        with self._lock:
            moving = self._moves((pan, tilt, zoom), told.t_ns)
        pose = Pose(
            pan_deg=wrap_deg(pan / build.pan_units_per_deg),
            tilt_deg=tilt / build.tilt_units_per_deg,
            zoom=min(zoom / build.zoom_tele, 1.0),
        )
        return PtzPosition(
            pose=pose,
            error_deg=self._error_deg(told, asked_ns, moving),
            moving=moving,
            t_ns=told.t_ns,
        )

    def store_preset(self, number: int) -> None:
        """Remember the present place: its memory `number` - 1."""
        self._needs(1 <= number <= self._abilities.presets, f"preset {number}")
        self._talk.order(visca.preset_store(self._address, number - 1), motion=False)

    def recall_preset(self, number: int) -> None:
        """Begin to go to a remembered place."""
        self._needs(1 <= number <= self._abilities.presets, f"preset {number}")
        self._go(visca.preset_recall(self._address, number - 1))

    def switch(self, aux: Aux, *, on: bool) -> None:
        """VISCA has no words for that."""
        raise DriverError("unsupported", f"{self._what}: it has no {aux}")

    def close(self) -> None:
        """Stop, and give up the seat on the bus."""
        with contextlib.suppress(DriverError):
            self.stop()
        self._talk.close()

    @property
    def _zooms(self) -> bool:
        return self._abilities.zoom_ratio > 1

    def _needs(self, able: bool, what: str) -> None:  # noqa: FBT001 - an assertion reads so
        if not able:
            raise DriverError("unsupported", f"{self._what}: it has no {what}")

    def _cancels(self) -> list[bytes]:
        """What breaks off the motions that fill the camera's sockets."""
        return [visca.cancel(self._address, socket) for socket in self._talk.executing]

    def _go(self, *motions: bytes) -> None:
        """Begin a motion that ends by itself."""
        frames = self._cancels()
        with self._lock:
            if self._manual:
                frames.append(visca.autofocus(self._address, on=True))
            self._zooming = self._focusing = self._manual = False
            self._tell(driving=False)
        commands = self._talk.order(*frames, *motions)
        with self._lock:
            self._going = tuple(command for command in commands if command.frame in motions)

    def _tell(self, *, driving: bool) -> None:
        self._told, self._driving, self._going, self._seen = True, driving, (), None

    def _moves(self, seen: tuple[int, int, int], t_ns: int) -> bool:
        """Whether it was told to move and is not known to have arrived, now that this is seen."""
        if self._seen != seen:
            self._seen, self._seen_ns = seen, t_ns
        going = any(command.state in {"sent", "executing"} for command in self._going)
        still_s = HELD_AFTER_S if going or self._driving else RESTS_AFTER_S
        if (t_ns - self._seen_ns) / NS_PER_S >= still_s:
            self._told = False
        return self._told

    def _ask_zoom(self) -> int | None:
        return visca.unsigned(self._talk.ask(visca.zoom_inquiry(self._address), 4).data)

    def _error_deg(self, told: Told, asked_ns: int, moving: bool) -> float:  # noqa: FBT001
        """One unit, and how far it may have gone between its look and what was heard of it."""
        build = self._build
        unit_deg = 1 / min(build.pan_units_per_deg, build.tilt_units_per_deg)
        if not moving:
            return unit_deg
        fastest_deg_s = max(self._abilities.pan_max_deg_s, self._abilities.tilt_max_deg_s)
        return unit_deg + fastest_deg_s * min((told.t_ns - asked_ns) / NS_PER_S, self._answer_s)


def _lens_step(share: float) -> int:
    """One of the lens's speeds, with the direction's sign; any motion at all is one step."""
    if share == 0:
        return 0
    step = max(round(min(abs(share), 1.0) * visca.TOP_LENS_SPEED), 1)
    return step if share > 0 else -step


def _within(angle_deg: float, span: Range) -> float:
    return min(max(angle_deg, span.low), span.high)
