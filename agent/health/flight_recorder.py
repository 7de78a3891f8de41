"""Flight recorder: the last half hour of the box, second by second, kept across a power cut.

One file of fixed size whose pages are overwritten in turn, in place: 15 seconds of samples are one page,
one write of the disk, and no change of the file's metadata. That bounds the wear: 4096 bytes each 15 s
are 23.6 MB a day, and at most a quarter more with early flushes.
"""

import logging
import os
import statistics
import threading
from collections import deque
from pathlib import Path

import msgspec

from agent.base.atomic_file import fsync_dir, sync, sync_data
from agent.base.clock import Clock, rfc3339
from agent.base.file_read import read_regular_file
from agent.base.health_model import FlightSample
from agent.health import flight_page
from agent.health.flight_page import PAGE_BYTES, FlightPage, PageKind
from agent.runtime.stage import IDLE_WAIT_S

log = logging.getLogger(__name__)

FILE_NAME = "flight-recorder"
PAGE_COUNT = 160
"""Half an hour is 120 pages; the rest is for early flushes."""
RETENTION_NS = 30 * 60 * 1_000_000_000
FLUSH_INTERVAL_NS = 15_000_000_000
MIN_EARLY_FLUSH_INTERVAL_NS = 60_000_000_000
"""The least time between two early flushes."""
MEDIAN_WRITES = 4
MAX_BUFFERED_SAMPLES = 120
"""Samples kept in memory while the disk cannot be written; one per second."""


