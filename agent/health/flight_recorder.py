"""The flight recorder: the last half hour of the box, second by second, across a power cut.

One file of fixed size, of pages that are written in turn, each whole and in place: 15 seconds of the
box are one page, one write of the disk, and no change of the file's own entry. That bounds the wear:
4096 bytes each 15 s are 23.6 MB a day, and at most a quarter more where the box hurries.
"""

import logging
import os
import statistics
import threading
from collections import deque
from pathlib import Path

import msgspec

from agent.base.atomic_file import fsync_dir
from agent.base.clock import Clock
from agent.base.health_model import FlightSample
from agent.health import flight_page
from agent.health.flight_page import PAGE_BYTES, Mark, Page
from agent.recording.segment_name import rfc3339

log = logging.getLogger(__name__)

NAME = "flight-recorder"
PAGES = 160
"""Half an hour is 120 of them; the rest is for what was written in a hurry."""
KEEPS_NS = 30 * 60 * 1_000_000_000
FLUSH_NS = 15_000_000_000
HURRY_NS = 60_000_000_000
"""What has changed is written at once, but so often at most."""
TURN_S = 0.5
RECENT_WRITES = 4
WAITING_MOST = 120
"""Seconds in memory while a disk takes none."""


class Flight(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has left: its last page, and its last half hour of samples, oldest first."""

    last: Page
    samples: tuple[FlightSample, ...]


class FlightRecorder:
    """The stage that writes. `before` is the flight of the run before this one, None where there was
    none. Any thread may `put`, `hurry` and ask for `write_ms`.

    A disk that takes nothing is tried again at the next turn, and what waits is bounded.
    """

    name = "flight recorder"

    def __init__(self, state: Path, clock: Clock, boot: str, run: str) -> None:
        self._file = state / NAME
        self._clock = clock
        self._boot = boot
        self._run = run
        self._lock = threading.Lock()
        self._waiting: deque[FlightSample] = deque(maxlen=WAITING_MOST)
        self._hurries = False
        self._hurried_ns: int | None = None
        self._flushed_ns = clock.boottime_ns()
        self._took_ms: deque[float] = deque(maxlen=RECENT_WRITES)
        self._writing_since_ns: int | None = None
        self._handle: int | None = None
        self._began = False
        self._failed = False
        self.pages_written = 0
        pages = read_pages(self._file)
        self._number = pages[-1].number + 1 if pages else 1
        self.before = _flight(pages)

    @property
    def newest(self) -> int:
        """The number of the newest page that is on the disk, 0 where there is none."""
        return self._number - 1

    def put(self, sample: FlightSample) -> None:
        """A second has passed."""
        with self._lock:
            self._waiting.append(sample)

    def flush_soon(self) -> None:
        """Something has changed: write soon, the next second may be dark."""
        self._hurries = True

    def write_ms(self) -> float | None:
        """The median time of the last writes; of the one under way, where it takes longer."""
        took = list(self._took_ms)
        median = statistics.median(took) if took else None
        since_ns = self._writing_since_ns
        if since_ns is None:
            return median
        so_far = (self._clock.boottime_ns() - since_ns) / 1e6
        return so_far if median is None or so_far > median else median

    def run_once(self, stopping: threading.Event) -> None:
        """Wait a little, then write what is due."""
        self.begin()
        if not stopping.wait(TURN_S):
            self.look()

    def begin(self) -> None:
        """Write that a run has begun, until that is written."""
        if not self._began:
            self._began = self._write("began")

    def look(self) -> None:
        """Write what is due."""
        now_ns = self._clock.boottime_ns()
        due = now_ns - self._flushed_ns >= FLUSH_NS
        if self._hurries and (self._hurried_ns is None or now_ns - self._hurried_ns >= HURRY_NS):
            self._hurries, self._hurried_ns, due = False, now_ns, True
        if due:
            self._flushed_ns = now_ns
            self._write("flight")

    def close(self) -> None:
        """Write that this run has stopped in order."""
        self._write("stopped", "asked to stop")
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _write(self, mark: Mark, why: str = "") -> bool:
        """One page with what waits; False where the disk did not take it."""
        with self._lock:
            samples = tuple(self._waiting)
        if mark == "flight" and not samples:
            return True
        page = Page(
            number=self._number,
            boot=self._boot,
            run=self._run,
            mark=mark,
            time=rfc3339(self._clock.utc(self._clock.boottime_ns())),
            samples=samples,
            why=why,
        )
        begin_ns = self._writing_since_ns = self._clock.boottime_ns()
        try:
            handle = self._open()
            os.pwrite(handle, flight_page.encode(page), page.number % PAGES * PAGE_BYTES)
            os.fdatasync(handle)
        except OSError as error:
            self._fail(error)
            return False
        finally:
            self._writing_since_ns = None
        self._took_ms.append((self._clock.boottime_ns() - begin_ns) / 1e6)
        self._number += 1
        self.pages_written += 1
        self._failed = False
        with self._lock:
            while self._waiting and samples and self._waiting[0].t_ns <= samples[-1].t_ns:
                self._waiting.popleft()
        return True

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            log.warning("%s: cannot be written: %s", self._file, error)
        self._failed = True
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _open(self) -> int:
        """The file, made whole: written once in full, so that its blocks are its own for ever."""
        if self._handle is not None:
            return self._handle
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            length = os.fstat(handle).st_size
            if length < PAGES * PAGE_BYTES:
                os.pwrite(handle, bytes(PAGES * PAGE_BYTES - length), length)
                os.fsync(handle)
                fsync_dir(self._file.parent)
        except OSError:
            os.close(handle)
            raise
        self._handle = handle
        return handle


def read_pages(file: Path) -> list[Page]:
    """The good pages of a file, oldest first; none where it is not there."""
    try:
        data = file.read_bytes()
    except OSError:
        return []
    found = (
        flight_page.decode(data[begin : begin + PAGE_BYTES])
        for begin in range(0, min(len(data), PAGES * PAGE_BYTES), PAGE_BYTES)
    )
    return sorted((page for page in found if page is not None), key=lambda page: page.number)


def _flight(pages: list[Page]) -> Flight | None:
    """Of the last run alone: those before it have told of theirs themselves."""
    if not pages:
        return None
    last = pages[-1]
    samples = [sample for page in pages if page.run == last.run for sample in page.samples]
    newest_ns = samples[-1].t_ns if samples else 0
    return Flight(
        last=last,
        samples=tuple(sample for sample in samples if newest_ns - sample.t_ns <= KEEPS_NS),
    )
