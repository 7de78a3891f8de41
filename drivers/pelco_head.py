"""A pan-tilt head with a Pelco protocol: the common part of the drivers `pelco_d` and `pelco_p`."""

import contextlib
import threading
from collections.abc import Callable

from drivers.axis_reckoning import AxisLimits
from drivers.commanded_speed import CommandedSpeed, position_error_deg
from drivers.contracts import FRACTION, Aux, Pose, PtzCapabilities, PtzPosition, Range, Velocity
from drivers.dead_reckoning import DeadReckoning
from drivers.errors import DriverError
from drivers.pelco_codec import (
    STOP_MOTION,
    TOP_SPEED,
    AddressedMessage,
    AuxSwitch,
    PelcoAxis,
    PelcoDecoder,
    PelcoDialect,
    PelcoMessage,
    PelcoMotion,
    PositionCommand,
    PositionQuery,
    PositionReport,
    PresetAction,
    encode_frame,
)
from drivers.pelco_options import PelcoOptions
from drivers.pelco_position import PelcoArrivalDetector, to_counts, to_pose
from drivers.ptz_checks import check_aux, check_pose, check_preset, check_velocity
from drivers.serial_bus import BUSES

QUERY_ATTEMPTS = 2
"""A query moves nothing, so it may be sent twice."""
STOP_REPEATS = 2
"""A head that does not answer gives no sign that it missed the stop: it is sent twice."""
REPORT_ERROR_DEG = 0.1
"""The error of a report: heads count in hundredths of a degree, their gears do not."""


