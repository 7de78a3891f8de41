"""Output and arguments that several commands share: JSON, replies, safe text, a progress bar, a prompt."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from agent.base.errors import UserError
from agent.base.model import CommandAccepted, CommandDone, CommandProgress, CommandRefused, Reply
from agent.base.progress import ProgressCallback

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

MAX_TEXT_CHARS = 300
"""Length of a person's name or reason, as an argument."""

COMPARE_KEY_HINT = "  compare this key with the one that the centre knows: --public-key KEY"
"""Printed if a signature was verified with a key that only the signed files name."""


def print_json(value: object) -> None:
    """Print a value as one line of JSON."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def print_reply(
    reply: Reply,
    print_result: Callable[[bytes], None],
    *,
    as_json: bool,
    clean: Callable[[str], str],
) -> int:
    """Print a reply to a command, with foreign text as `clean` returns it. Return 1 unless the command is done."""
    if as_json:
        print_json(reply)
        return not isinstance(reply, CommandDone)
    match reply:
        case CommandAccepted():
            print("accepted", file=sys.stderr)
        case CommandProgress():
            print(f"{reply.progress:4.0%} {clean(reply.detail)}", file=sys.stderr)
        case CommandRefused():
            print(f"vigie: {reply.code}: {clean(reply.message)}", file=sys.stderr)
        case CommandDone():
            print_result(bytes(reply.result))
            return 0
    return 1


def escape_unprintable(text: str) -> str:
    """Return foreign text on one line, with its control characters as escapes.

    Otherwise it could move the terminal's cursor or hide what follows.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def parse_text(text: str, option: str) -> str:
    """Return a person's text, stripped. Raises: UserError if it is not one line of text."""
    stripped = text.strip()
    if not stripped or len(stripped) > MAX_TEXT_CHARS or not stripped.isprintable():
        raise UserError(f"{option} {text!r}: allowed: one line of 1 to {MAX_TEXT_CHARS} characters")
    return stripped


def check_interactive(command: str) -> None:
    """Raise UserError if no person can answer: standard input is no terminal."""
    if not sys.stdin.isatty():
        raise UserError(f"{command}: no terminal to ask at; allowed: at a terminal, or --yes")


@contextmanager
def progress_bar(label: str, *columns: "ProgressColumn") -> Iterator[ProgressCallback]:
    """Yield a function that is called with what is done and the total.

    The bar is drawn on standard error, if that is a terminal, with rich's default columns or these.
    """
    # Few commands draw one, and the import of rich takes longer than the start of all the others.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    is_disabled = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=is_disabled) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
