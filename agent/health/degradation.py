"""Degradation policy: how much an overloaded box still does. Pure.

The level falls at once and rises RECOVERY_S after the last reason is over: a box that is hot because it
detects would otherwise be hot again within a minute. Recording is shed last.
"""

from collections.abc import Callable

import msgspec

from agent.base.health_model import (
    DEGRADATION_LEVELS,
    Degradation,
    DegradationLevel,
    DiskHealth,
    Vitals,
)
from agent.faults.registry import FaultCode
from agent.health.hysteresis import Hysteresis, at_least, below

RECOVERY_S = 120.0
"""Seconds for which all readings must be good before the level rises."""


NEARLY_FULL_RATIO, NEARLY_FULL_BYTES = 0.02, 300_000_000
"""A disk with less than the smaller of these free is nearly full. Retention leaves at least a twentieth
free, or 500 MB: other files fill the disk then."""


class ResourceLoad(msgspec.Struct, frozen=True, kw_only=True):
    """Load of the box's resources, independent of its size. None means unknown.

    `footage_space_ratio` is the free space of the footage relative to that of a nearly full disk: 1 is the
    threshold, 0 a full disk. `state_space_ratio` is that of the state folder, None if footage has no file
    system of its own.
    """

    celsius: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    memory_free_ratio: float | None = None
    memory_pressure: float | None = None
    load_per_core: float | None = None
    footage_space_ratio: float | None = None
    state_space_ratio: float | None = None
    write_ms: float | None = None


def compute_load(vitals: Vitals, disk: DiskHealth) -> ResourceLoad:
    """Compute the load from the vitals and the disk's health."""
    return ResourceLoad(
        celsius=vitals.soc_celsius,
        under_voltage=vitals.under_voltage,
        throttled=vitals.throttled,
        memory_free_ratio=_ratio(vitals.memory_available_bytes, vitals.memory_total_bytes),
        memory_pressure=vitals.memory_pressure,
        load_per_core=_ratio(vitals.load_1min, vitals.cores),
        footage_space_ratio=space_ratio(vitals.footage_free_bytes, vitals.footage_total_bytes),
        state_space_ratio=space_ratio(vitals.state_free_bytes, vitals.state_total_bytes)
        if vitals.is_footage_separate
        else None,
        write_ms=disk.write_ms,
    )


def space_ratio(free_bytes: int | None, total_bytes: int | None) -> float | None:
    """Return the free space relative to that of a nearly full disk, or None if it is unknown."""
    if free_bytes is None or not total_bytes:
        return None
    return free_bytes / min(total_bytes * NEARLY_FULL_RATIO, NEARLY_FULL_BYTES)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


class LoadSignal(msgspec.Struct, frozen=True, kw_only=True):
    """One reading that can lower the level. `cause` is the fault of the same resource.

    `reason_format` may contain the value, formatted by `value_format`, and both thresholds.
    """

    read_value: Callable[[ResourceLoad], float | None]
    cause: FaultCode
    reason_format: str
    value_format: str = ""
    is_bad_above: bool = True


class DegradationStep(msgspec.Struct, frozen=True):
    """One signal's thresholds for one level.

    The level is entered after `enter_after_s` beyond `enter_at`, and left after RECOVERY_S beyond
    `leave_at`.
    """

    signal: LoadSignal
    level: DegradationLevel
    enter_at: float
    leave_at: float
    enter_after_s: float

    def breached(self, load: ResourceLoad) -> bool | None:
        """Return True if the reading is beyond `enter_at`, or None if it is unknown."""
        return (at_least if self.signal.is_bad_above else below)(
            self.signal.read_value(load), self.enter_at
        )

    def recovered(self, load: ResourceLoad) -> bool | None:
        """Return True if the reading is back beyond `leave_at`, or None if it is unknown."""
        return (below if self.signal.is_bad_above else at_least)(
            self.signal.read_value(load), self.leave_at
        )

    def reason(self, load: ResourceLoad) -> str:
        """Return the reason as text, with the current reading."""
        value = self.signal.read_value(load)
        text = "unknown" if value is None else format(value, self.signal.value_format)
        return self.signal.reason_format.format(value=text, at=self.enter_at, until=self.leave_at)


