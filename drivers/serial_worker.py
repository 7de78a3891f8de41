"""The thread that owns a serial line, its queue and its receiver; used through `drivers.serial_bus`.

Invariants: a job is in its queue until it has ended, between two of its frames too, so that a stop or
a detaching head finds it there and cancels it.

A line that was lost has perhaps not carried what was written before, above all over TCP, where a stop
is in the kernel's buffer for as long as the peer does not acknowledge it. So the next call of each of
its heads, other than a stop, raises `absent` before the line is opened again.
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

MAX_QUEUED_JOBS = 32
"""Orders and queries that may wait on one bus; stops are not counted."""
MAX_MESSAGE_GAP_S = 0.1
"""No message has such a gap in it, on any adapter (USB: 16 ms) or server: a message that is
incomplete after it stays so.
"""
CALLER_TIMEOUT_S = 2.0
"""How long a caller waits for its turn, and for its answer."""

MessageT_co = TypeVar("MessageT_co", covariant=True)


class Decoder(Protocol[MessageT_co]):
    """Turns bytes into messages. It keeps an incomplete message, within a bound."""

    @property
    def noise_bytes(self) -> int:
        """The number of bytes so far that belonged to no message."""
        ...

    def feed(self, data: bytes) -> Sequence[MessageT_co]:
        """Return the messages that are complete with these bytes."""
        ...

    def flush(self) -> None:
        """Drop an incomplete message: the line was silent for MAX_MESSAGE_GAP_S since."""
        ...


class BusHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a bus. The counters begin when it is opened first."""

    port: str
    heads: tuple[str, ...]
    is_open: bool
    open_count: int
    frames_sent: int
    bytes_received: int
    noise_bytes: int
    unanswered: int


class BusMember:
    """One head on a bus. `on_message` is called with messages that answer no query."""

    def __init__(
        self,
        head: str,
        decoder: Decoder[object],
        turnaround_s: float,
        on_message: Callable[[object], None] | None,
    ) -> None:
        self.head = head
        self.decoder = decoder
        self.turnaround_s = turnaround_s
        self.on_message = on_message
        self.lost_count = 0
        """The losses of the line that this head's callers know of, by an `absent`."""


class BusJob:
    """The frames of one call. `done` is set once they are sent, answered, refused or cancelled."""

    def __init__(
        self,
        member: BusMember,
        frames: Sequence[bytes],
        *,
        is_motion: bool = False,
        parse_answer: Callable[[object], object] | None = None,
        timeout_s: float = 0.0,
        attempts: int = 1,
        on_sent: Callable[[], None] | None = None,
        on_frame_sent: Callable[[bytes], None] | None = None,
    ) -> None:
        self.member = member
        self.frames = deque(frames)
        self.is_motion = is_motion
        self.parse_answer = parse_answer
        self.timeout_s = timeout_s
        self.attempts_left = attempts
        self.on_sent = on_sent
        self.on_frame_sent = on_frame_sent
        self.is_stop = False
        self.is_started = False
        self.is_cancelled = False
        self.done = threading.Event()
        self.error: DriverError | None = None
        self.answer: object = None

    def finish(self, error: DriverError | None = None) -> None:
        """Wake the caller, with an error or without."""
        self.error = error
        self.done.set()


