"""What the commands of `vigie footage` share: JSON for machines, a bar for a person who looks on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.progress import Progress

MAX_TEXT_CHARS = 300
"""What a person may say in one go, of himself or of why."""


def print_json(value: object) -> None:
    """One object on a line."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def escape_unprintable(text: str) -> str:
    """What others have written, on one line: what is not to be seen, and what would move the cursor or
    hide what follows, stands as its escape.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the standard error, where that is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
