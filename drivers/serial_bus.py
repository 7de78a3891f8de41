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
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, cast

import msgspec

from drivers.errors import DriverError
from drivers.serial_port import SerialPort, SerialSettings

MOST_WAITING = 32
"""So many orders and questions wait on one bus; stops are not counted."""
PATIENCE_S = 2.0
"""So long a caller waits for its turn, and for its answer."""

M_co = TypeVar("M_co", covariant=True)
R = TypeVar("R")
Message = TypeVar("Message")


class Decoder(Protocol[M_co]):
    """Bytes in, messages out. It keeps what is incomplete, within a bound."""

    @property
    def noise_bytes(self) -> int:
        """How many bytes so far belonged to no message."""
        ...

    def feed(self, data: bytes) -> Sequence[M_co]:
        """The messages that are complete with these bytes."""
        ...


class BusHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A bus as it is now. The numbers count up from the moment when it was opened first."""

    port: str
    heads: tuple[str, ...]
    is_open: bool
    openings: int
    frames_sent: int
    bytes_heard: int
    noise_bytes: int
    unanswered: int


class _Job:
    """What one caller wants sent. `done` is set once it is sent, answered, refused or taken away."""

    def __init__(
        self,
        seat: "Seat[Message]",
        frames: Sequence[bytes],
        *,
        motion: bool = False,
        match: Callable[[object], object] | None = None,
        timeout_s: float = 0.0,
        tries: int = 1,
    ) -> None:
        self.seat = cast("Seat[object]", seat)
        self.frames = deque(frames)
        self.motion = motion
        self.match = match
        self.timeout_s = timeout_s
        self.tries = tries
        self.begun = False
        self.dropped = False
        self.done = threading.Event()
        self.error: DriverError | None = None
        self.answer: object = None

    def end(self, error: DriverError | None = None) -> None:
        self.error = error
        self.done.set()


class Seat(Generic[Message]):
    """One head's place on a bus. Its methods may be called from any thread but the bus's own."""

    def __init__(
        self,
        bus: "SerialBus",
        head: str,
        decoder: Decoder[Message],
        turnaround_s: float,
        heard: Callable[[Message], None] | None,
    ) -> None:
        self.head = head
        self.decoder = decoder
        self.turnaround_s = turnaround_s
        self.heard = heard
        self._bus = bus

    def open(self) -> None:
        """Open the port, where it is not open. Raises DriverError."""
        self._bus.carry(_Job(self, ()))

    def send(self, frame: bytes) -> None:
        """Send a frame, and return when it has been handed to the line. Raises DriverError."""
        self._bus.carry(_Job(self, (frame,)))

    def move(self, *frames: bytes) -> None:
        """Send frames that set the head in motion. Where a stop or a newer motion comes before the
        last of them has gone, the rest is taken away, which is no error.
        """
        self._bus.carry(_Job(self, frames, motion=True))

    def stop(self, *frames: bytes) -> None:
        """Send frames that end a motion, before all that waits, and take away the motions of this
        head. Who runs out of patience leaves the stop where it is: it goes out as soon as it can.
        """
        self._bus.carry_stop(_Job(self, frames))

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
        job = _Job(
            self,
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
        self._bus.leave(self)


class SerialBus:
    """The thread that owns a port. `Buses` makes it, or finds it."""

    def __init__(
        self,
        port: SerialPort,
        settings: SerialSettings,
        on_leave: "Callable[[SerialBus, Seat[object]], None]",
    ) -> None:
        self.settings = settings
        self._on_leave = on_leave
        self._port = port
        self._lock = threading.Lock()
        self._seats: list[Seat[object]] = []
        self._stops: deque[_Job] = deque()
        self._jobs: deque[_Job] = deque()
        self._closing = False
        self._free_at_s = 0.0
        self._frames_sent = 0
        self._bytes_heard = 0
        self._noise_bytes = 0
        self._unanswered = 0
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=f"bus {settings.port}", daemon=True)
        self._thread.start()

    def seat(
        self,
        head: str,
        decoder: Decoder[Message],
        turnaround_s: float,
        heard: Callable[[Message], None] | None,
    ) -> Seat[Message]:
        """A new place for a head."""
        seat = Seat(self, head, decoder, turnaround_s, heard)
        with self._lock:
            self._seats.append(cast("Seat[object]", seat))
        return seat

    def health(self) -> BusHealth:
        """How the bus is."""
        with self._lock:
            heads = tuple(seat.head for seat in self._seats)
        return BusHealth(
            port=self.settings.port,
            heads=heads,
            is_open=self._port.is_open,
            openings=self._port.openings,
            frames_sent=self._frames_sent,
            bytes_heard=self._bytes_heard,
            noise_bytes=self._noise_bytes,
            unanswered=self._unanswered,
        )

    def carry(self, job: _Job) -> None:
        """Put a job into the queue and wait until it is done. Raises DriverError."""
        with self._lock:
            self._must_sit(job.seat)
            if job.motion:
                self._take_away(job.seat, begun=False)
            if len(self._jobs) >= MOST_WAITING:
                message = f"head {job.seat.head!r}: {MOST_WAITING} orders wait on its bus"
                raise DriverError("busy", message)
            self._jobs.append(job)
            self._wake()
        if not job.done.wait(PATIENCE_S):
            with self._lock:
                job.dropped = True
                if job in self._jobs:
                    self._jobs.remove(job)
        self._report(job)

    def carry_stop(self, job: _Job) -> None:
        """Put a stop before all that waits, and wait until it is sent. Raises DriverError."""
        with self._lock:
            self._must_sit(job.seat)
            self._take_away(job.seat, begun=True)
            same = [stop for stop in self._stops if stop.seat is job.seat and not stop.begun]
            if same:
                job = same[0]
            else:
                self._stops.append(job)
            self._wake()
        job.done.wait(PATIENCE_S)
        self._report(job)

    def leave(self, seat: Seat[Message]) -> None:
        """See `Seat.leave`."""
        self._on_leave(self, cast("Seat[object]", seat))

    def unseat(self, seat: Seat[object]) -> bool:
        """Take a seat away; with the last one the thread ends, the port is closed, and it is True.
        What was sent before has had its time on the line by then.
        """
        with self._lock:
            if seat not in self._seats:
                return False
            self._seats.remove(seat)
            for queue in (self._stops, self._jobs):
                for job in [job for job in queue if job.seat is seat]:
                    job.dropped = True
                    job.end(DriverError("absent", "closed"))
                    queue.remove(job)
            self._closing = not self._seats
            self._wake()
        if self._closing:
            self._thread.join(PATIENCE_S)
        return self._closing

    def _must_sit(self, seat: Seat[object]) -> None:
        if seat not in self._seats:
            raise DriverError("absent", f"head {seat.head!r}: closed")

    def _take_away(self, seat: Seat[object], *, begun: bool) -> None:
        """End the motions of a seat that wait; those that have begun too, or not."""
        for job in [job for job in self._jobs if job.seat is seat and job.motion]:
            if begun or not job.begun:
                job.dropped = True
                job.end()
                self._jobs.remove(job)

    @staticmethod
    def _report(job: _Job) -> None:
        if not job.done.is_set():
            message = f"head {job.seat.head!r}: its bus does not get round to it"
            raise DriverError("timeout", message)
        if job.error is not None:
            message = str(job.error).removeprefix(f"head {job.seat.head!r}: ")
            raise DriverError(job.error.kind, f"head {job.seat.head!r}: {message}") from job.error

    def _wake(self) -> None:
        """Under the lock, so that the pipe is there: it goes after the last seat."""
        try:
            os.write(self._wake_write, b"x")
        except BlockingIOError:
            return  # full of wake-ups already

    def _run(self) -> None:
        """The bus's thread. Invariant: a job stands in its queue until it has ended, so that a stop
        or a leaving seat finds it there, between two frames as well.
        """
        while True:
            quiet_s = self._free_at_s - time.monotonic()
            if quiet_s > 0:
                self._listen(quiet_s)
                continue
            with self._lock:
                job = self._stops[0] if self._stops else self._jobs[0] if self._jobs else None
                if job is None and self._closing:
                    break
                if job is not None:
                    job.begun = True
            if job is None:
                self._listen(None)
            else:
                self._step(job)
        self._port.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _step(self, job: _Job) -> None:
        """One frame of a job, with its answer; the job ends with its last one."""
        try:
            if job.frames:
                self._send(job)
            else:
                self._port.open()
        except DriverError as error:
            self._end(job, error)
            return
        if not job.frames:
            self._end(job, None)

    def _send(self, job: _Job) -> None:
        frame = job.frames[0]
        self._port.write(frame)
        self._frames_sent += 1
        sent_s = time.monotonic() + self.settings.line_time_s(len(frame))
        self._free_at_s = sent_s + job.seat.turnaround_s
        if job.match is None:
            job.frames.popleft()
            return
        job.tries -= 1
        if self._await(job, sent_s + job.timeout_s):
            self._free_at_s = time.monotonic() + job.seat.turnaround_s
            job.frames.popleft()
        elif not job.tries:
            self._unanswered += 1
            raise DriverError("timeout", f"does not answer within {job.timeout_s:g} s")

    def _await(self, job: _Job, until_s: float) -> bool:
        """Listen until the job has its answer; False where it has none by then."""
        while job.answer is None and not job.dropped:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return False
            self._listen(left_s, job)
            if not self._port.is_open:
                raise DriverError("absent", f"port {self.settings.port!r}: the device is gone")
        return True

    def _end(self, job: _Job, error: DriverError | None) -> None:
        with self._lock:
            for queue in (self._stops, self._jobs):
                if job in queue:
                    queue.remove(job)
            if not job.dropped:
                job.end(error)

    def _listen(self, timeout_s: float | None, asking: _Job | None = None) -> None:
        """Wait for bytes or for a wake-up, and hand round what came."""
        files = [self._wake_read, *([self._port.fileno()] if self._port.is_open else [])]
        ready, _, _ = select.select(files, [], [], timeout_s)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        if len(ready) == (self._wake_read in ready):
            return
        try:
            data = self._port.read()
        except DriverError:
            return  # the port is closed now; the next one who uses it opens it, or is told
        self._bytes_heard += len(data)
        with self._lock:
            seats = tuple(self._seats)
        noise = [self._hear(seat, data, asking) for seat in seats]
        self._noise_bytes += min(noise, default=0)

    @staticmethod
    def _hear(seat: Seat[object], data: bytes, asking: _Job | None) -> int:
        """Show the bytes to a seat; how many of them, and of those before, are noise to it."""
        before = seat.decoder.noise_bytes
        for message in seat.decoder.feed(data):
            asked = asking is not None and asking.seat is seat and asking.answer is None
            if asking is not None and asking.match is not None and asked:
                asking.answer = asking.match(message)
                if asking.answer is not None:
                    continue
            if seat.heard is not None:
                seat.heard(message)
        return seat.decoder.noise_bytes - before


class Buses:
    """The buses of a process, one to a port. `BUSES` is the one that drivers use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: tuple[SerialBus, ...] = ()

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
                bus = SerialBus(port(settings), settings, self._leave)
                self._open = (*self._open, bus)
            _must_agree(head, settings, bus)
            seat = bus.seat(head, decoder, turnaround_s, heard)
        try:
            seat.open()
        except DriverError:
            seat.leave()
            raise
        return seat

    def health(self) -> tuple[BusHealth, ...]:
        """Every bus that is in use. It never waits for one."""
        return tuple(bus.health() for bus in self._open)

    def _leave(self, bus: SerialBus, seat: Seat[object]) -> None:
        """Take a seat away, and with the last one the bus. The lock is held until its port is
        closed: who opens it next would else be told that it is busy.
        """
        with self._lock:
            if bus.unseat(seat):
                self._open = tuple(one for one in self._open if one is not bus)


BUSES = Buses()


def _same_port(one: SerialSettings, other: SerialSettings) -> bool:
    """Whether two names lead to one device now, through links too."""
    if one.over_tcp or other.over_tcp:
        return one.port == other.port
    return os.path.realpath(one.port) == os.path.realpath(other.port)


def _must_agree(head: str, settings: SerialSettings, bus: SerialBus) -> None:
    for name in ("baud", "parity", "rs485", "rs485_pin"):
        ours, theirs = getattr(settings, name), getattr(bus.settings, name)
        if ours != theirs:
            others = ", ".join(bus.health().heads)
            message = f"port {settings.port!r}: {name} = {ours!r}, and {theirs!r} for {others}"
            raise DriverError("unsupported", f"head {head!r}: {message}: one line has one setting")
