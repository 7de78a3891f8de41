"""A page of docs/adding, followed in a copy of the tree."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST_FOLDERS = (
    "tests/contracts",
    "tests/documents",
    "tests/parts",
    "tests/pure",
    "tests/virtual_camera",
)
COPIED = ("agent", "drivers", "simulation", "centre", "docs", "scripts", *TEST_FOLDERS)
DOCS_PROGRAMS = re.findall(
    r"^\t\$\(BIN\)/python (.+)$",
    (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ndocs:")[2].partition("\n\n")[0],
    re.MULTILINE,
)
"""The arguments of Python in the target `docs` of the Makefile."""
IGNORED = shutil.ignore_patterns("__pycache__", "*.tflite", "*.jpg")


class AddingPage:
    """The blocks of a page: a `python` block is a new file, a `diff` block inserts lines into one.

    The fences have four backticks, because a docstring may have a fence of its own.
    """

    def __init__(self, name: str) -> None:
        page = (ROOT / "docs" / "adding" / name).read_text(encoding="utf-8")
        self._blocks: list[tuple[str, str, str]] = re.findall(
            r"^````(python|diff) ([^\n]+)\n(.*?)^````$", page, re.MULTILINE | re.DOTALL
        )

    @property
    def files(self) -> set[str]:
        """The files that the page writes or changes; generated ones are not among them."""
        return {name for _, name, _ in self._blocks}

    def follow(self, tree: Path) -> None:
        """Copy the tree to an empty folder, apply the page's blocks there, and do what `make docs` does."""
        for folder in COPIED:
            shutil.copytree(ROOT / folder, tree / folder, ignore=IGNORED)
        shutil.copy(ROOT / "pyproject.toml", tree)
        for support_file in (ROOT / "tests").glob("*.py"):
            shutil.copy(support_file, tree / "tests")
        for language, name, text in self._blocks:
            path = tree / name
            if language == "python":
                assert not path.exists(), f"{name} is in the tree already"
                path.write_text(text, encoding="utf-8")
            else:
                path.write_text(_inserted(path.read_text(encoding="utf-8"), text), encoding="utf-8")
        for program in DOCS_PROGRAMS:
            run(tree, *program.split())


def run(tree: Path, *arguments: str) -> None:
    """Run Python in the copy; its modules are those of the copy."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run_tests(tree: Path, *names: str) -> None:
    """Run test files of the copy."""
    run(tree, "-m", "pytest", "-q", "-n", "0", *(f"tests/{name}.py" for name in names))


def _inserted(content: str, diff: str) -> str:
    """Return the content with the added lines after the one line of context."""
    context, *added = diff.splitlines(keepends=True)
    assert context.startswith(" ")
    assert all(line.startswith("+") for line in added)
    assert f"\n{content}".count(f"\n{context[1:]}") == 1, context
    return content.replace(context[1:], context[1:] + "".join(line[1:] for line in added))
