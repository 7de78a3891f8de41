"""The degradation ladder: how much a box under strain still does. Pure.

It goes down at once where it must, and up a while after the last reason has gone: a box that is hot
because it detects would else be hot again in a minute. Recording is shed last.
"""

from collections.abc import Callable

import msgspec

from agent.base.health_model import LEVELS, Degradation, Level
from agent.health.hysteresis import Hysteresis, above, below
from agent.health.strain import ResourceLoad

CALM_S = 120.0
"""So long everything must be good before the box does more again."""


class LoadSignal(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a box may suffer from: where it stands in a strain, whether it is bad above its
    mark or below, and how it is told. `why` may name the value, written in `form`, and both marks.
    """

    value: Callable[[ResourceLoad], float | None]
    why: str
    form: str = ""
    bad_above: bool = True


class DegradationStep(msgspec.Struct, frozen=True):
    """One reason for one level: bad from `at` on for `for_s` on end, until it was good, beyond `until`,
    for CALM_S.
    """

    sign: LoadSignal
    level: Level
    at: float
    until: float
    for_s: float

    def is_over(self, strain: ResourceLoad) -> bool | None:
        """Whether it is; None where nobody knows."""
        return (above if self.sign.bad_above else below)(self.sign.value(strain), self.at)

    def good(self, strain: ResourceLoad) -> bool | None:
        """The same of the other mark."""
        return (below if self.sign.bad_above else above)(self.sign.value(strain), self.until)

    def reason(self, strain: ResourceLoad) -> str:
        """What is the matter, in words."""
        value = self.sign.value(strain)
        told = "unknown" if value is None else format(value, self.sign.form)
        return self.sign.why.format(value=told, at=self.at, until=self.until)


HEAT = LoadSignal(
    value=lambda s: s.celsius,
    form=".0f",
    why="heat: {value} °C, from {at:.0f} °C until below {until:.0f} °C",
)
VOLTAGE = LoadSignal(value=lambda s: s.under_voltage, why="voltage: the supply is too low")
MEMORY = LoadSignal(
    value=lambda s: s.memory_free,
    form=".1%",
    bad_above=False,
    why="memory: {value} free, below {at:.0%} until {until:.0%}",
)
STALLS = LoadSignal(
    value=lambda s: s.memory_pressure,
    form=".0%",
    why="memory: all wait for it {value} of the time",
)
LOAD = LoadSignal(
    value=lambda s: s.load_per_core,
    form=".1f",
    why="load: {value} a core, from {at:g} until {until:g}",
)
SLOW_DISK = LoadSignal(value=lambda s: s.write_ms, form=".0f", why="disk: a write takes {value} ms")
FULL_DISK = LoadSignal(
    value=lambda s: s.room,
    bad_above=False,
    why="disk: full, and no footage is left that may go",
)

RUNGS: tuple[DegradationStep, ...] = (
    # of, leads to, at, until, for_s
    DegradationStep(HEAT, "no_detection", 83, 76, 10),
    DegradationStep(HEAT, "record_only", 88, 80, 10),
    DegradationStep(HEAT, "heartbeat", 95, 85, 10),
    DegradationStep(VOLTAGE, "no_detection", 1, 1, 10),
    DegradationStep(VOLTAGE, "record_only", 1, 1, 120),
    DegradationStep(MEMORY, "no_detection", 0.06, 0.10, 5),
    DegradationStep(MEMORY, "record_only", 0.03, 0.08, 5),
    DegradationStep(STALLS, "no_detection", 0.25, 0.05, 20),
    DegradationStep(LOAD, "no_detection", 6, 3, 120),
    DegradationStep(LOAD, "record_only", 12, 5, 120),
    DegradationStep(SLOW_DISK, "record_only", 5000, 1000, 60),
    DegradationStep(FULL_DISK, "record_only", 0.5, 0.9, 10),
    DegradationStep(FULL_DISK, "heartbeat", 0.2, 0.5, 10),
)
"""The board slows itself down at 80 to 85 °C, so detection goes before recording suffers by that."""


class DegradationPolicy:
    """Where one box stands. What is unknown strains nobody."""

    def __init__(self, t_ns: int, rungs: tuple[DegradationStep, ...] = RUNGS) -> None:
        self._rungs = tuple((rung, Hysteresis(rung.for_s, CALM_S)) for rung in rungs)
        self._now = Degradation(level="full", why="", since_ns=t_ns)

    @property
    def now(self) -> Degradation:
        """Where it stands, as of the last step."""
        return self._now

    def update(self, t_ns: int, strain: ResourceLoad) -> Degradation:
        """A look at `t_ns`. The time and the reason stay those of when the level was taken."""
        reached = 0
        why = ""
        for rung, latch in self._rungs:
            if not latch.update(t_ns, bad=rung.is_over(strain), good=rung.good(strain)):
                continue
            height = LEVELS.index(rung.level)
            if height > reached:
                reached, why = height, rung.reason(strain)
        level = LEVELS[reached]
        if level != self._now.level:
            self._now = Degradation(level=level, why=why, since_ns=t_ns)
        return self._now
