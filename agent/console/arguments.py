"""The words after a command's name."""

from collections.abc import Sequence

from agent.base.errors import BadInput


def refuse_more(name: str, words: Sequence[str]) -> None:
    """Raise BadInput where there are any."""
    if words:
        raise BadInput(f"{name} {' '.join(words)}: allowed: {name}, and nothing after it")


def one_of(what: str, given: str | None, known: Sequence[str]) -> str:
    """The one that is named, or the only one there is. Raises BadInput."""
    if given is not None and given in known:
        return given
    if given is None and len(known) == 1:
        return known[0]
    if not known:
        raise BadInput(f"no {what} is configured")
    said = f"{what} {given!r}: no such {what}" if given is not None else f"say which {what}"
    raise BadInput(f"{said}; there are: {', '.join(known)}")
