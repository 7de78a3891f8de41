"""The status LED: fault codes as counted blinks, or a heartbeat without faults.

Pure: time is an argument. CAM-02 is one long blink for CAM, then two short ones for 02. The table
of docs/runbook.md is made from `blink_text`.
"""

from collections.abc import Sequence

import msgspec

FAMILY_BLINKS = {
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
"""The long blinks of a family of codes: the fewer, the more frequent it is at a pole."""

LONG_S = 0.8
SHORT_S = 0.2
BLINK_GAP_S = 0.4
GROUP_GAP_S = 1.2
"""Dark between the long blinks and the short ones."""
CODE_GAP_S = 3.0
"""Dark after a code."""
CYCLE_GAP_S = 6.0
"""Dark after the last of several codes, so that the worst one is recognised: it comes next."""
HEARTBEAT_ON_S = 0.1
HEARTBEAT_PERIOD_S = 3.0


class Flash(msgspec.Struct, frozen=True):
    """The LED on or off for some time."""

    is_on: bool
    duration_s: float


HEARTBEAT = (
    Flash(is_on=True, duration_s=HEARTBEAT_ON_S),
    Flash(is_on=False, duration_s=HEARTBEAT_PERIOD_S - HEARTBEAT_ON_S),
)


def blink_counts(code: str) -> tuple[int, int]:
    """Return the long and the short blinks of a code."""
    family, number = code.split("-")
    return FAMILY_BLINKS[family], int(number)


def blink_text(code: str) -> str:
    """Return a code's blinks as text: `1 long, 2 short`."""
    long, short = blink_counts(code)
    return f"{long} long, {short} short"


def blink_pattern(code: str, gap_s: float = CODE_GAP_S) -> tuple[Flash, ...]:
    """Return a code's blinks in time, with the dark after them."""
    long, short = blink_counts(code)
    on_s = [LONG_S] * long + [SHORT_S] * short
    off_s = [BLINK_GAP_S] * (long - 1) + [GROUP_GAP_S] + [BLINK_GAP_S] * (short - 1) + [gap_s]
    return tuple(
        flash
        for lit_s, dark_s in zip(on_s, off_s, strict=True)
        for flash in (Flash(is_on=True, duration_s=lit_s), Flash(is_on=False, duration_s=dark_s))
    )


class StatusLed:
    """Shows the codes in turn, in the order in which they are given, each to its end.

    A late `step` makes a blink longer, and never skips one.
    """

    def __init__(self) -> None:
        self._pending_flashes: list[Flash] = []
        self._shown_codes: set[str] = set()
        self._is_on = False
        self.due_ns = 0
        """When to call `step` next."""

    def step(self, t_ns: int, codes: Sequence[str]) -> bool:
        """Return whether the LED is on at `t_ns`, while these codes are active."""
        if t_ns >= self.due_ns:
            if not self._pending_flashes:
                self._pending_flashes = list(self._next_pattern(codes))
            flash = self._pending_flashes.pop(0)
            self._is_on, self.due_ns = flash.is_on, t_ns + round(flash.duration_s * 1e9)
        return self._is_on

    def _next_pattern(self, codes: Sequence[str]) -> tuple[Flash, ...]:
        remaining_codes = [code for code in codes if code not in self._shown_codes]
        if not remaining_codes:
            self._shown_codes.clear()
            remaining_codes = list(codes)
        if not remaining_codes:
            return HEARTBEAT
        self._shown_codes.add(remaining_codes[0])
        is_last = len(codes) > 1 and len(remaining_codes) == 1
        return blink_pattern(remaining_codes[0], CYCLE_GAP_S if is_last else CODE_GAP_S)
