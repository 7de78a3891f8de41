"""A pan-tilt head that speaks Pelco: what the drivers `pelco_d` and `pelco_p` have in common."""

import contextlib
import threading
from collections.abc import Callable

from drivers.commanded_speed import ToldSpeed, error_deg
from drivers.contracts import Aux, Pose, PtzAbilities, PtzPosition, Range, Velocity
from drivers.dead_reckoning import AxisLimits, HeadReckoning
from drivers.errors import DriverError
from drivers.pelco import (
    STOP,
    TOP_SPEED,
    AuxSwitch,
    Axis,
    Dialect,
    Message,
    Motion,
    PelcoDecoder,
    Place,
    Preset,
    Query,
    Report,
    Telegram,
    encode,
)
from drivers.pelco_options import PelcoOptions
from drivers.pelco_position import Pursuit, counts_of, pose_of
from drivers.serial_bus import BUSES

QUESTION_TRIES = 2
"""A question moves nothing, so it may be asked twice."""
STOPS = 2
"""A head that does not answer cannot tell that it missed the stop: it goes out twice."""
TELLS_WITHIN_DEG = 0.1
"""How near the truth an answer is: heads count in hundredths, their gears do not."""


class PelcoHead:
    """One head on its bus. `address_byte` is how its frames name it."""

    def __init__(
        self,
        name: str,
        options: PelcoOptions,
        dialect: Dialect,
        address_byte: int,
        clock_ns: Callable[[], int],
    ) -> None:
        self._what = f"head {name!r}"
        self._options = options
        self._dialect: Dialect = dialect
        self._address_byte = address_byte
        self._clock_ns = clock_ns
        self._abilities = PtzAbilities(
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
        self._reckoning = _reckoning(options, clock_ns())
        self._pursuit = Pursuit(options)
        self._speed = ToldSpeed(2 * options.lag_s)
        decoder = PelcoDecoder(dialect, receipts_of=address_byte)
        self._seat = BUSES.seat(name, options.settings, decoder, turnaround_s=options.turnaround_s)

    @property
    def abilities(self) -> PtzAbilities:
        """What its options say."""
        return self._abilities

    def move(self, velocity: Velocity) -> None:
        """Move at the nearest speeds that it has: 63 of pan and tilt, one of zoom and of focus."""
        self._needs(velocity.zoom == 0 or self._abilities.zoom_ratio > 1, "zoom")
        self._needs(velocity.focus == 0 or self._abilities.focus, "focus")
        motion = Motion(
            pan=_speed(velocity.pan_deg_s, self._options.pan_max_deg_s),
            tilt=_speed(velocity.tilt_deg_s, self._options.tilt_max_deg_s),
            zoom=_sign(velocity.zoom),
            focus=_sign(velocity.focus),
        )
        if motion == STOP:
            self.stop()
        else:
            self._seat.move(self._frame(motion), sent=lambda: self._moved(motion))

    def stop(self) -> None:
        """Stop all motion."""
        self._seat.stop(*[self._frame(STOP)] * STOPS, sent=lambda: self._moved(STOP))

    def goto(self, pose: Pose, speed: float) -> None:
        """Begin to go to a pose, at the speed that the head takes: the protocol has none."""
        self._needs(self._abilities.absolute, "absolute position")
        self._needs(pose.zoom == 0 or self._abilities.zoom_ratio > 1, "zoom")
        counts = counts_of(pose, self._options)
        frames = [self._frame(Place(axis=axis, value=value)) for axis, value in counts.items()]
        self._seat.move(*frames, sent=lambda: self._sent_to(pose))

    def position(self) -> PtzPosition:
        """Where it is: asked, one axis after the other, or reckoned."""
        if not self._abilities.absolute:
            self._seat.open()
            with self._lock:
                return self._reckoning.position(self._clock_ns())
        axes: tuple[Axis, ...] = ("pan", "tilt")
        if self._abilities.zoom_ratio > 1:
            axes = ("pan", "tilt", "zoom")
        asked_ns = answered_ns = self._clock_ns()
        counts: dict[Axis, int] = {}
        for axis in axes:
            counts[axis] = self._ask(axis)
            if axis != "zoom":
                answered_ns = self._clock_ns()
        pose = pose_of(counts, self._options)
        with self._lock:
            moving = self._pursuit.is_moving(pose, asked_ns)
            fastest_deg_s = self._speed.fastest_deg_s(asked_ns) if moving else 0.0
        return PtzPosition(
            pose=pose,
            error_deg=error_deg(TELLS_WITHIN_DEG, fastest_deg_s, asked_ns, answered_ns),
            moving=moving,
            t_ns=asked_ns,
        )

    def store_preset(self, number: int) -> None:
        """Remember the present place."""
        self._needs(1 <= number <= self._abilities.presets, f"preset {number}")
        self._seat.send(self._frame(Preset(action="set", number=number)))
        with self._lock:
            self._reckoning.stored(number, self._clock_ns())

    def recall_preset(self, number: int) -> None:
        """Begin to go to a remembered place; what it does where there is none is up to the head."""
        self._needs(1 <= number <= self._abilities.presets, f"preset {number}")
        frame = self._frame(Preset(action="call", number=number))
        self._seat.move(frame, sent=lambda: self._recalled(number))

    def switch(self, aux: Aux, *, on: bool) -> None:
        """Switch an auxiliary output."""
        self._needs(aux in self._options.aux, aux)
        self._seat.send(self._frame(AuxSwitch(number=self._options.aux[aux], on=on)))

    def close(self) -> None:
        """Stop, and give up the seat on the bus."""
        with contextlib.suppress(DriverError):
            self.stop()
        self._seat.leave()

    def _moved(self, motion: Motion) -> None:
        """In the bus's thread: the head has been told."""
        options = self._options
        speeds = (
            motion.pan / TOP_SPEED * options.pan_max_deg_s,
            motion.tilt / TOP_SPEED * options.tilt_max_deg_s,
            motion.zoom / (options.zoom_travel_s or 1.0),
        )
        with self._lock:
            self._reckoning.moved(speeds, self._clock_ns())
            self._pursuit.moved(motion, self._clock_ns())
            self._go_at(max(abs(speeds[0]), abs(speeds[1])))

    def _sent_to(self, pose: Pose) -> None:
        with self._lock:
            self._pursuit.sent_to(pose, self._clock_ns())
            self._go_at(self._top_deg_s)

    def _recalled(self, number: int) -> None:
        options = self._options
        head_deg_s = options.preset_deg_s or min(options.pan_max_deg_s, options.tilt_max_deg_s)
        speeds = (head_deg_s, head_deg_s, 1 / (options.zoom_travel_s or 1.0))
        with self._lock:
            self._reckoning.recalled(number, speeds, self._clock_ns())
            self._pursuit.recalled(self._clock_ns())
            self._go_at(max(head_deg_s, self._top_deg_s))

    @property
    def _top_deg_s(self) -> float:
        return max(self._options.pan_max_deg_s, self._options.tilt_max_deg_s)

    def _go_at(self, deg_s: float) -> None:
        """The lock is held."""
        self._speed.told(deg_s * (1 + self._options.speed_error), self._clock_ns())

    def _ask(self, axis: Axis) -> int:
        def answer(telegram: Telegram) -> int | None:
            message = telegram.message
            mine = telegram.address == self._address_byte
            if mine and isinstance(message, Report) and message.axis == axis:
                return message.value
            return None

        return self._seat.ask(
            self._frame(Query(axis=axis)),
            answer,
            timeout_s=self._options.reply_timeout_s,
            tries=QUESTION_TRIES,
        )

    def _frame(self, message: Message) -> bytes:
        return encode(self._dialect, Telegram(address=self._address_byte, message=message))

    def _needs(self, able: bool, what: str) -> None:  # noqa: FBT001 - an assertion reads so
        if not able:
            raise DriverError("unsupported", f"{self._what}: it has no {what}")


def _speed(speed_deg_s: float, top_deg_s: float) -> int:
    """The nearest of the head's speeds; what moves at all moves at least at the slowest."""
    share = min(abs(speed_deg_s) / top_deg_s, 1.0)
    steps = max(1, round(share * TOP_SPEED)) if share > 0 else 0
    return steps if speed_deg_s > 0 else -steps


def _sign(share: float) -> int:
    return (share > 0) - (share < 0)


def _reckoning(options: PelcoOptions, t_ns: int) -> HeadReckoning:
    def limits(span: Range | None) -> AxisLimits:
        return AxisLimits(span=span, speed_error=options.speed_error, lag_s=options.lag_s)

    return HeadReckoning(
        pan=limits(options.pan_deg),
        tilt=limits(options.tilt_deg),
        zoom=limits(Range(low=0.0, high=1.0)),
        references={
            one.preset: Pose(pan_deg=one.pan_deg, tilt_deg=one.tilt_deg, zoom=one.zoom)
            for one in options.reference
        },
        t_ns=t_ns,
    )
