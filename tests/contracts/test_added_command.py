"""docs/adding/command.md adds a command: its blocks, put into a copy of the tree, pass their tests."""

import json
from pathlib import Path

from tests.contracts.adding_page import AddingPage, run

PAGE = AddingPage("command.md")
MAX_FILES = 4


def test_the_page_changes_few_files() -> None:
    assert len(PAGE.files) <= MAX_FILES


def test_the_command_and_the_pages_pass_their_tests(tmp_path: Path) -> None:
    PAGE.follow(tmp_path)
    run(tmp_path, "-m", "scripts.asyncapi")
    run(tmp_path, "-m", "scripts.command_types")
    run(tmp_path, "-m", "scripts.contract_page")
    document = json.loads((tmp_path / "docs/asyncapi.json").read_text())
    assert "commandUptime" in document["channels"]
    names = ("pure/test_uptime_command", "documents/test_examples", "pure/test_wire_contract")
    run(tmp_path, "-m", "pytest", "-q", "-n", "0", *(f"tests/{name}.py" for name in names))
