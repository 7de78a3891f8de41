"""Refuse sentences that CONTRIBUTING.md rules out: in docstrings, comments, Markdown pages, the Makefile and .ci/run.

Usage: `python scripts/prose_lint.py [FILE...]`, by default every file that git tracks. Exit code 1 if
there is a finding, each printed as `FILE:LINE: TEXT (RULE)`.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

WORDS = re.compile(
    r"\b([Ww]hoever|[Aa]new|(?<!-)[Bb]eside|is told|was told|are told|stands? on|lets? go of)\b"
)
"""Words that stand for a named thing, the field's verb or its preposition; not the option `--beside`."""
FIRST_WORD = re.compile(r"^(What|Who|Whose|Where|So (long|much|many))\b(?![^.]*\?)")
"""A first sentence whose subject is a relative clause. A question may begin so."""
RELATIVE_CLAUSE = re.compile(
    r"(?:^(?:[-*>] |\d+\. |\s)*|[.!?|]\**\s+)\**((What|Who|Whose|Where)\b(?![^.:|]*\?))",
    re.MULTILINE,
)
"""The begin of any sentence of a page, list item or table cell that is a relative clause and no question."""
TABLE_RULE = re.compile(r"\|[ :|-]+$")
"""The row under the header of a table. Column titles may be relative clauses."""
QUOTATION = re.compile(r'`[^`]*`|"[^"]*"')
"""A code span or a quoted text in a page, which the rules do not apply to."""
MAX_SUMMARY_CHARS = 100
"""A docstring's first line, with its indentation: the line length of the formatter."""
GENERATED = ("docs/runbook", "docs/demo-output")
COMMENTED = ("Makefile", ".ci/run")
"""Files of which the rules apply to the comments, and to the help texts after `##`."""


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


def prose_findings(rows: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield (line, text, rule) for each row of prose with a refused word, and each refused begin of a sentence."""
    prose = [QUOTATION.sub('""', row) for row in rows]
    for number, row in enumerate(prose, 1):
        if WORDS.search(row):
            yield number, rows[number - 1].strip(), "word"
    text = "\n".join(prose)
    for match in RELATIVE_CLAUSE.finditer(text):
        number = text.count("\n", 0, match.start(1)) + 1
        yield number, rows[number - 1].strip(), "begins with a relative clause"


def markdown_findings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, text, rule) for each finding of a page outside of code blocks and column titles."""
    rows = path.read_text(encoding="utf-8").splitlines()
    is_code = False
    for index, row in enumerate(rows):
        is_fence = row.lstrip().startswith("```")
        is_code ^= is_fence
        if is_code or is_fence:
            rows[index] = ""
        elif TABLE_RULE.match(row):
            rows[index - 1] = ""
        elif row.startswith("#") and FIRST_WORD.match(row.lstrip("# ")):
            yield index + 1, row, "a title is a noun"
    yield from prose_findings(rows)


def comment_findings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, text, rule) for each finding in the comments of a file that is no Python."""
    rows = path.read_text(encoding="utf-8").splitlines()
    yield from prose_findings([row.partition("# ")[2] for row in rows])


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
        if name in COMMENTED:
            findings = comment_findings
        for line, text, rule in findings(path) if findings else ():
            found += 1
            print(f"{name}:{line}: {text[:MAX_SUMMARY_CHARS]} ({rule})")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