HEAT = LoadSignal(
    read_value=lambda s: s.celsius,
    cause="SYS-02",
    value_format=".0f",
    reason_format="heat: {value} °C, from {at:.0f} °C until below {until:.0f} °C",
)
VOLTAGE = LoadSignal(
    read_value=lambda s: s.under_voltage,
    cause="SYS-03",
    reason_format="voltage: the supply is too low",
)
THROTTLED = LoadSignal(
    read_value=lambda s: s.throttled,
    cause="SYS-03",
    reason_format="the board is throttled",
)
MEMORY = LoadSignal(
    read_value=lambda s: s.memory_free_ratio,
    cause="SYS-04",
    value_format=".1%",
    is_bad_above=False,
    reason_format="memory: {value} free, below {at:.0%} until {until:.0%}",
)
MEMORY_STALLS = LoadSignal(
    read_value=lambda s: s.memory_pressure,
    cause="SYS-04",
    value_format=".0%",
    reason_format="memory: all tasks wait for it {value} of the time",
)
LOAD = LoadSignal(
    read_value=lambda s: s.load_per_core,
    cause="SYS-05",
    value_format=".1f",
    reason_format="load: {value} per core, from {at:g} until {until:g}",
)
SLOW_DISK = LoadSignal(
    read_value=lambda s: s.write_ms,
    cause="STO-06",
    value_format=".0f",
    reason_format="disk: a write takes {value} ms",
)
FULL_DISK = LoadSignal(
    read_value=lambda s: s.footage_space_ratio,
    cause="STO-05",
    is_bad_above=False,
    reason_format="disk: full, and no footage is left that may be evicted",
)
FULL_STATE_DISK = LoadSignal(
    read_value=lambda s: s.state_space_ratio,
    cause="STO-05",
    is_bad_above=False,
    reason_format="disk: that of the state folder is full",
)

STEPS: tuple[DegradationStep, ...] = (
    # signal, level, enter_at, leave_at, enter_after_s
    DegradationStep(HEAT, "reduced_detection", 80, 74, 10),
    DegradationStep(HEAT, "no_detection", 83, 76, 10),
    DegradationStep(HEAT, "record_only", 88, 80, 10),
    DegradationStep(HEAT, "heartbeat", 95, 85, 10),
    DegradationStep(VOLTAGE, "no_detection", 1, 1, 10),
    DegradationStep(VOLTAGE, "record_only", 1, 1, 120),
    DegradationStep(THROTTLED, "reduced_detection", 1, 1, 30),
    DegradationStep(MEMORY, "no_detection", 0.06, 0.10, 5),
    DegradationStep(MEMORY, "record_only", 0.03, 0.08, 5),
    DegradationStep(MEMORY_STALLS, "no_detection", 0.25, 0.05, 20),
    DegradationStep(LOAD, "reduced_detection", 4, 2, 120),
    DegradationStep(LOAD, "no_detection", 6, 3, 120),
    DegradationStep(LOAD, "record_only", 12, 5, 120),
    DegradationStep(SLOW_DISK, "record_only", 5000, 1000, 60),
    DegradationStep(FULL_DISK, "record_only", 0.5, 0.9, 10),
    DegradationStep(FULL_DISK, "heartbeat", 0.2, 0.5, 10),
    # Footage has room then: recording goes on.
    DegradationStep(FULL_STATE_DISK, "record_only", 0.5, 0.9, 10),
)
"""The board throttles itself at 80 to 85 °C: detection is shed before throttling harms recording."""


class DegradationPolicy:
    """The box's degradation level. An unknown reading counts as no load."""

    def __init__(self, t_ns: int, steps: tuple[DegradationStep, ...] = STEPS) -> None:
        self._steps = tuple((step, Hysteresis(step.enter_after_s, RECOVERY_S)) for step in steps)
        self._current = Degradation(level="full", reason="", since_ns=t_ns)

    @property
    def current(self) -> Degradation:
        """The level of the last update."""
        return self._current

    def update(self, t_ns: int, load: ResourceLoad) -> Degradation:
        """Evaluate the load at `t_ns`. The reason stays as long as its cause does."""
        worst_index = 0
        reason = ""
        cause: FaultCode | None = None
        for step, hysteresis in self._steps:
            if not hysteresis.update(t_ns, bad=step.breached(load), good=step.recovered(load)):
                continue
            level_index = DEGRADATION_LEVELS.index(step.level)
            if level_index > worst_index:
                worst_index, reason, cause = level_index, step.reason(load), step.signal.cause
        level = DEGRADATION_LEVELS[worst_index]
        if level != self._current.level:
            self._current = Degradation(level=level, reason=reason, since_ns=t_ns, cause=cause)
        elif cause != self._current.cause:
            self._current = msgspec.structs.replace(self._current, reason=reason, cause=cause)
        return self._current
