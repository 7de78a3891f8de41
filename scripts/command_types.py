"""The declarations of all commands, and the table of docs/commands.md: `python -m scripts.command_types`."""

import importlib
from collections.abc import Iterator
from pathlib import Path

from agent.commands.command import CommandType

ROOT = Path(__file__).parents[1]
PAGE_FILE = ROOT / "docs" / "commands.md"
TABLE_HEAD = "| Verb | Request | Permission |\n|---|---|---|\n"


def find_command_types() -> tuple[CommandType, ...]:
    """Return the `COMMAND` of each module of a command, by verb."""
    return tuple(sorted(_read_modules(), key=lambda command: command.verb))


def render_table() -> str:
    """Render the table of verbs and permissions."""
    rows = (
        f"| `{command.verb}` | {command.summary} | {', '.join(f'`{one}`' for one in command.actions)} |\n"
        for command in find_command_types()
    )
    return TABLE_HEAD + "".join(rows)


def insert_table(page: str) -> str:
    """Return the page with the table of today."""
    before, _, rest = page.partition(TABLE_HEAD)
    return before + render_table() + rest[rest.index("\n\n") + 1 :]


def _read_modules() -> Iterator[CommandType]:
    for file in sorted((ROOT / "agent").rglob("*_command.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        command = getattr(importlib.import_module(name), "COMMAND", None)
        if isinstance(command, CommandType):
            yield command


if __name__ == "__main__":
    PAGE_FILE.write_text(insert_table(PAGE_FILE.read_text(encoding="utf-8")), encoding="utf-8")
