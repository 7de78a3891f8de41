"""One line, one queue, one thread, and any number of heads upon it.

A head takes a seat on the bus of its port. What it sends goes out frame by frame, in the order
of asking, with two exceptions: a stop passes whatever waits, and takes away the motions that wait
for its own head; and a newer motion takes the place of one of the same head that has not begun.

What comes in is shown to the decoder of every seat. A message answers the question that is open,
or goes to `heard`. Bytes that belong to nobody's message are noise, and counted.

Bounds: the queue (`MOST_WAITING`, beyond it `busy`), the patience of a caller (`PATIENCE_S`), and
what a stop may have to wait for: the frame or the question that is on the line, and no second one.
"""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from drivers.errors import DriverError
from drivers.serial_port import SerialPort, SerialSettings
from drivers.serial_worker import BusHealth, BusThread, Decoder, Job, Listener

R = TypeVar("R")
Message = TypeVar("Message")


class Seat(Generic[Message]):
    """One head's place on a bus. Its methods may be called from any thread but the bus's own."""

    def __init__(
        self, bus: BusThread, listener: Listener, on_leave: "Callable[[BusThread, Listener], None]"
    ) -> None:
        self._bus = bus
        self._listener = listener
        self._on_leave = on_leave

    def open(self) -> None:
        """Open the port, where it is not open. Raises DriverError."""
        self._bus.carry(Job(self._listener, ()))

    def send(self, frame: bytes, *, each: Callable[[bytes], None] | None = None) -> None:
        """Send a frame, and return when it has been handed to the line. Raises DriverError."""
        self._bus.carry(Job(self._listener, (frame,), each=each))

    def move(
        self,
        *frames: bytes,
        sent: Callable[[], None] | None = None,
        each: Callable[[bytes], None] | None = None,
    ) -> None:
        """Send frames that set the head in motion. Where a stop or a newer motion comes before the
        last of them has gone, the rest is taken away, which is no error.

        `sent` is called in the bus's thread when the first frame has gone, so that a head hears of
        its motions and stops in the order in which they went. `each` is called there with every
        frame that has gone, before anything is heard that came after it.
        """
        self._bus.carry(Job(self._listener, frames, motion=True, sent=sent, each=each))

    def stop(
        self,
        *frames: bytes,
        sent: Callable[[], None] | None = None,
        each: Callable[[bytes], None] | None = None,
    ) -> None:
        """Send frames that end a motion, before all that waits, and take away the motions of this
        head. Who runs out of patience leaves the stop where it is: it goes out as soon as it can.
        `sent` and `each` as for `move`.
        """
        self._bus.carry_stop(Job(self._listener, frames, sent=sent, each=each))

    def ask(
        self,
        frame: bytes,
        match: Callable[[Message], R | None],
        *,
        timeout_s: float,
        tries: int = 1,
    ) -> R:
        """Send a question and wait for the first message of which `match` makes an answer.

        `tries` above 1 is for questions that do no harm when they are asked twice; between two
        tries a stop goes first. Raises DriverError: timeout where no answer came.
        """
        job = Job(
            self._listener,
            (frame,),
            match=cast("Callable[[object], object]", match),
            timeout_s=timeout_s,
            tries=tries,
        )
        self._bus.carry(job)
        return cast("R", job.answer)

    def leave(self) -> None:
        """Give the seat up; what waits for it is refused. The last one closes the port. A second
        call does nothing.
        """
        self._on_leave(self._bus, self._listener)


class Buses:
    """The buses of a process, one to a port. `BUSES` is the one that drivers use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: tuple[BusThread, ...] = ()

    def seat(
        self,
        head: str,
        settings: SerialSettings,
        decoder: Decoder[Message],
        *,
        turnaround_s: float = 0.0,
        heard: Callable[[Message], None] | None = None,
        port: Callable[[SerialSettings], SerialPort] = SerialPort,
    ) -> Seat[Message]:
        """A seat on the bus of a port, which is opened where no head of this process has it yet.

        `turnaround_s` is the silence that this head wants after each of its frames, and after each
        answer. `heard` is called with the messages that answer no question, in the bus's thread.

        Raises DriverError: as `SerialPort.open`; unsupported where another head has the same port
        with other settings.
        """
        settings = settings.settings
        with self._lock:
            bus = next((bus for bus in self._open if _same_port(bus.settings, settings)), None)
            if bus is None:
                bus = BusThread(port(settings), settings)
                self._open = (*self._open, bus)
            _must_agree(head, settings, bus)
            listener = Listener(
                head, decoder, turnaround_s, cast("Callable[[object], None] | None", heard)
            )
            bus.seat(listener)
        seat: Seat[Message] = Seat(bus, listener, self._leave)
        try:
            seat.open()
        except DriverError:
            seat.leave()
            raise
        return seat

    def health(self) -> tuple[BusHealth, ...]:
        """Every bus that is in use. It never waits for one."""
        return tuple(bus.health() for bus in self._open)

    def _leave(self, bus: BusThread, listener: Listener) -> None:
        """Take a seat away, and with the last one the bus. The lock is held until its port is
        closed: who opens it next would else be told that it is busy.
        """
        with self._lock:
            if bus.unseat(listener):
                self._open = tuple(one for one in self._open if one is not bus)


BUSES = Buses()


def _same_port(one: SerialSettings, other: SerialSettings) -> bool:
    """Whether two names lead to one device now, through links too."""
    if one.over_tcp or other.over_tcp:
        return one.port == other.port
    return os.path.realpath(one.port) == os.path.realpath(other.port)


def _must_agree(head: str, settings: SerialSettings, bus: BusThread) -> None:
    for name in ("baud", "parity", "rs485", "rs485_pin"):
        ours, theirs = getattr(settings, name), getattr(bus.settings, name)
        if ours != theirs:
            others = ", ".join(bus.health().heads)
            message = f"port {settings.port!r}: {name} = {ours!r}, and {theirs!r} for {others}"
            raise DriverError("unsupported", f"head {head!r}: {message}: one line has one setting")
