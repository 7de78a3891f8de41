"""The serial bus: one line, one queue, one thread, and any number of heads.

A driver attaches to the bus of its port as a client. Frames are sent in the order of the calls, with
two exceptions: a stop overtakes everything that waits, and cancels the motions of its own head; and
a newer motion replaces one of the same head that has not begun.

Received bytes are passed to the decoder of every client. A message answers the open query, or goes
to `on_message`. Bytes that belong to no client's message are noise, and counted.

After the line was lost, the next call of each head raises `absent`, unless it is a stop, and the one
after it opens the line: the head may have missed what was sent before.

Bounds: the queue (MAX_QUEUED_JOBS, beyond it `busy`), the wait of a caller (CALLER_TIMEOUT_S), and
what a stop may have to wait for: one frame or one query that is on the line.
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
    """One head on a bus. Its methods may be called on any thread but the bus's own."""

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
        """Open the port if it is closed. Raises: DriverError."""
        self._worker.submit(BusJob(self._member, ()))

    def send(self, frame: bytes, *, on_frame_sent: Callable[[bytes], None] | None = None) -> None:
        """Send a frame, and return when it has been written to the line. Raises: DriverError."""
        self._worker.submit(BusJob(self._member, (frame,), on_frame_sent=on_frame_sent))

    def move(
        self,
        *frames: bytes,
        on_sent: Callable[[], None] | None = None,
        on_frame_sent: Callable[[bytes], None] | None = None,
    ) -> None:
        """Send frames that set the head in motion.

        If a stop or a newer motion comes before the last of them was sent, the rest is dropped,
        which is no error.

        `on_sent` is called on the bus's thread when the first frame was sent, so that a driver
        learns of its motions and stops in the order on the line. `on_frame_sent` is called there
        with every frame that was sent, before later bytes are decoded.
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
        """Send frames that end a motion, before everything that waits, and cancel the head's motions.

        If the call times out the stop stays in the queue, and is sent as soon as possible. `on_sent`
        and `on_frame_sent` as for `move`. Raises: DriverError.
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
        """Send a query and return the first message that `parse_answer` accepts, as it parsed it.

        `attempts` above 1 are for queries that do no harm if they are sent twice; between two
        attempts a stop goes first. Raises: DriverError, `timeout` if no answer came.
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
        """Detach from the bus; waiting calls are refused. The last client closes the port.

        A second call does nothing.
        """
        self._on_close(self._worker, self._member)


class SerialBuses:
    """The buses of a process, one for each port. Drivers use the instance `BUSES`."""

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
        """Attach a head to the bus of a port, which is opened for the first one.

        `turnaround_s` is the silence that this head needs after each of its frames, and after each
        answer. `on_message` is called on the bus's thread with messages that answer no query.

        Raises: DriverError as `SerialPort.open`; `unsupported` if another head has the same port
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
        """Return the health of every bus in use. Never blocks."""
        return tuple(bus.health() for bus in self._workers)

    def _detach(self, worker: SerialBusWorker, member: BusMember) -> None:
        """Detach a head, and close the bus after the last one.

        The lock is held until the port is closed: otherwise the next open would find it busy.
        """
        with self._lock:
            if worker.detach(member):
                self._workers = tuple(one for one in self._workers if one is not worker)


BUSES = SerialBuses()


def _same_port(one: SerialSettings, other: SerialSettings) -> bool:
    """Return whether two paths lead to one device now, through links too."""
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
