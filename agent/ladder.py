"""The degradation ladder: how much a box under strain still does. Pure.

It goes down at once where it must, and up a while after the last reason has gone: a box that is hot
because it detects would else be hot again in a minute. Recording is shed last.
"""

from collections.abc import Callable

import msgspec

from agent.health_model import LEVELS, Degradation, Level
from agent.latch import Latch, above, below
from agent.strain import Strain

CALM_S = 120.0
"""So long everything must be good before the box does more again."""


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One reason for one level: bad for `for_s` on end, until it was good for CALM_S."""

    level: Level
    bad: Callable[[Strain], bool | None]
    good: Callable[[Strain], bool | None]
    for_s: float
    why: Callable[[Strain], str]


def _heat(level: Level, at: float, until: float) -> Rung:
    return Rung(
        level=level,
        bad=lambda s: above(s.celsius, at),
        good=lambda s: below(s.celsius, until),
        for_s=10.0,
        why=lambda s: (
            f"heat: {_told(s.celsius, '.0f')} °C, from {at:.0f} °C until below {until:.0f} °C"
        ),
    )


def _voltage(level: Level, for_s: float) -> Rung:
    return Rung(
        level=level,
        bad=lambda s: s.under_voltage,
        good=lambda s: None if s.under_voltage is None else not s.under_voltage,
        for_s=for_s,
        why=lambda _: "voltage: the supply is too low",
    )


def _memory(level: Level, at: float, until: float) -> Rung:
    return Rung(
        level=level,
        bad=lambda s: below(s.memory_free, at),
        good=lambda s: above(s.memory_free, until),
        for_s=5.0,
        why=lambda s: (
            f"memory: {_told(s.memory_free, '.1%')} free, below {at:.0%} until {until:.0%}"
        ),
    )


def _stalls(level: Level, at: float, until: float) -> Rung:
    return Rung(
        level=level,
        bad=lambda s: above(s.memory_pressure, at),
        good=lambda s: below(s.memory_pressure, until),
        for_s=20.0,
        why=lambda s: f"memory: all wait for it {_told(s.memory_pressure, '.0%')} of the time",
    )


def _load(level: Level, at: float, until: float) -> Rung:
    return Rung(
        level=level,
        bad=lambda s: above(s.load_per_core, at),
        good=lambda s: below(s.load_per_core, until),
        for_s=120.0,
        why=lambda s: f"load: {_told(s.load_per_core, '.1f')} a core, from {at:g} until {until:g}",
    )


def _slow_disk(level: Level, at: float, until: float) -> Rung:
    return Rung(
        level=level,
        bad=lambda s: above(s.write_ms, at),
        good=lambda s: below(s.write_ms, until),
        for_s=60.0,
        why=lambda s: f"disk: a write takes {_told(s.write_ms, '.0f')} ms",
    )


def _full_disk(level: Level, at: float, until: float) -> Rung:
    return Rung(
        level=level,
        bad=lambda s: below(s.room, at),
        good=lambda s: above(s.room, until),
        for_s=10.0,
        why=lambda _: "disk: full, and no footage is left that may go",
    )


RUNGS: tuple[Rung, ...] = (
    _heat("no_detection", 83, 76),
    _heat("record_only", 88, 80),
    _heat("heartbeat", 95, 85),
    _voltage("no_detection", 10.0),
    _voltage("record_only", 120.0),
    _memory("no_detection", 0.06, 0.10),
    _memory("record_only", 0.03, 0.08),
    _stalls("no_detection", 0.25, 0.05),
    _load("no_detection", 6.0, 3.0),
    _load("record_only", 12.0, 5.0),
    _slow_disk("record_only", 5000.0, 1000.0),
    _full_disk("record_only", 0.5, 0.9),
    _full_disk("heartbeat", 0.2, 0.5),
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


def _told(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)
