"""docs/pole-page-acts.md and the declarations of the acts."""

import string
from typing import Any

import pytest

from agent.console.acts.act import Act, ActCall, Upload
from agent.console.acts.act_table import ACTS
from agent.console.serve import COMMANDS
from scripts.act_table import PAGE_FILE, insert_table


def test_the_table_of_acts_is_that_of_the_declarations() -> None:
    page = PAGE_FILE.read_text(encoding="utf-8")
    assert insert_table(page) == page, "run `make docs`"
    assert {"jog", "certificate"} < ACTS.keys()


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_the_words_of_a_receipt_name_what_the_act_has(act: Act[Any, Any]) -> None:
    for _, field, _, _ in string.Formatter().parse(act.receipt):
        match (field or "").split("."):
            case [""]:
                pass
            case ["args", name]:
                assert hasattr(act.args_type, name)
            case ["call", "upload", name]:
                assert act.upload_max_bytes > 0
                assert "upload" in ActCall.__struct_fields__
                assert name in Upload.__struct_fields__
            case _:
                pytest.fail(f"{field}: allowed: args.NAME, call.upload.NAME")


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_an_act_names_commands_of_the_console(act: Act[Any, Any]) -> None:
    typed = {words.split()[0] for words in act.typed.split(", ") if words}
    assert typed <= {command.name for command in COMMANDS}
