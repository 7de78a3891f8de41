"""The declarations of all commands, and what docs/commands.md has of them: `python -m scripts.command_types`."""

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

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


def insert_declarations(page: str) -> str:
    """Return the page with the table and the examples of today; a command that it lacks gets a section at its end."""
    before, _, rest = page.partition(TABLE_HEAD)
    page = before + render_table() + rest[rest.index("\n\n") + 1 :]
    for command in find_command_types():
        args = _block(command.verb, map(_given, command.examples))
        results = _block(f"result {command.verb}", command.result_examples)
        if args.splitlines()[0] not in page.splitlines():
            page += f"\n## `{command.verb}`: {command.summary}\n\n{args}{results}"
        page = _replace_block(_replace_block(page, args), results)
    return page


def _block(name: str, examples: Iterable[object]) -> str:
    lines = "\n".join(msgspec.json.encode(example).decode() for example in examples)
    return f"```json {name}\n{lines}\n```\n"


def _replace_block(page: str, block: str) -> str:
    before, fence, rest = page.partition(block[: block.index("\n") + 1])
    return before + block + rest.partition("```\n")[2] if fence else page


def _given(value: object) -> object:
    """Return arguments as a requester writes them: without the fields that have their default."""
    if not isinstance(value, msgspec.Struct):
        return value
    config = value.__struct_config__
    tag = {} if config.tag_field is None else {config.tag_field: config.tag}
    fields = {
        field.encode_name: getattr(value, field.name)
        for field in msgspec.structs.fields(value)
        if getattr(value, field.name) != field.default
    }
    return tag | {name: _given(field) for name, field in fields.items()}


def _read_modules() -> Iterator[CommandType]:
    for file in sorted((ROOT / "agent").rglob("*_command.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        command = getattr(importlib.import_module(name), "COMMAND", None)
        if isinstance(command, CommandType):
            yield command


if __name__ == "__main__":
    PAGE_FILE.write_text(
        insert_declarations(PAGE_FILE.read_text(encoding="utf-8")), encoding="utf-8"
    )
