"""What the status LED shows: fault codes as counted blinks, or the heartbeat of a box that is well.

Pure: time is an argument. CAM-02 is one long blink for CAM, then two short ones for 02. The table
of docs/runbook.md is made from `words`.
"""

from collections.abc import Iterable, Sequence

import msgspec

from agent.base.health_model import Fault

FAMILIES = {
    "CAM": 1,
    "STO": 2,
    "NET": 3,
    "PTZ": 4,
    "GPI": 5,
    "SYS": 6,
    "DET": 7,
    "MSK": 8,
    "CUS": 9,
    "CTL": 10,
    "SVC": 11,
}
"""How many long blinks a family of codes has: the fewer, the more often it is met at a pole."""

LONG_S = 0.8
SHORT_S = 0.2
GAP_S = 0.4
BETWEEN_S = 1.2
"""Dark between the long blinks and the short ones."""
AFTER_S = 3.0
"""Dark after a code."""
AFTER_ALL_S = 6.0
"""Dark after the last of several codes, so that the worst one is known by coming next."""
BEAT_S = 0.1
BEAT_EVERY_S = 3.0

_SEVERITIES = ("critical", "error", "warning")


class Flash(msgspec.Struct, frozen=True):
    """The light on or off for some time."""

    on: bool
    for_s: float


HEARTBEAT = (Flash(on=True, for_s=BEAT_S), Flash(on=False, for_s=BEAT_EVERY_S - BEAT_S))


def counts(code: str) -> tuple[int, int]:
    """The long and the short blinks of a code."""
    family, number = code.split("-")
    return FAMILIES[family], int(number)


def words(code: str) -> str:
    """A code's blinks for people: `1 long, 2 short`."""
    long, short = counts(code)
    return f"{long} long, {short} short"


def pattern(code: str, after_s: float = AFTER_S) -> tuple[Flash, ...]:
    """A code's blinks in time, with the dark after them."""
    long, short = counts(code)
    on_s = [LONG_S] * long + [SHORT_S] * short
    off_s = [GAP_S] * (long - 1) + [BETWEEN_S] + [GAP_S] * (short - 1) + [after_s]
    return tuple(
        flash
        for lit_s, dark_s in zip(on_s, off_s, strict=True)
        for flash in (Flash(on=True, for_s=lit_s), Flash(on=False, for_s=dark_s))
    )


def worst_first(faults: Iterable[Fault]) -> tuple[str, ...]:
    """Their codes, each once, the worst severity first."""
    ranks = {fault.code: _SEVERITIES.index(fault.severity) for fault in faults}
    return tuple(sorted(ranks, key=lambda code: (ranks[code], code)))


class StatusLed:
    """Goes through the codes, the worst first, and begins anew. A code that is being shown is shown
    to its end. Who is late sees a blink longer, and never one less.
    """

    def __init__(self) -> None:
        self._flashes: list[Flash] = []
        self._shown: set[str] = set()
        self._on = False
        self.due_ns = 0
        """When to call `step` next."""

    def step(self, t_ns: int, codes: Sequence[str]) -> bool:
        """Whether the light is on at `t_ns`, while these codes stand."""
        if t_ns >= self.due_ns:
            if not self._flashes:
                self._flashes = list(self._next(codes))
            flash = self._flashes.pop(0)
            self._on, self.due_ns = flash.on, t_ns + round(flash.for_s * 1e9)
        return self._on

    def _next(self, codes: Sequence[str]) -> tuple[Flash, ...]:
        left = [code for code in codes if code not in self._shown]
        if not left:
            self._shown.clear()
            left = list(codes)
        if not left:
            return HEARTBEAT
        self._shown.add(left[0])
        last = len(codes) > 1 and len(left) == 1
        return pattern(left[0], AFTER_ALL_S if last else AFTER_S)
