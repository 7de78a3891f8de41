"""docs/commands.md and the handlers: every command is shown, and each example is valid."""

import re
import runpy
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from agent.ptz import ptz_command
from scripts.command_types import find_command_types

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "asyncapi.py"))
VERBS = {command.verb: command for command in find_command_types()}
BLOCKS = re.findall(r"^```json ([a-z ]+)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [(name, line) for name, text in BLOCKS for line in text.splitlines()]


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_an_example_is_accepted_and_has_no_unknown_field(name: str, line: str) -> None:
    verb = VERBS[name.rpartition(" ")[2]]
    kind = verb.result if name.startswith("result ") else verb.args
    understood = msgspec.json.decode(line, type=kind)
    written = msgspec.json.decode(msgspec.json.encode(understood))
    assert msgspec.json.decode(line).items() <= written.items()


def test_every_verb_has_an_example_and_a_result() -> None:
    assert {name for name, _ in BLOCKS} == {
        *VERBS,
        *(f"result {name}" for name in VERBS),
    }


def test_every_do_of_ptz_is_in_the_table_and_the_examples() -> None:
    words = {str(kind.__struct_config__.tag) for kind in get_args(ptz_command.Args)}
    shown = {msgspec.json.decode(line)["do"] for name, line in EXAMPLES if name == "ptz"}
    section = PAGE.partition("\n## `ptz`")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", section, re.MULTILINE)
    listed = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row)}
    assert shown == words
    assert listed - {"do"} == words