class Flight(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one run: its last page, and its last half hour of samples, the oldest first."""

    last_page: FlightPage
    samples: tuple[FlightSample, ...]


class FlightRecorder:
    """Buffers samples and writes their pages. `add_sample`, `flush_soon`, `write_ms` are thread-safe.

    `previous_flight` is that of the previous run, or None. A failed write is retried at the next turn;
    the buffer is bounded, the oldest sample is dropped first.
    """

    name = "flight recorder"

    def __init__(self, state_dir: Path, clock: Clock, boot: str, run: str) -> None:
        self._file = state_dir / FILE_NAME
        self._clock = clock
        self._boot = boot
        self._run = run
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._buffered: deque[FlightSample] = deque(maxlen=MAX_BUFFERED_SAMPLES)
        self._is_early_flush_requested = False
        self._early_flushed_ns: int | None = None
        self._flushed_ns = clock.boottime_ns()
        self._write_times_ms: deque[float] = deque(maxlen=MEDIAN_WRITES)
        self._writing_since_ns: int | None = None
        self._fd: int | None = None
        self._is_begin_written = False
        self._has_failed = False
        self.pages_written = 0
        pages = read_pages(self._file)
        self._next_number = pages[-1].number + 1 if pages else 1
        self.previous_flight = _last_flight(pages)

    @property
    def newest_number(self) -> int:
        """The number of the newest page on the disk, 0 if there is none."""
        return self._next_number - 1

    def add_sample(self, sample: FlightSample) -> None:
        """Buffer the sample of one second."""
        with self._lock:
            self._buffered.append(sample)

    def flush_soon(self) -> None:
        """Write before the next interval is over: a fault or a level changed, the power may fail next."""
        with self._changed:
            self._is_early_flush_requested = True
            self._changed.notify()

    def write_ms(self) -> float | None:
        """Return the median duration of the last writes, or that of a running write if it is longer."""
        times_ms = list(self._write_times_ms)
        median_ms = statistics.median(times_ms) if times_ms else None
        since_ns = self._writing_since_ns
        if since_ns is None:
            return median_ms
        elapsed_ms = (self._clock.boottime_ns() - since_ns) / 1e6
        return elapsed_ms if median_ms is None or elapsed_ms > median_ms else median_ms

    def run_once(self, stopping: threading.Event) -> None:
        """Wait until a page is due or an early flush is requested, then write it."""
        self.write_begin()
        with self._changed:
            wait_s = min(IDLE_WAIT_S, (self._due_ns() - self._clock.boottime_ns()) / 1e9)
            if wait_s > 0 and not stopping.is_set():
                self._changed.wait(wait_s)
        if not stopping.is_set():
            self.flush_if_due()

    def wake(self) -> None:
        """End the wait of `run_once`. Thread-safe."""
        with self._changed:
            self._changed.notify()

    def write_begin(self) -> None:
        """Write the page that marks the begin of a run. Retried until it succeeds."""
        if not self._is_begin_written:
            self._is_begin_written = self._write("began")

    def flush_if_due(self) -> None:
        """Write a page if the interval is over or an early flush is requested."""
        now_ns = self._clock.boottime_ns()
        if now_ns < self._due_ns():
            return
        if self._is_early_flush_requested and now_ns >= self._early_due_ns():
            self._is_early_flush_requested, self._early_flushed_ns = False, now_ns
        self._flushed_ns = now_ns
        self._write("flight")

    def _due_ns(self) -> int:
        """Return the time of the next page."""
        due_ns = self._flushed_ns + FLUSH_INTERVAL_NS
        return min(due_ns, self._early_due_ns()) if self._is_early_flush_requested else due_ns

    def _early_due_ns(self) -> int:
        """Return the time from which on an early flush is allowed."""
        if self._early_flushed_ns is None:
            return 0
        return self._early_flushed_ns + MIN_EARLY_FLUSH_INTERVAL_NS

    def close(self) -> None:
        """Write the page that marks an ordered stop."""
        self._write("stopped", "asked to stop")
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _write(self, kind: PageKind, reason: str = "") -> bool:
        """Write one page with the buffered samples. Return False if the write failed."""
        with self._lock:
            samples = tuple(self._buffered)
        if kind == "flight" and not samples:
            return True
        page = FlightPage(
            number=self._next_number,
            boot=self._boot,
            run=self._run,
            kind=kind,
            time=rfc3339(self._clock.utc(self._clock.boottime_ns())),
            samples=samples,
            reason=reason,
        )
        begin_ns = self._writing_since_ns = self._clock.boottime_ns()
        try:
            fd = self._open()
            os.pwrite(fd, flight_page.encode(page), page.number % PAGE_COUNT * PAGE_BYTES)
            sync_data(fd)
        except OSError as error:
            self._on_write_error(error)
            return False
        finally:
            self._writing_since_ns = None
        self._write_times_ms.append((self._clock.boottime_ns() - begin_ns) / 1e6)
        self._next_number += 1
        self.pages_written += 1
        self._has_failed = False
        with self._lock:
            while self._buffered and samples and self._buffered[0].t_ns <= samples[-1].t_ns:
                self._buffered.popleft()
        return True

    def _on_write_error(self, error: OSError) -> None:
        if not self._has_failed:
            log.warning("%s: cannot be written: %s", self._file, error)
        self._has_failed = True
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _open(self) -> int:
        """Open the file; a new one is written in full once, so that its blocks stay allocated."""
        if self._fd is not None:
            return self._fd
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            length = os.fstat(fd).st_size
            if length < PAGE_COUNT * PAGE_BYTES:
                os.pwrite(fd, bytes(PAGE_COUNT * PAGE_BYTES - length), length)
                sync(fd)
                fsync_dir(self._file.parent)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        return fd


def read_pages(file: Path) -> list[FlightPage]:
    """Return the valid pages of a file, the oldest first; none if it cannot be read."""
    try:
        data = read_regular_file(file, PAGE_COUNT * PAGE_BYTES)
    except OSError:
        return []
    found = (
        flight_page.decode(data[begin : begin + PAGE_BYTES])
        for begin in range(0, min(len(data), PAGE_COUNT * PAGE_BYTES), PAGE_BYTES)
    )
    return sorted((page for page in found if page is not None), key=lambda page: page.number)


def _last_flight(pages: list[FlightPage]) -> Flight | None:
    """Return the flight of the last run alone: earlier runs were reported by their successors."""
    if not pages:
        return None
    last_page = pages[-1]
    samples = [sample for page in pages if page.run == last_page.run for sample in page.samples]
    newest_ns = samples[-1].t_ns if samples else 0
    return Flight(
        last_page=last_page,
        samples=tuple(sample for sample in samples if newest_ns - sample.t_ns <= RETENTION_NS),
    )
