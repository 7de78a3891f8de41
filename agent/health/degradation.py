"""The degradation ladder: how much a box under strain still does. Pure.

It goes down at once where it must, and up a while after the last reason has gone: a box that is hot
because it detects would else be hot again in a minute. Recording is shed last.
"""

from collections.abc import Callable

import msgspec

from agent.base.health_model import LEVELS, Degradation, Level
from agent.health.hysteresis import Latch, above, below
from agent.health.strain import Strain

CALM_S = 120.0
"""So long everything must be good before the box does more again."""


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a box may suffer from: where it stands in a strain, whether it is bad above its
    mark or below, and how it is told. `why` may name the value, written in `form`, and both marks.
    """

    value: Callable[[Strain], float | None]
    why: str
    form: str = ""
    bad_above: bool = True


class Rung(msgspec.Struct, frozen=True):
    """One reason for one level: bad from `at` on for `for_s` on end, until it was good, beyond `until`,
    for CALM_S.
    """

    sign: Sign
    level: Level
    at: float
    until: float
    for_s: float

    def bad(self, strain: Strain) -> bool | None:
        """Whether it is; None where nobody knows."""
        return (above if self.sign.bad_above else below)(self.sign.value(strain), self.at)

    def good(self, strain: Strain) -> bool | None:
        """The same of the other mark."""
        return (below if self.sign.bad_above else above)(self.sign.value(strain), self.until)

    def why(self, strain: Strain) -> str:
        """What is the matter, in words."""
        value = self.sign.value(strain)
        told = "unknown" if value is None else format(value, self.sign.form)
        return self.sign.why.format(value=told, at=self.at, until=self.until)


HEAT = Sign(
    value=lambda s: s.celsius,
    form=".0f",
    why="heat: {value} °C, from {at:.0f} °C until below {until:.0f} °C",
)
VOLTAGE = Sign(value=lambda s: s.under_voltage, why="voltage: the supply is too low")
MEMORY = Sign(
    value=lambda s: s.memory_free,
    form=".1%",
    bad_above=False,
    why="memory: {value} free, below {at:.0%} until {until:.0%}",
)
STALLS = Sign(
    value=lambda s: s.memory_pressure,
    form=".0%",
    why="memory: all wait for it {value} of the time",
)
LOAD = Sign(
    value=lambda s: s.load_per_core,
    form=".1f",
    why="load: {value} a core, from {at:g} until {until:g}",
)
SLOW_DISK = Sign(value=lambda s: s.write_ms, form=".0f", why="disk: a write takes {value} ms")
FULL_DISK = Sign(
    value=lambda s: s.room,
    bad_above=False,
    why="disk: full, and no footage is left that may go",
)

RUNGS: tuple[Rung, ...] = (
    # of, leads to, at, until, for_s
    Rung(HEAT, "no_detection", 83, 76, 10),
    Rung(HEAT, "record_only", 88, 80, 10),
    Rung(HEAT, "heartbeat", 95, 85, 10),
    Rung(VOLTAGE, "no_detection", 1, 1, 10),
    Rung(VOLTAGE, "record_only", 1, 1, 120),
    Rung(MEMORY, "no_detection", 0.06, 0.10, 5),
    Rung(MEMORY, "record_only", 0.03, 0.08, 5),
    Rung(STALLS, "no_detection", 0.25, 0.05, 20),
    Rung(LOAD, "no_detection", 6, 3, 120),
    Rung(LOAD, "record_only", 12, 5, 120),
    Rung(SLOW_DISK, "record_only", 5000, 1000, 60),
    Rung(FULL_DISK, "record_only", 0.5, 0.9, 10),
    Rung(FULL_DISK, "heartbeat", 0.2, 0.5, 10),
)
"""The board slows itself down at 80 to 85 °C, so detection goes before recording suffers by that."""


class Ladder:
    """Where one box stands. What is unknown strains nobody."""

    def __init__(self, t_ns: int, rungs: tuple[Rung, ...] = RUNGS) -> None:
        self._rungs = tuple((rung, Latch(rung.for_s, CALM_S)) for rung in rungs)
        self._now = Degradation(level="full", why="", since_ns=t_ns)

    @property
    def now(self) -> Degradation:
        """Where it stands, as of the last step."""
        return self._now

    def step(self, t_ns: int, strain: Strain) -> Degradation:
        """A look at `t_ns`. The time and the reason stay those of when the level was taken."""
        reached = 0
        why = ""
        for rung, latch in self._rungs:
            if not latch.step(t_ns, bad=rung.bad(strain), good=rung.good(strain)):
                continue
            height = LEVELS.index(rung.level)
            if height > reached:
                reached, why = height, rung.why(strain)
        level = LEVELS[reached]
        if level != self._now.level:
            self._now = Degradation(level=level, why=why, since_ns=t_ns)
        return self._now
