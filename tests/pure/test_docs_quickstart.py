"""The quick starts: their commands exist, and every page of docs/ is in the index."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from agent import cli

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "quickstart").glob("*.md"))
COMMANDS = [
    pytest.param(line.strip().removeprefix("sudo "), id=f"{page.stem}: {line.strip()}")
    for page in PAGES
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
TARGETS = re.findall(
    r"^([a-z-]+):.*##", (DOCS.parent / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
)


def test_there_is_a_quick_start_for_each_of_five_roles() -> None:
    assert [page.stem for page in PAGES] == [
        "developer",
        "installer",
        "newcomer",
        "operator",
        "technician",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_a_quick_start_is_accepted(command: str) -> None:
    program, *arguments = shlex.split(command, comments=True)
    if program == "make":
        assert set(arguments[:1]) <= set(TARGETS)
    elif program == "vigie":
        parser = argparse.ArgumentParser()
        cli.add_parsers(parser.add_subparsers(required=True), None)
        parser.parse_args(arguments)
    else:
        assert program == "cp"
        assert (DOCS.parent / arguments[0]).is_file()


def test_the_index_has_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = {
        path.relative_to(DOCS).as_posix()
        for path in DOCS.rglob("*.md")
        if path.parent.name != "decisions" and path.name != "README.md"
    }
    assert pages <= set(re.findall(r"\]\(([^)#]+\.md)\)", index))
