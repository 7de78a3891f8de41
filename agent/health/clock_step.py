"""Detect that UTC contradicts itself: a reading that the one before, the elapsed time and both error bounds
do not explain. Pure.
"""

import msgspec

from agent.base.clock import Clock, rfc3339, unix_ns, utc_from_unix_ns
from agent.base.model import ClockStep

MAX_DRIFT = 1e-3
"""Largest rate error of a disciplined clock against the crystal: 500 ppm is the kernel's largest frequency
correction, adjtimex(2), and as much again the largest slew of the image's time daemon. A crystal alone has 100 ppm
or less.
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


class ClockStepDetector:
    """Compares each sample with the last one that stated an error bound.

    As long as the clock has stated none, it may be set without being a step: that is how a box without a
    battery gets the time. After a step the new time counts, also if it states no bound, so that the way back is
    a step too.
    """

    def __init__(self) -> None:
        self._reference: ClockSample | None = None

    def update(self, sample: ClockSample) -> ClockStep | None:
        """Return the step since the last sample, or None."""
        reference = self._reference
        if reference is None or reference.error_s is None:
            self._reference = sample
            return None
        elapsed_ns = sample.unsteered_ns - reference.unsteered_ns
        expected_ns = reference.unix_ns + elapsed_ns
        bound_s = (
            reference.error_s
            + (sample.error_s or 0.0)
            + elapsed_ns / 1e9 * MAX_DRIFT
            + (reference.reading_ns + sample.reading_ns) / 1e9
        )
        if abs(sample.unix_ns - expected_ns) / 1e9 <= bound_s:
            if sample.error_s is not None:
                self._reference = sample
            return None
        self._reference = msgspec.structs.replace(sample, error_s=sample.error_s or 0.0)
        return ClockStep(
            expected_time=rfc3339(utc_from_unix_ns(expected_ns)),
            found_time=rfc3339(utc_from_unix_ns(sample.unix_ns)),
            bound_s=round(bound_s, 3),
        )
