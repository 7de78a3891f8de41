"""Fault of a clock that was stepped beyond its error bound (SYS-09), and the event of it."""

from collections.abc import Callable

from agent.base.clock import Clock
from agent.base.event_type import EventType
from agent.base.message import Message
from agent.base.model import ClockStep
from agent.faults.registry import FaultRegistry
from agent.health.clock_step import ClockStepDetector, read_sample

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
