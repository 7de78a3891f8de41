"""Checks of the arguments of a console command."""

import re
from collections.abc import Sequence

from agent.base.message import Message, Text
from agent.console.errors import ConsoleError

_MAX_NUMBER_CHARS = 9
DECIMAL_REGEX = r"^[+-]?[0-9]{1,4}(?:[.,][0-9]{1,4})?$(?!\n)"
"""With the decimal sign of any of the console's languages."""
_DECIMAL_PATTERN = re.compile(DECIMAL_REGEX)


def usage_error(typed: Sequence[str], *allowed: Text) -> ConsoleError:
    """Return the error of a command line that is not allowed. Each form that is gets a line of its own."""
    return ConsoleError(Message("{typed}: allowed:", typed=" ".join(typed)), usage=allowed)


def no_more_args(name: str, argv: Sequence[str]) -> None:
    """Raise ConsoleError if there are arguments."""
    if argv:
        raise usage_error((name, *argv), Message("{command} without arguments", command=name))


def choose_arg(kind: Message, given: str | None, choices: Sequence[str]) -> str:
    """Return the name that is given, or the only one that is configured.

    Raises ConsoleError if it is not among the choices, or missing although there are several.
    """
    if given is not None and given in choices:
        return given
    if given is None and len(choices) == 1:
        return choices[0]
    if not choices:
        raise ConsoleError(Message("no {kind} is configured", kind=kind))
    names = ", ".join(choices)
    if given is None:
        raise ConsoleError(Message("name the {kind}; allowed: {names}", kind=kind, names=names))
    raise ConsoleError(
        Message(
            "{kind} {given!r}: no such {kind}; allowed: {names}",
            kind=kind,
            given=given,
            names=names,
        )
    )


def parse_int(text: str, low: int, high: int) -> int | None:
    """Return a decimal number from `low` to `high`, or None if the text is not one."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_NUMBER_CHARS):
        return None
    number = int(text)
    return number if low <= number <= high else None


def parse_decimal(text: str, low: float, high: float) -> float | None:
    """Return a number with an optional fraction from `low` to `high`, or None if the text is not one."""
    if not _DECIMAL_PATTERN.fullmatch(text):
        return None
    number = float(text.replace(",", "."))
    return number if low <= number <= high else None
