"""docs/adding/rule.md adds a rule: its blocks, put into a copy of the tree, pass their tests."""

import json
from pathlib import Path

from tests.contracts.adding_page import AddingPage, run_tests

PAGE = AddingPage("rule.md")
MAX_FILES = 5


def test_the_page_changes_few_files() -> None:
    assert len(PAGE.files) <= MAX_FILES


def test_the_rule_and_the_pages_pass_their_tests(tmp_path: Path) -> None:
    PAGE.follow(tmp_path)
    event = json.loads((tmp_path / "docs/asyncapi.json").read_text())["components"]["schemas"]
    assert "u_turn" in event["EventData"]["properties"]["kind"]["enum"]
    run_tests(
        tmp_path,
        "pure/rules/test_u_turn",
        "documents/test_tables",
        "pure/test_event_types",
        "pure/test_wire_contract",
    )
