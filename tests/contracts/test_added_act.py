"""docs/adding/act.md adds an act: its blocks, put into a copy of the tree, pass their tests."""

from pathlib import Path

from tests.contracts.adding_page import AddingPage, run_tests

PAGE = AddingPage("act.md")
MAX_FILES = 3


def test_the_page_changes_few_files() -> None:
    assert len(PAGE.files) <= MAX_FILES


def test_the_act_and_the_table_pass_their_tests(tmp_path: Path) -> None:
    PAGE.follow(tmp_path)
    table = (tmp_path / "docs/pole-page-acts.md").read_text(encoding="utf-8")
    assert "| `uptime` | Return how long the box has run | | | |" in table
    run_tests(tmp_path, "parts/test_uptime_act", "documents/test_docs_acts")
