"""Steps of the clock: a reading of UTC that earlier readings, the elapsed time and their error bounds do not explain.

A step is a fault (SYS-09) and an event.
"""

from collections.abc import Callable

import msgspec

from agent.base.clock import Clock, rfc3339, unix_ns, utc_from_unix_ns
from agent.base.event_type import EventType
from agent.base.message import Message
from agent.base.model import ClockStep
from agent.faults.registry import FaultRegistry

MAX_DRIFT = 1e-3
"""Largest rate error of a disciplined clock against the crystal: 500 ppm is the kernel's largest frequency
correction, adjtimex(2), and as much again the largest slew of the image's time daemon. A crystal alone has 100 ppm
or less.
"""
MIN_INTERVAL_NS = 60_000_000_000
"""Time between two steps: a clock that runs away would otherwise be a step each second. Steps in between are one
step at its end.
"""


class ClockSample(msgspec.Struct, frozen=True, kw_only=True):
    """UTC and unsteered time of one moment. `error_s` is the clock's error bound, None if it states none;
    `reading_ns` is how far the two readings may be apart.
    """

    unsteered_ns: int
    unix_ns: int
    error_s: float | None
    reading_ns: int = 0


def read_sample(clock: Clock) -> ClockSample:
    """Read both clocks. A thread that is suspended in between makes the reading inexact, not a step."""
    before_ns = clock.unsteered_ns()
    utc = clock.utc(clock.boottime_ns())
    error_s = clock.trust().error_s
    return ClockSample(
        unsteered_ns=before_ns,
        unix_ns=unix_ns(utc),
        error_s=error_s,
        reading_ns=clock.unsteered_ns() - before_ns,
    )


class _OffsetRange(msgspec.Struct, frozen=True):
    """The range of true UTC minus unsteered time by all that the clock has stated, at the moment `at_ns`."""

    low_ns: int
    high_ns: int
    at_ns: int

    def at(self, unsteered_ns: int) -> "_OffsetRange":
        """Widen the range by the drift since its moment."""
        drift_ns = round((unsteered_ns - self.at_ns) * MAX_DRIFT)
        return _OffsetRange(self.low_ns - drift_ns, self.high_ns + drift_ns, unsteered_ns)

    def intersect(self, other: "_OffsetRange") -> "_OffsetRange | None":
        low_ns, high_ns = max(self.low_ns, other.low_ns), min(self.high_ns, other.high_ns)
        return _OffsetRange(low_ns, high_ns, other.at_ns) if low_ns <= high_ns else None


class ClockStepDetector:
    """Compares each sample with the range that all samples before it leave.

    As long as the clock has stated no error bound, it may be set without being a step: that is how a box without a
    battery gets the time. After a step the new time counts, also if it states no bound, so that the way back is
    a step too.
    """

    def __init__(self) -> None:
        self._known: _OffsetRange | None = None
        self._waits_until_ns = 0

    def update(self, sample: ClockSample) -> ClockStep | None:
        """Return the step since the last sample, or None."""
        offset_ns = sample.unix_ns - sample.unsteered_ns
        margin_ns = round((sample.error_s or 0.0) * 1e9) + sample.reading_ns
        stated = _OffsetRange(offset_ns - margin_ns, offset_ns + margin_ns, sample.unsteered_ns)
        if self._known is None:
            self._known = stated if sample.error_s is not None else None
            return None
        if sample.unsteered_ns < self._waits_until_ns:
            return None
        known = self._known.at(sample.unsteered_ns)
        common = known.intersect(stated)
        if common is not None:
            self._known = common if sample.error_s is not None else known
            return None
        self._known = stated
        self._waits_until_ns = sample.unsteered_ns + MIN_INTERVAL_NS
        expected_ns = sample.unsteered_ns + (known.low_ns + known.high_ns) // 2
        bound_ns = (known.high_ns - known.low_ns) // 2 + margin_ns
        return ClockStep(
            expected_time=rfc3339(utc_from_unix_ns(expected_ns)),
            found_time=rfc3339(utc_from_unix_ns(sample.unix_ns)),
            bound_s=round(bound_ns / 1e9, 3),
        )


CLOCK_STEP = EventType(
    kind="clock_step",
    title="step of the clock beyond its error bound",
    begin="the box's clock was stepped",
    severity="notice",
)
FAULT_SUBJECT = "clock"
FAULT_NS = 3600 * 1_000_000_000
"""A step stays a fault for an hour."""


class ClockStepFault:
    """Raises SYS-09 and calls `on_step` for each step."""

    def __init__(
        self, clock: Clock, faults: FaultRegistry, on_step: Callable[[ClockStep, int], None]
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._on_step = on_step
        self._detector = ClockStepDetector()
        self._raised_ns: int | None = None

    def check(self, t_ns: int) -> None:
        """Compare UTC with the time that has passed. Called once per second."""
        step = self._detector.update(read_sample(self._clock))
        if step is not None:
            self._raised_ns = t_ns
            detail = Message(
                "from {expected_time} to {found_time}; its error bounds explain {bound_s:.3f} s",
                expected_time=step.expected_time,
                found_time=step.found_time,
                bound_s=step.bound_s,
            )
            self._faults.raise_fault("SYS-09", FAULT_SUBJECT, detail)
            self._on_step(step, t_ns)
        elif self._raised_ns is not None and t_ns - self._raised_ns >= FAULT_NS:
            self._raised_ns = None
            self._faults.clear("SYS-09", FAULT_SUBJECT)