class SerialBusWorker:
    """The thread that owns a port, from its creation until the last head detaches."""

    def __init__(self, port: SerialPort, settings: SerialSettings) -> None:
        self.settings = settings
        self._port = port
        self._lock = threading.Lock()
        self._members: list[BusMember] = []
        self._stop_queue: deque[BusJob] = deque()
        self._job_queue: deque[BusJob] = deque()
        self._is_closing = False
        self._line_free_at_s = 0.0
        self._last_received_at_s = 0.0
        self._frames_sent = 0
        self._bytes_received = 0
        self._noise_bytes = 0
        self._unanswered = 0
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=f"bus {settings.port}", daemon=True)
        self._thread.start()

    def attach(self, member: BusMember) -> None:
        """Add a head."""
        with self._lock:
            member.lost_count = self._port.lost_count
            self._members.append(member)

    def health(self) -> BusHealth:
        """Return the state of the bus."""
        with self._lock:
            heads = tuple(member.head for member in self._members)
        return BusHealth(
            port=self.settings.port,
            heads=heads,
            is_open=self._port.is_open,
            open_count=self._port.open_count,
            frames_sent=self._frames_sent,
            bytes_received=self._bytes_received,
            noise_bytes=self._noise_bytes,
            unanswered=self._unanswered,
        )

    def submit(self, job: BusJob) -> None:
        """Queue a job and wait until it is done. Raises: DriverError."""
        with self._lock:
            self._check_attached(job.member)
            if job.is_motion:
                self._cancel_motions(job.member, include_started=False)
            if len(self._job_queue) >= MAX_QUEUED_JOBS:
                message = f"head {job.member.head!r}: {MAX_QUEUED_JOBS} orders wait on its bus"
                raise DriverError("busy", message)
            self._job_queue.append(job)
            self._wake()
        if not job.done.wait(CALLER_TIMEOUT_S):
            with self._lock:
                job.is_cancelled = True
                if job in self._job_queue:
                    self._job_queue.remove(job)
        self._raise_for_result(job)

    def submit_stop(self, job: BusJob) -> None:
        """Queue a stop before everything else, and wait until it is sent. Raises: DriverError."""
        job.is_stop = True
        with self._lock:
            self._check_attached(job.member)
            self._cancel_motions(job.member, include_started=True)
            waiting = [stop for stop in self._stop_queue if not stop.is_started]
            queued = [stop for stop in waiting if stop.member is job.member]
            if queued:
                job = queued[0]
            else:
                self._stop_queue.append(job)
            self._wake()
        job.done.wait(CALLER_TIMEOUT_S)
        self._raise_for_result(job)

    def detach(self, member: BusMember) -> bool:
        """Remove a head; return True if it was the last one, and the port is closed.

        Frames that were sent before have had their time on the line by then.
        """
        with self._lock:
            if member not in self._members:
                return False
            self._members.remove(member)
            for queue in (self._stop_queue, self._job_queue):
                for job in [job for job in queue if job.member is member]:
                    job.is_cancelled = True
                    job.finish(DriverError("closed", "closed"))
                    queue.remove(job)
            self._is_closing = not self._members
            self._wake()
        if self._is_closing:
            self._thread.join(CALLER_TIMEOUT_S)
        return self._is_closing

    def _check_attached(self, member: BusMember) -> None:
        if member not in self._members:
            raise DriverError("closed", f"head {member.head!r}: closed")

    def _cancel_motions(self, member: BusMember, *, include_started: bool) -> None:
        """Cancel the waiting motions of a head, with those that have begun or without."""
        for job in [job for job in self._job_queue if job.member is member and job.is_motion]:
            if include_started or not job.is_started:
                job.is_cancelled = True
                job.finish()
                self._job_queue.remove(job)

    @staticmethod
    def _raise_for_result(job: BusJob) -> None:
        if not job.done.is_set():
            message = f"head {job.member.head!r}: its bus is too busy to send this"
            raise DriverError("timeout", message)
        if job.error is not None:
            message = f"head {job.member.head!r}: {job.error}"
            raise DriverError(job.error.kind, message) from job.error

    def _wake(self) -> None:
        """Wake the thread. The lock is held, so that the pipe is not closed meanwhile."""
        try:
            os.write(self._wake_write, b"x")
        except BlockingIOError:
            return  # full of wake-ups already

    def _run(self) -> None:
        while True:
            quiet_s = self._line_free_at_s - time.monotonic()
            if quiet_s > 0:
                self._receive(quiet_s)
                continue
            with self._lock:
                job = (
                    self._stop_queue[0]
                    if self._stop_queue
                    else self._job_queue[0]
                    if self._job_queue
                    else None
                )
                if job is None and self._is_closing:
                    break
                if job is not None:
                    job.is_started = True
            if job is None:
                self._receive(None)
            else:
                self._process_job(job)
        self._port.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _process_job(self, job: BusJob) -> None:
        """Send one frame of a job, with its answer; the job ends with its last frame."""
        # So a port that was unplugged in the meantime is noticed, and opened again.
        self._receive(0.0)
        try:
            if not job.is_stop and job.member.lost_count != self._port.lost_count:
                raise DriverError(  # noqa: TRY301 - one handler for all
                    "absent", f"port {self.settings.port!r}: the line was lost"
                )
            if job.frames:
                self._transmit_frame(job)
            else:
                self._port.open()
        except DriverError as error:
            self._finish_job(job, error)
            return
        if not job.frames:
            self._finish_job(job, None)

    def _transmit_frame(self, job: BusJob) -> None:
        frame = job.frames[0]
        self._port.write(frame)
        self._frames_sent += 1
        transmitted_at_s = time.monotonic() + self.settings.line_time_s(len(frame))
        self._line_free_at_s = transmitted_at_s + job.member.turnaround_s
        if job.on_sent is not None:
            job.on_sent()
            job.on_sent = None
        if job.on_frame_sent is not None:
            job.on_frame_sent(frame)
        if job.parse_answer is None:
            job.frames.popleft()
            return
        job.attempts_left -= 1
        if self._await_answer(job, transmitted_at_s + job.timeout_s):
            self._line_free_at_s = time.monotonic() + job.member.turnaround_s
            job.frames.popleft()
        elif not job.attempts_left:
            self._unanswered += 1
            raise DriverError("timeout", f"does not answer within {job.timeout_s:g} s")

    def _await_answer(self, job: BusJob, deadline_s: float) -> bool:
        """Receive until the job has its answer; return False if it has none by the deadline."""
        while job.answer is None and not job.is_cancelled:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            self._receive(left_s, job)
            if not self._port.is_open:
                raise DriverError("absent", f"port {self.settings.port!r}: the device is gone")
        return True

    def _finish_job(self, job: BusJob, error: DriverError | None) -> None:
        with self._lock:
            for queue in (self._stop_queue, self._job_queue):
                if job in queue:
                    queue.remove(job)
            if job.is_cancelled:
                return
            if error is not None and error.kind == "absent":
                job.member.lost_count = self._port.lost_count
            job.finish(error)

    def _receive(self, timeout_s: float | None, active_job: BusJob | None = None) -> None:
        """Wait for bytes or for a wake-up, and pass the bytes to all heads."""
        files = [self._wake_read, *([self._port.fileno()] if self._port.is_open else [])]
        ready, _, _ = select.select(files, [], [], timeout_s)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        if len(ready) == (self._wake_read in ready):
            return
        try:
            data = self._port.read()
        except DriverError:
            return  # the port is closed now; the next call raises, and the one after it opens it
        self._bytes_received += len(data)
        with self._lock:
            members = tuple(self._members)
        now_s = time.monotonic()
        after_silence, self._last_received_at_s = (
            now_s - self._last_received_at_s > MAX_MESSAGE_GAP_S,
            now_s,
        )
        noise_counts = [
            self._dispatch(member, data, active_job, after_silence=after_silence)
            for member in members
        ]
        self._noise_bytes += min(noise_counts, default=0)

    @staticmethod
    def _dispatch(
        member: BusMember, data: bytes, active_job: BusJob | None, *, after_silence: bool
    ) -> int:
        """Pass the bytes to a head's decoder; return how many more bytes are noise to it."""
        noise_before = member.decoder.noise_bytes
        if after_silence:
            member.decoder.flush()
        for message in member.decoder.feed(data):
            is_awaiting_answer = (
                active_job is not None and active_job.member is member and active_job.answer is None
            )
            if (
                active_job is not None
                and active_job.parse_answer is not None
                and is_awaiting_answer
            ):
                active_job.answer = active_job.parse_answer(message)
                if active_job.answer is not None:
                    continue
            if member.on_message is not None:
                member.on_message(message)
        return member.decoder.noise_bytes - noise_before
