"""The degradation ladder: how much a box under strain still does. Pure.

It goes down at once where it must, and up a while after the last reason has gone: a box that is hot
because it detects would else be hot again in a minute. Recording is shed last.
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
from agent.health.hysteresis import Hysteresis, at_least, below

RECOVERY_S = 120.0
"""So long everything must be good before the box does more again."""


NEARLY_FULL_RATIO, NEARLY_FULL_BYTES = 0.02, 300_000_000
"""A disk with less than the smaller of these free is nearly full. The ring of footage leaves at
least a twentieth free, or 500 MB, so what fills the disk then is something else."""


class ResourceLoad(msgspec.Struct, frozen=True, kw_only=True):
    """None: unknown.

    `memory_free` and `load_per_core` are shares. `room` is what is free of the disk beside what it
    takes to be nearly full: 1 is at the edge, 0 is nothing.
    """

    celsius: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    memory_free_ratio: float | None = None
    memory_pressure: float | None = None
    load_per_core: float | None = None
    disk_space_ratio: float | None = None
    write_ms: float | None = None


def compute_load(vitals: Vitals, disk: DiskHealth) -> ResourceLoad:
    """Out of what was read."""
    disk_space_ratio = None
    if vitals.disk_free_bytes is not None and vitals.disk_total_bytes:
        nearly_full_bytes = min(vitals.disk_total_bytes * NEARLY_FULL_RATIO, NEARLY_FULL_BYTES)
        disk_space_ratio = vitals.disk_free_bytes / nearly_full_bytes
    return ResourceLoad(
        celsius=vitals.soc_celsius,
        under_voltage=vitals.under_voltage,
        throttled=vitals.throttled,
        memory_free_ratio=_ratio(vitals.memory_available_bytes, vitals.memory_total_bytes),
        memory_pressure=vitals.memory_pressure,
        load_per_core=_ratio(vitals.load_1min, vitals.cores),
        disk_space_ratio=disk_space_ratio,
        write_ms=disk.write_ms,
    )


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


class LoadSignal(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a box may suffer from: where it stands in a strain, whether it is bad above its
    mark or below, and how it is told. `why` may name the value, written in `form`, and both marks.
    """

    read_value: Callable[[ResourceLoad], float | None]
    reason_format: str
    value_format: str = ""
    is_bad_above: bool = True


class DegradationStep(msgspec.Struct, frozen=True):
    """One reason for one level: bad from `at` on for `for_s` on end, until it was good, beyond `until`,
    for CALM_S.
    """

    signal: LoadSignal
    level: DegradationLevel
    enter_at: float
    leave_at: float
    enter_after_s: float

    def breached(self, load: ResourceLoad) -> bool | None:
        """Whether it is; None where nobody knows."""
        return (at_least if self.signal.is_bad_above else below)(
            self.signal.read_value(load), self.enter_at
        )

    def recovered(self, load: ResourceLoad) -> bool | None:
        """The same of the other mark."""
        return (below if self.signal.is_bad_above else at_least)(
            self.signal.read_value(load), self.leave_at
        )

    def reason(self, load: ResourceLoad) -> str:
        """What is the matter, in words."""
        value = self.signal.read_value(load)
        text = "unknown" if value is None else format(value, self.signal.value_format)
        return self.signal.reason_format.format(value=text, at=self.enter_at, until=self.leave_at)


HEAT = LoadSignal(
    read_value=lambda s: s.celsius,
    value_format=".0f",
    reason_format="heat: {value} °C, from {at:.0f} °C until below {until:.0f} °C",
)
VOLTAGE = LoadSignal(
    read_value=lambda s: s.under_voltage, reason_format="voltage: the supply is too low"
)
MEMORY = LoadSignal(
    read_value=lambda s: s.memory_free_ratio,
    value_format=".1%",
    is_bad_above=False,
    reason_format="memory: {value} free, below {at:.0%} until {until:.0%}",
)
MEMORY_STALLS = LoadSignal(
    read_value=lambda s: s.memory_pressure,
    value_format=".0%",
    reason_format="memory: all wait for it {value} of the time",
)
LOAD = LoadSignal(
    read_value=lambda s: s.load_per_core,
    value_format=".1f",
    reason_format="load: {value} a core, from {at:g} until {until:g}",
)
SLOW_DISK = LoadSignal(
    read_value=lambda s: s.write_ms,
    value_format=".0f",
    reason_format="disk: a write takes {value} ms",
)
FULL_DISK = LoadSignal(
    read_value=lambda s: s.disk_space_ratio,
    is_bad_above=False,
    reason_format="disk: full, and no footage is left that may go",
)

STEPS: tuple[DegradationStep, ...] = (
    # of, leads to, at, until, for_s
    DegradationStep(HEAT, "no_detection", 83, 76, 10),
    DegradationStep(HEAT, "record_only", 88, 80, 10),
    DegradationStep(HEAT, "heartbeat", 95, 85, 10),
    DegradationStep(VOLTAGE, "no_detection", 1, 1, 10),
    DegradationStep(VOLTAGE, "record_only", 1, 1, 120),
    DegradationStep(MEMORY, "no_detection", 0.06, 0.10, 5),
    DegradationStep(MEMORY, "record_only", 0.03, 0.08, 5),
    DegradationStep(MEMORY_STALLS, "no_detection", 0.25, 0.05, 20),
    DegradationStep(LOAD, "no_detection", 6, 3, 120),
    DegradationStep(LOAD, "record_only", 12, 5, 120),
    DegradationStep(SLOW_DISK, "record_only", 5000, 1000, 60),
    DegradationStep(FULL_DISK, "record_only", 0.5, 0.9, 10),
    DegradationStep(FULL_DISK, "heartbeat", 0.2, 0.5, 10),
)
"""The board slows itself down at 80 to 85 °C, so detection goes before recording suffers by that."""


class DegradationPolicy:
    """Where one box stands. What is unknown strains nobody."""

    def __init__(self, t_ns: int, steps: tuple[DegradationStep, ...] = STEPS) -> None:
        self._steps = tuple((step, Hysteresis(step.enter_after_s, RECOVERY_S)) for step in steps)
        self._current = Degradation(level="full", reason="", since_ns=t_ns)

    @property
    def current(self) -> Degradation:
        """Where it stands, as of the last step."""
        return self._current

    def update(self, t_ns: int, load: ResourceLoad) -> Degradation:
        """A look at `t_ns`. The time and the reason stay those of when the level was taken."""
        worst_index = 0
        reason = ""
        for step, hysteresis in self._steps:
            if not hysteresis.update(t_ns, bad=step.breached(load), good=step.recovered(load)):
                continue
            level_index = DEGRADATION_LEVELS.index(step.level)
            if level_index > worst_index:
                worst_index, reason = level_index, step.reason(load)
        level = DEGRADATION_LEVELS[worst_index]
        if level != self._current.level:
            self._current = Degradation(level=level, reason=reason, since_ns=t_ns)
        return self._current
