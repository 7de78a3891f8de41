"""docs/adding/health-field.md adds a health field: its blocks, put into a copy of the tree, pass."""

import json
from pathlib import Path

from tests.contracts.adding_page import AddingPage, run_tests

PAGE = AddingPage("health-field.md")
MAX_FILES = 3


def test_the_page_changes_few_files() -> None:
    assert len(PAGE.files) <= MAX_FILES


def test_the_field_and_the_pages_pass_their_tests(tmp_path: Path) -> None:
    PAGE.follow(tmp_path)
    schemas = json.loads((tmp_path / "docs/asyncapi.json").read_text())["components"]["schemas"]
    assert "agent_open_files" in schemas["Vitals"]["properties"]
    assert "the entries of `/proc/self/fd`" in (tmp_path / "docs/contract.md").read_text()
    run_tests(
        tmp_path, "parts/test_vitals_open_files", "parts/test_vitals", "pure/test_wire_contract"
    )
