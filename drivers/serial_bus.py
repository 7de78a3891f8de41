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
from drivers.serial_worker import BusHealth, BusJob, BusMember, Decoder, SerialBusWorker

AnswerT = TypeVar("AnswerT")
MessageT = TypeVar("MessageT")


class BusClient(Generic[MessageT]):
    """One head's place on a bus. Its methods may be called from any thread but the bus's own."""

    def __init__(
        self,
        worker: SerialBusWorker,
        member: BusMember,
        on_close: "Callable[[SerialBusWorker, BusMember], None]",
    ) -> None:
        self._worker = worker
        self._member = member
        self._on_close = on_close

    def open(self) -> None:
        """Open the port, where it is not open. Raises DriverError."""
        self._worker.submit(BusJob(self._member, ()))

    def send(self, frame: bytes, *, on_frame_sent: Callable[[bytes], None] | None = None) -> None:
        """Send a frame, and return when it has been handed to the line. Raises DriverError."""
        self._worker.submit(BusJob(self._member, (frame,), on_frame_sent=on_frame_sent))

    def move(
        self,
        *frames: bytes,
        on_sent: Callable[[], None] | None = None,
        on_frame_sent: Callable[[bytes], None] | None = None,
    ) -> None:
        """Send frames that set the head in motion. Where a stop or a newer motion comes before the
        last of them has gone, the rest is taken away, which is no error.

        `sent` is called in the bus's thread when the first frame has gone, so that a head hears of
        its motions and stops in the order in which they went. `each` is called there with every
        frame that has gone, before anything is heard that came after it.
        """
        self._worker.submit(
            BusJob(
                self._member, frames, is_motion=True, on_sent=on_sent, on_frame_sent=on_frame_sent
            )
        )

    def stop(
        self,
        *frames: bytes,
        on_sent: Callable[[], None] | None = None,
        on_frame_sent: Callable[[bytes], None] | None = None,
    ) -> None:
        """Send frames that end a motion, before all that waits, and take away the motions of this
        head. Who runs out of patience leaves the stop where it is: it goes out as soon as it can.
        `sent` and `each` as for `move`.
        """
        self._worker.submit_stop(
            BusJob(self._member, frames, on_sent=on_sent, on_frame_sent=on_frame_sent)
        )

    def query(
        self,
        frame: bytes,
        parse_answer: Callable[[MessageT], AnswerT | None],
        *,
        timeout_s: float,
        attempts: int = 1,
    ) -> AnswerT:
        """Send a question and wait for the first message of which `match` makes an answer.

        `tries` above 1 is for questions that do no harm when they are asked twice; between two
        tries a stop goes first. Raises DriverError: timeout where no answer came.
        """
        job = BusJob(
            self._member,
            (frame,),
            parse_answer=cast("Callable[[object], object]", parse_answer),
            timeout_s=timeout_s,
            attempts=attempts,
        )
        self._worker.submit(job)
        return cast("AnswerT", job.answer)

    def close(self) -> None:
        """Give the seat up; what waits for it is refused. The last one closes the port. A second
        call does nothing.
        """
        self._on_close(self._worker, self._member)


class SerialBuses:
    """The buses of a process, one to a port. `BUSES` is the one that drivers use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: tuple[SerialBusWorker, ...] = ()

    def attach(
        self,
        head: str,
        settings: SerialSettings,
        decoder: Decoder[MessageT],
        *,
        turnaround_s: float = 0.0,
        on_message: Callable[[MessageT], None] | None = None,
        open_port: Callable[[SerialSettings], SerialPort] = SerialPort,
    ) -> BusClient[MessageT]:
        """A seat on the bus of a port, which is opened where no head of this process has it yet.

        `turnaround_s` is the silence that this head wants after each of its frames, and after each
        answer. `heard` is called with the messages that answer no question, in the bus's thread.

        Raises DriverError: as `SerialPort.open`; unsupported where another head has the same port
        with other settings.
        """
        settings = settings.line_settings
        with self._lock:
            worker = next(
                (bus for bus in self._workers if _same_port(bus.settings, settings)), None
            )
            if worker is None:
                worker = SerialBusWorker(open_port(settings), settings)
                self._workers = (*self._workers, worker)
            _check_settings_match(head, settings, worker)
            member = BusMember(
                head, decoder, turnaround_s, cast("Callable[[object], None] | None", on_message)
            )
            worker.attach(member)
        client: BusClient[MessageT] = BusClient(worker, member, self._detach)
        try:
            client.open()
        except DriverError:
            client.close()
            raise
        return client

    def health(self) -> tuple[BusHealth, ...]:
        """Every bus that is in use. It never waits for one."""
        return tuple(bus.health() for bus in self._workers)

    def _detach(self, worker: SerialBusWorker, member: BusMember) -> None:
        """Take a seat away, and with the last one the bus. The lock is held until its port is
        closed: who opens it next would else be told that it is busy.
        """
        with self._lock:
            if worker.detach(member):
                self._workers = tuple(one for one in self._workers if one is not worker)


BUSES = SerialBuses()


def _same_port(one: SerialSettings, other: SerialSettings) -> bool:
    """Whether two names lead to one device now, through links too."""
    if one.is_tcp or other.is_tcp:
        return one.port == other.port
    return os.path.realpath(one.port) == os.path.realpath(other.port)


def _check_settings_match(head: str, settings: SerialSettings, worker: SerialBusWorker) -> None:
    for name in ("baud", "parity", "rs485", "rs485_pin"):
        own_value, bus_value = getattr(settings, name), getattr(worker.settings, name)
        if own_value != bus_value:
            other_heads = ", ".join(worker.health().heads)
            message = f"port {settings.port!r}: {name} = {own_value!r}, and {bus_value!r} for {other_heads}"
            raise DriverError("unsupported", f"head {head!r}: {message}: one line has one setting")
