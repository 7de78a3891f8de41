"""One row of the table that `make bench` prints, and its verdict."""

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
    """One measured number and its target.

    `target` is a comparison and a number, such as `<= 1.1` or `aim >= 0.93`, or `-` without a target.
    """

    name: str
    value: float
    unit: str
    target: str
    note: str = ""

    def verdict(self) -> TargetVerdict:
        """Compare the value with the target. Raises: ValueError if the target cannot be parsed."""
        if self.target == "-":
            return "no target"
        match = _TARGET_PATTERN.match(self.target)
        if match is None:
            raise ValueError(f"{self.name}: target {self.target!r}: not a comparison and a number")
        symbol, limit = match.groups()
        return "met" if _OPERATORS[symbol](self.value, float(limit)) else "missed"

    def format_value(self) -> str:
        """Format the value with its unit, to about three digits."""
        digits = 3 if abs(self.value) < 1 else 2 if abs(self.value) < 100 else 0
        number = f"{self.value:.{digits}f}"
        return number if self.unit in ("", "ratio") else f"{number} {self.unit}"
