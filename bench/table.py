"""One row of the table that `make bench` prints, and what there is to say of it."""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

TargetVerdict = Literal["met", "missed", "no target"]

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_TARGET_PATTERN = re.compile(r"^(?:aim )?(<=|>=|<|>) *(-?\d*\.?\d+)$(?!\n)")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number beside what it aims at.

    `target` is a comparison and a number, such as `<= 1.1` or `aim >= 0.93`, or `-` where the
    number is there to be known.
    """

    name: str
    value: float
    unit: str
    target: str
    note: str = ""

    def verdict(self) -> TargetVerdict:
        """Whether the value is where it should be. Raises ValueError for a target of no sense."""
        if self.target == "-":
            return "no target"
        match = _TARGET_PATTERN.match(self.target)
        if match is None:
            raise ValueError(f"{self.name}: target {self.target!r}: not a comparison and a number")
        symbol, limit = match.groups()
        return "met" if _OPERATORS[symbol](self.value, float(limit)) else "missed"

    def format_value(self) -> str:
        """The value with its unit, to three digits or so."""
        digits = 3 if abs(self.value) < 1 else 2 if abs(self.value) < 100 else 0
        number = f"{self.value:.{digits}f}"
        return number if self.unit in ("", "ratio") else f"{number} {self.unit}"
