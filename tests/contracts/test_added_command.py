"""docs/adding/command.md adds a command: its blocks, put into a copy of the tree, pass their tests."""

import json
from pathlib import Path

from tests.contracts.adding_page import AddingPage, run_tests

PAGE = AddingPage("command.md")
MAX_FILES = 3


def test_the_page_changes_few_files() -> None:
    assert len(PAGE.files) <= MAX_FILES


def test_the_command_and_the_pages_pass_their_tests(tmp_path: Path) -> None:
    PAGE.follow(tmp_path)
    document = json.loads((tmp_path / "docs/asyncapi.json").read_text())
    assert "commandUptime" in document["channels"]
    page = (tmp_path / "docs/commands.md").read_text()
    assert '{"box_s":86400.0,"agent_s":3600.0}' in page.partition("\n## `uptime`")[2]
    run_tests(
        tmp_path,
        "pure/test_uptime_command",
        "documents/test_examples",
        "documents/test_tables",
        "pure/test_wire_contract",
    )
