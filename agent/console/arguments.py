"""Checks of the arguments of a console command."""

from collections.abc import Sequence

from agent.base.errors import UserError

_MAX_NUMBER_CHARS = 9


def no_more_args(name: str, argv: Sequence[str]) -> None:
    """Raise UserError if there are arguments."""
    if argv:
        raise UserError(f"{name} {' '.join(argv)}: allowed: {name} without arguments")


def choose_arg(kind: str, given: str | None, choices: Sequence[str]) -> str:
    """Return the name that is given, or the only one that is configured.

    Raises UserError if it is not among the choices, or missing although there are several.
    """
    if given is not None and given in choices:
        return given
    if given is None and len(choices) == 1:
        return choices[0]
    if not choices:
        raise UserError(f"no {kind} is configured")
    message = f"{kind} {given!r}: no such {kind}" if given is not None else f"name the {kind}"
    raise UserError(f"{message}; allowed: {', '.join(choices)}")


def parse_int(text: str, low: int, high: int) -> int | None:
    """Return a decimal number from `low` to `high`, or None if the text is not one."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_NUMBER_CHARS):
        return None
    number = int(text)
    return number if low <= number <= high else None
