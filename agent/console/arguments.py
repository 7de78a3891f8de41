"""The words after a command's name."""

from collections.abc import Sequence

from agent.base.errors import UserError


def no_more_args(name: str, argv: Sequence[str]) -> None:
    """Raise UserError where there are any."""
    if argv:
        raise UserError(f"{name} {' '.join(argv)}: allowed: {name}, and nothing after it")


def choose_arg(kind: str, given: str | None, choices: Sequence[str]) -> str:
    """The one that is named, or the only one there is. Raises UserError."""
    if given is not None and given in choices:
        return given
    if given is None and len(choices) == 1:
        return choices[0]
    if not choices:
        raise UserError(f"no {kind} is configured")
    message = f"{kind} {given!r}: no such {kind}" if given is not None else f"say which {kind}"
    raise UserError(f"{message}; there are: {', '.join(choices)}")
