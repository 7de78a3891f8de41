"""Refuse sentences that CONTRIBUTING.md rules out: in docstrings, comments and Markdown pages.

Usage: `python scripts/prose_lint.py [FILE...]`, by default every file that git tracks. Exit code 1 if
there is a finding, each printed as `FILE:LINE: TEXT (RULE)`.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

WORDS = re.compile(r"\b([Ww]hoever|[Aa]new|is told|was told|are told|stands? on|lets? go of)\b")
"""Words that stand for a named thing or for the field's verb."""
FIRST_WORD = re.compile(r"^(What|Who|Whose|Where|So (long|much|many))\b(?![^.]*\?)")
"""A first sentence whose subject is a relative clause. A question may begin so."""
QUOTATION = re.compile(r'`[^`]*`|"[^"]*"')
"""A code span or a quoted text in a page, which the rules do not apply to."""
MAX_SUMMARY_CHARS = 100
"""A docstring's first line, with its indentation: the line length of the formatter."""
GENERATED = ("CHANGELOG.md", "docs/runbook", "docs/demo-output")


def python_findings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, text, rule) for each docstring and comment of a Python file."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        text = ast.get_docstring(node)
        if text is None:
            continue
        line = node.body[0].lineno
        if FIRST_WORD.match(text):
            yield line, text.splitlines()[0], "begins with a relative clause"
        for offset, row in enumerate(text.splitlines()):
            if WORDS.search(row):
                yield line + offset, row.strip(), "word"
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and WORDS.search(token.string):
            yield token.start[0], token.string, "word"


def markdown_findings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, text, rule) for each line of a page outside of code blocks."""
    is_code = False
    for number, row in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if row.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and WORDS.search(QUOTATION.sub("", row)):
            yield number, row.strip(), "word"
        elif not is_code and row.startswith("#") and FIRST_WORD.match(row.lstrip("# ")):
            yield number, row, "a title is a noun"


def main(names: list[str]) -> int:
    """Check the files; exit code 1 if there is a finding."""
    tracked = subprocess.run(
        ["git", "ls-files"],  # noqa: S607 - git is found by its name
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    found = 0
    for name in names or tracked:
        path = Path(name)
        if name.startswith(GENERATED) or not path.is_file():
            continue
        findings = {".py": python_findings, ".md": markdown_findings}.get(path.suffix)
        for line, text, rule in findings(path) if findings else ():
            found += 1
            print(f"{name}:{line}: {text[:MAX_SUMMARY_CHARS]} ({rule})")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
