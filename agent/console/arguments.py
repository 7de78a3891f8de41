"""The words after a command's name."""

from collections.abc import Sequence

from agent.base.errors import UserError


def no_more_args(name: str, words: Sequence[str]) -> None:
    """Raise BadInput where there are any."""
    if words:
        raise UserError(f"{name} {' '.join(words)}: allowed: {name}, and nothing after it")


def choose_arg(what: str, given: str | None, known: Sequence[str]) -> str:
    """The one that is named, or the only one there is. Raises BadInput."""
    if given is not None and given in known:
        return given
    if given is None and len(known) == 1:
        return known[0]
    if not known:
        raise UserError(f"no {what} is configured")
    said = f"{what} {given!r}: no such {what}" if given is not None else f"say which {what}"
    raise UserError(f"{said}; there are: {', '.join(known)}")