class PelcoHead:
    """One head on its bus. `address_byte` is its address in a frame."""

    def __init__(
        self,
        name: str,
        options: PelcoOptions,
        dialect: PelcoDialect,
        address_byte: int,
        clock_ns: Callable[[], int],
    ) -> None:
        self._display_name = f"head {name!r}"
        self._options = options
        self._dialect: PelcoDialect = dialect
        self._address_byte = address_byte
        self._clock_ns = clock_ns
        self._capabilities = PtzCapabilities(
            absolute=options.position == "query",
            pan_deg=options.pan_deg,
            tilt_deg=options.tilt_deg,
            pan_max_deg_s=options.pan_max_deg_s,
            tilt_max_deg_s=options.tilt_max_deg_s,
            zoom_ratio=options.zoom_ratio,
            focus=options.focus,
            presets=options.presets,
            aux=tuple(sorted(options.aux)),
        )
        self._lock = threading.Lock()
        self._reckoning = _new_reckoning(options, clock_ns())
        self._arrival = PelcoArrivalDetector(options)
        self._commanded_speed = CommandedSpeed(2 * options.lag_s)
        decoder = PelcoDecoder(dialect, replies_from=address_byte)
        self._bus_client = BUSES.attach(
            name, options.line_settings, decoder, turnaround_s=options.turnaround_s
        )

    @property
    def capabilities(self) -> PtzCapabilities:
        """The capabilities that the options declare."""
        return self._capabilities

    def move(self, velocity: Velocity) -> None:
        """Move at the nearest speeds that it has: 63 of pan and tilt, one of zoom and of focus."""
        check_velocity(self._display_name, self._capabilities, velocity)
        motion = PelcoMotion(
            pan=_speed_step(velocity.pan_deg_s, self._options.pan_max_deg_s),
            tilt=_speed_step(velocity.tilt_deg_s, self._options.tilt_max_deg_s),
            zoom=_sign(velocity.zoom),
            focus=_sign(velocity.focus),
        )
        if motion == STOP_MOTION:
            self.stop()
        else:
            self._bus_client.move(self._frame(motion), on_sent=lambda: self._on_motion_sent(motion))

    def stop(self) -> None:
        """Stop all motion."""
        self._bus_client.stop(
            *[self._frame(STOP_MOTION)] * STOP_REPEATS,
            on_sent=lambda: self._on_motion_sent(STOP_MOTION),
        )

    def goto(self, pose: Pose, speed: float) -> None:
        """Begin to go to a pose, at the head's own speed: the protocol has none."""
        check_pose(self._display_name, self._capabilities, pose)
        counts = to_counts(pose, self._options)
        frames = [
            self._frame(PositionCommand(axis=axis, value=value)) for axis, value in counts.items()
        ]
        self._bus_client.move(*frames, on_sent=lambda: self._on_goto_sent(pose))

    def read_position(self) -> PtzPosition:
        """Return the position: queried, one axis after the other, or estimated."""
        if not self._capabilities.absolute:
            self._bus_client.open()
            with self._lock:
                return self._reckoning.position_at(self._clock_ns())
        axes: tuple[PelcoAxis, ...] = ("pan", "tilt")
        if self._capabilities.zoom_ratio > 1:
            axes = ("pan", "tilt", "zoom")
        query_ns = reply_ns = self._clock_ns()
        counts: dict[PelcoAxis, int] = {}
        for axis in axes:
            counts[axis] = self._query_axis(axis)
            if axis != "zoom":
                reply_ns = self._clock_ns()
        pose = to_pose(counts, self._options)
        with self._lock:
            is_moving = self._arrival.is_moving(pose, query_ns)
            max_speed_deg_s = self._commanded_speed.max_speed_deg_s(query_ns) if is_moving else 0.0
        return PtzPosition(
            pose=pose,
            error_deg=position_error_deg(REPORT_ERROR_DEG, max_speed_deg_s, query_ns, reply_ns),
            moving=is_moving,
            t_ns=query_ns,
        )

    def store_preset(self, number: int) -> None:
        """Store the present position."""
        check_preset(self._display_name, self._capabilities, number)
        self._bus_client.send(self._frame(PresetAction(action="set", number=number)))
        with self._lock:
            self._reckoning.on_preset_stored(number, self._clock_ns())

    def goto_preset(self, number: int) -> None:
        """Begin to go to a stored position; without one the head's reaction is undefined."""
        check_preset(self._display_name, self._capabilities, number)
        frame = self._frame(PresetAction(action="call", number=number))
        self._bus_client.move(frame, on_sent=lambda: self._on_preset_sent(number))

    def set_aux(self, aux: Aux, *, on: bool) -> None:
        """Switch an auxiliary output."""
        check_aux(self._display_name, self._capabilities, aux)
        self._bus_client.send(self._frame(AuxSwitch(number=self._options.aux[aux], on=on)))

    def close(self) -> None:
        """Stop, and detach from the bus."""
        with contextlib.suppress(DriverError):
            self.stop()
        self._bus_client.close()

    def _on_motion_sent(self, motion: PelcoMotion) -> None:
        """Note an order that was sent. Called on the bus's thread."""
        options = self._options
        speeds = (
            motion.pan / TOP_SPEED * options.pan_max_deg_s,
            motion.tilt / TOP_SPEED * options.tilt_max_deg_s,
            motion.zoom / (options.zoom_travel_s or 1.0),
        )
        with self._lock:
            self._reckoning.on_move(speeds, self._clock_ns())
            self._arrival.on_move(motion, self._clock_ns())
            self._record_speed(max(abs(speeds[0]), abs(speeds[1])))

    def _on_goto_sent(self, pose: Pose) -> None:
        with self._lock:
            self._arrival.on_goto(pose, self._clock_ns())
            self._record_speed(self._max_speed_deg_s)

    def _on_preset_sent(self, number: int) -> None:
        options = self._options
        preset_speed_deg_s = options.preset_deg_s or min(
            options.pan_max_deg_s, options.tilt_max_deg_s
        )
        speeds = (preset_speed_deg_s, preset_speed_deg_s, 1 / (options.zoom_travel_s or 1.0))
        with self._lock:
            self._reckoning.on_goto_preset(number, speeds, self._clock_ns())
            self._arrival.on_goto_preset(self._clock_ns())
            self._record_speed(max(preset_speed_deg_s, self._max_speed_deg_s))

    @property
    def _max_speed_deg_s(self) -> float:
        return max(self._options.pan_max_deg_s, self._options.tilt_max_deg_s)

    def _record_speed(self, deg_s: float) -> None:
        """Note the ordered speed. The lock is held."""
        self._commanded_speed.confirm_order(
            deg_s * (1 + self._options.speed_error), self._clock_ns()
        )

    def _query_axis(self, axis: PelcoAxis) -> int:
        def answer(addressed: AddressedMessage) -> int | None:
            message = addressed.message
            is_ours = addressed.address == self._address_byte
            if is_ours and isinstance(message, PositionReport) and message.axis == axis:
                return message.value
            return None

        return self._bus_client.query(
            self._frame(PositionQuery(axis=axis)),
            answer,
            timeout_s=self._options.reply_timeout_s,
            attempts=QUERY_ATTEMPTS,
        )

    def _frame(self, message: PelcoMessage) -> bytes:
        return encode_frame(
            self._dialect, AddressedMessage(address=self._address_byte, message=message)
        )


def _speed_step(speed_deg_s: float, max_speed_deg_s: float) -> int:
    """Return the nearest of the head's speeds; any motion has at least the slowest."""
    fraction = min(abs(speed_deg_s) / max_speed_deg_s, 1.0)
    steps = max(1, round(fraction * TOP_SPEED)) if fraction > 0 else 0
    return steps if speed_deg_s > 0 else -steps


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _new_reckoning(options: PelcoOptions, t_ns: int) -> DeadReckoning:
    def limits(span: Range | None) -> AxisLimits:
        return AxisLimits(span=span, speed_error=options.speed_error, lag_s=options.lag_s)

    return DeadReckoning(
        pan=limits(options.pan_deg),
        tilt=limits(options.tilt_deg),
        zoom=limits(FRACTION),
        references={
            one.preset: Pose(pan_deg=one.pan_deg, tilt_deg=one.tilt_deg, zoom=one.zoom)
            for one in options.reference_presets
        },
        t_ns=t_ns,
    )
