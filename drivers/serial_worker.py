"""The thread that owns a serial line: one queue, and what comes in. `drivers.serial_bus` is its face.

Invariant: a job stands in its queue until it has ended, between two of its frames as well, so that a
stop or a leaving head finds it there and takes it away.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from drivers.errors import DriverError
from drivers.serial_port import SerialPort, SerialSettings

MOST_WAITING = 32
"""So many orders and questions wait on one bus; stops are not counted."""
SILENCE_S = 0.1
"""No message has such a gap in it, on any adapter (USB: 16 ms) or server; what is incomplete then
never will be whole.
"""
PATIENCE_S = 2.0
"""So long a caller waits for its turn, and for its answer."""

M_co = TypeVar("M_co", covariant=True)


class Decoder(Protocol[M_co]):
    """Bytes in, messages out. It keeps what is incomplete, within a bound."""

    @property
    def noise_bytes(self) -> int:
        """How many bytes so far belonged to no message."""
        ...

    def feed(self, data: bytes) -> Sequence[M_co]:
        """The messages that are complete with these bytes."""
        ...

    def flush(self) -> None:
        """Forget what is incomplete: the line was silent for `SILENCE_S` since."""
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


class Listener:
    """One head as its bus knows it. `heard` takes what answers no question."""

    def __init__(
        self,
        head: str,
        decoder: Decoder[object],
        turnaround_s: float,
        heard: Callable[[object], None] | None,
    ) -> None:
        self.head = head
        self.decoder = decoder
        self.turnaround_s = turnaround_s
        self.heard = heard


class Job:
    """What one caller wants sent. `done` is set once it is sent, answered, refused or taken away."""

    def __init__(
        self,
        listener: Listener,
        frames: Sequence[bytes],
        *,
        motion: bool = False,
        match: Callable[[object], object] | None = None,
        timeout_s: float = 0.0,
        tries: int = 1,
        sent: Callable[[], None] | None = None,
        each: Callable[[bytes], None] | None = None,
    ) -> None:
        self.listener = listener
        self.frames = deque(frames)
        self.motion = motion
        self.match = match
        self.timeout_s = timeout_s
        self.tries = tries
        self.sent = sent
        self.each = each
        self.begun = False
        self.dropped = False
        self.done = threading.Event()
        self.error: DriverError | None = None
        self.answer: object = None

    def end(self, error: DriverError | None = None) -> None:
        """Let the caller go on."""
        self.error = error
        self.done.set()


class BusThread:
    """The thread that owns a port, from the moment it is made until the last head leaves."""

    def __init__(self, port: SerialPort, settings: SerialSettings) -> None:
        self.settings = settings
        self._port = port
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._stops: deque[Job] = deque()
        self._jobs: deque[Job] = deque()
        self._closing = False
        self._free_at_s = 0.0
        self._heard_at_s = 0.0
        self._frames_sent = 0
        self._bytes_heard = 0
        self._noise_bytes = 0
        self._unanswered = 0
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=f"bus {settings.port}", daemon=True)
        self._thread.start()

    def seat(self, listener: Listener) -> None:
        """Take a head in."""
        with self._lock:
            self._listeners.append(listener)

    def health(self) -> BusHealth:
        """How the bus is."""
        with self._lock:
            heads = tuple(listener.head for listener in self._listeners)
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

    def carry(self, job: Job) -> None:
        """Put a job into the queue and wait until it is done. Raises DriverError."""
        with self._lock:
            self._must_sit(job.listener)
            if job.motion:
                self._take_away(job.listener, begun=False)
            if len(self._jobs) >= MOST_WAITING:
                message = f"head {job.listener.head!r}: {MOST_WAITING} orders wait on its bus"
                raise DriverError("busy", message)
            self._jobs.append(job)
            self._wake()
        if not job.done.wait(PATIENCE_S):
            with self._lock:
                job.dropped = True
                if job in self._jobs:
                    self._jobs.remove(job)
        self._report(job)

    def carry_stop(self, job: Job) -> None:
        """Put a stop before all that waits, and wait until it is sent. Raises DriverError."""
        with self._lock:
            self._must_sit(job.listener)
            self._take_away(job.listener, begun=True)
            waiting = [stop for stop in self._stops if not stop.begun]
            same = [stop for stop in waiting if stop.listener is job.listener]
            if same:
                job = same[0]
            else:
                self._stops.append(job)
            self._wake()
        job.done.wait(PATIENCE_S)
        self._report(job)

    def unseat(self, listener: Listener) -> bool:
        """Take a seat away; with the last one the thread ends, the port is closed, and it is True.
        What was sent before has had its time on the line by then.
        """
        with self._lock:
            if listener not in self._listeners:
                return False
            self._listeners.remove(listener)
            for queue in (self._stops, self._jobs):
                for job in [job for job in queue if job.listener is listener]:
                    job.dropped = True
                    job.end(DriverError("absent", "closed"))
                    queue.remove(job)
            self._closing = not self._listeners
            self._wake()
        if self._closing:
            self._thread.join(PATIENCE_S)
        return self._closing

    def _must_sit(self, listener: Listener) -> None:
        if listener not in self._listeners:
            raise DriverError("absent", f"head {listener.head!r}: closed")

    def _take_away(self, listener: Listener, *, begun: bool) -> None:
        """End the motions of a seat that wait; those that have begun too, or not."""
        for job in [job for job in self._jobs if job.listener is listener and job.motion]:
            if begun or not job.begun:
                job.dropped = True
                job.end()
                self._jobs.remove(job)

    @staticmethod
    def _report(job: Job) -> None:
        if not job.done.is_set():
            message = f"head {job.listener.head!r}: its bus does not get round to it"
            raise DriverError("timeout", message)
        if job.error is not None:
            message = f"head {job.listener.head!r}: {job.error}"
            raise DriverError(job.error.kind, message) from job.error

    def _wake(self) -> None:
        """Under the lock, so that the pipe is there: it goes after the last listener."""
        try:
            os.write(self._wake_write, b"x")
        except BlockingIOError:
            return  # full of wake-ups already

    def _run(self) -> None:
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

    def _step(self, job: Job) -> None:
        """One frame of a job, with its answer; the job ends with its last one."""
        # A port that was pulled out in the meantime is found so, and opened anew.
        self._listen(0.0)
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

    def _send(self, job: Job) -> None:
        frame = job.frames[0]
        self._port.write(frame)
        self._frames_sent += 1
        sent_s = time.monotonic() + self.settings.line_time_s(len(frame))
        self._free_at_s = sent_s + job.listener.turnaround_s
        if job.sent is not None:
            job.sent()
            job.sent = None
        if job.each is not None:
            job.each(frame)
        if job.match is None:
            job.frames.popleft()
            return
        job.tries -= 1
        if self._await(job, sent_s + job.timeout_s):
            self._free_at_s = time.monotonic() + job.listener.turnaround_s
            job.frames.popleft()
        elif not job.tries:
            self._unanswered += 1
            raise DriverError("timeout", f"does not answer within {job.timeout_s:g} s")

    def _await(self, job: Job, until_s: float) -> bool:
        """Listen until the job has its answer; False where it has none by then."""
        while job.answer is None and not job.dropped:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return False
            self._listen(left_s, job)
            if not self._port.is_open:
                raise DriverError("absent", f"port {self.settings.port!r}: the device is gone")
        return True

    def _end(self, job: Job, error: DriverError | None) -> None:
        with self._lock:
            for queue in (self._stops, self._jobs):
                if job in queue:
                    queue.remove(job)
            if not job.dropped:
                job.end(error)

    def _listen(self, timeout_s: float | None, asking: Job | None = None) -> None:
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
            listeners = tuple(self._listeners)
        now_s = time.monotonic()
        silent, self._heard_at_s = now_s - self._heard_at_s > SILENCE_S, now_s
        noise = [self._hear(listener, data, asking, silent=silent) for listener in listeners]
        self._noise_bytes += min(noise, default=0)

    @staticmethod
    def _hear(listener: Listener, data: bytes, asking: Job | None, *, silent: bool) -> int:
        """Show the bytes to a seat; how many of them, and of those before, are noise to it."""
        before = listener.decoder.noise_bytes
        if silent:
            listener.decoder.flush()
        for message in listener.decoder.feed(data):
            asked = asking is not None and asking.listener is listener and asking.answer is None
            if asking is not None and asking.match is not None and asked:
                asking.answer = asking.match(message)
                if asking.answer is not None:
                    continue
            if listener.heard is not None:
                listener.heard(message)
        return listener.decoder.noise_bytes - before
