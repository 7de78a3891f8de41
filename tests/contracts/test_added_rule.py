"""docs/adding/rule.md adds a rule: its blocks, put into a copy of the tree, pass their tests."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding" / "rule.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str, str]] = re.findall(
    r"^````(python|diff) ([^\n]+)\n(.*?)^````$", PAGE, re.MULTILINE | re.DOTALL
)
"""Each block's language, file and text. The fences are long, because a docstring has its own."""
MAX_FILES = 5


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with the rule in it."""
    tree = tmp_path_factory.mktemp("tree")
    ignored = shutil.ignore_patterns("__pycache__", "*.tflite", "*.jpg")
    for folder in ("agent", "drivers", "docs", "scripts", "tests/pure"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tree)
    for support_file in (ROOT / "tests").glob("*.py"):
        shutil.copy(support_file, tree / "tests")
    for language, name, text in BLOCKS:
        path = tree / name
        if language == "python":
            assert not path.exists(), f"{name} is in the tree already"
            path.write_text(text, encoding="utf-8")
        else:
            path.write_text(inserted(path.read_text(encoding="utf-8"), text), encoding="utf-8")
    return tree


def inserted(content: str, diff: str) -> str:
    """The content with the added lines after the one line of context."""
    context, *added = diff.splitlines(keepends=True)
    assert context.startswith(" ")
    assert all(line.startswith("+") for line in added)
    assert content.count(f"\n{context[1:]}") == 1, context
    return content.replace(context[1:], context[1:] + "".join(line[1:] for line in added))


def run(tree: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_touches_few_files() -> None:
    assert len({name for _, name, _ in BLOCKS}) <= MAX_FILES


def test_the_rule_and_the_pages_pass_their_tests(tree: Path) -> None:
    run(tree, "scripts/asyncapi.py")
    event = json.loads((tree / "docs/asyncapi.json").read_text())["components"]["schemas"]
    assert "u_turn" in event["EventData"]["properties"]["kind"]["enum"]
    names = ("rules/test_u_turn", "test_scene_page", "test_event_types", "test_wire_contract")
    run(tree, "-m", "pytest", "-q", "-n", "0", *(f"tests/pure/{name}.py" for name in names))
