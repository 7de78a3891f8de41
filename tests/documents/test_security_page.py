"""docs/security.md: each test that it names exists, and each position states what is not defended."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
SUMMARY, *SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
POSITIONS = {
    name: (anchor, cells.split(" | ")[-1])
    for name, anchor, cells in re.findall(
        r"^\| \[([^]]+)\]\(#([a-z-]+)\) \| (.+) \|$", SUMMARY, re.MULTILINE
    )
}
TEST_LINKS = re.findall(r"\[`([^`]+)`\]\(\.\./(tests/[^)]+)\)", PAGE)


@cache
def defined_tests(path: Path) -> frozenset[str]:
    """Return the names of the test functions of a file."""
    return frozenset(
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def section_of(position: str) -> str:
    (section,) = (text for text in SECTIONS if text.startswith(f"{position}\n"))
    return section


def attack_rows(section: str) -> list[list[str]]:
    """Return the cells of each attack, its defence and its tests."""
    rows = [row[2:-2].split(" | ") for row in section.splitlines() if row.startswith("| ")]
    assert rows[0] == ["Attack", "Defence", "Test"]
    return rows[1:]


@pytest.mark.parametrize(("name", "file"), TEST_LINKS, ids=[name for name, _ in TEST_LINKS])
def test_a_named_test_exists(name: str, file: str) -> None:
    assert name in defined_tests(ROOT / file)


def test_every_mention_of_a_test_is_a_link_to_its_file() -> None:
    assert len(TEST_LINKS) == len(re.findall(r"\btest_\w+`", PAGE))


def test_the_table_has_the_sections_of_the_page() -> None:
    assert list(POSITIONS) == [section.splitlines()[0] for section in SECTIONS]
    for name, (anchor, _) in POSITIONS.items():
        assert anchor == name.lower().replace(" ", "-")


@pytest.mark.parametrize("position", POSITIONS)
def test_a_position_states_its_defences_with_tests_and_what_is_not_defended(position: str) -> None:
    section = section_of(position)
    assert POSITIONS[position][1].strip()
    defended, _, not_defended = section.partition("**Not defended.**")
    assert re.search(r"^- \w", not_defended, re.MULTILINE)
    rows = attack_rows(defended)
    assert rows
    assert [row for row in rows if len(row) != 3 or "](../tests/" not in row[2]] == []
