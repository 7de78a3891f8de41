"""The patterns of names: a line break at the end of a name is rejected.

Python's `$` also matches before a final line break, and a name with one would be in topics, folder
names and log lines. `\\Z` would do in Python and is unknown to JSON Schema, which is written from the same
patterns: so it is `$(?!\n)` everywhere.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HOUSE = Path(__file__).parents[2]
CONTRACT = HOUSE / "docs" / "asyncapi.json"
SOURCES = sorted(
    path for room in ("agent", "drivers", "simulation") for path in (HOUSE / room).rglob("*.py")
)
BEGINNINGS = {"^/dev/", "^rtsp://[^/\\s]"}
"""They match a beginning, and leave the rest to the device."""


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """Every call of a function, such as `re.compile`, or of any of a module, such as `re.`, and its file."""
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if name not in text:
            continue  # each worker of the tests imports this module: parsing all files takes seconds
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and dotted(node.func).startswith(name):
                yield path, node


def dotted(node: ast.expr) -> str:
    """Return a name with its module, such as `re.compile`; empty for what is no name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def declared() -> Iterator[tuple[str, str]]:
    """Every pattern of a field, and where it is."""
    for path, call in calls("msgspec.Meta"):
        given = [word.value for word in call.keywords if word.arg == "pattern"]
        if given:
            where = f"{path.relative_to(HOUSE)}:{call.lineno}"
            room = importlib.import_module(".".join(path.relative_to(HOUSE).with_suffix("").parts))
            code = compile(ast.Expression(given[0]), where, "eval")
            yield where, eval(code, vars(room))  # noqa: S307 - the project's own expressions


PATTERNS = {where: pattern for where, pattern in declared() if pattern not in BEGINNINGS}


@pytest.mark.parametrize("pattern", sorted(set(PATTERNS.values())))
def test_a_valid_name_is_rejected_with_a_trailing_line_break(pattern: str) -> None:
    kind: Any = Annotated[str, msgspec.Meta(pattern=pattern)]

    @settings(max_examples=25, deadline=None)
    @given(st.from_regex(pattern))
    def holds(text: str) -> None:
        assert msgspec.convert(text, kind) == text
        assert not text.endswith("\n")
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(text + "\n", kind)

    holds()


@pytest.mark.parametrize("where", PATTERNS)
def test_every_pattern_ends_in_a_way_that_json_schema_supports(where: str) -> None:
    assert PATTERNS[where].startswith("^")
    assert PATTERNS[where].endswith(r"$(?!\n)")
    assert r"\Z" not in PATTERNS[where]


def test_no_regular_expression_ends_in_a_bare_dollar() -> None:
    """Unless it goes by lines."""
    bare = [
        f"{path.relative_to(HOUSE)}:{call.lineno}"
        for path, call in calls("re.")
        if call.args
        if re.search(r"(?<!\\)\$['\"]?$", ast.unparse(call.args[0]))
        if "MULTILINE" not in ast.unparse(call)
    ]
    assert bare == []


def test_the_wire_contract_contains_the_same_patterns() -> None:
    written = set(
        re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', CONTRACT.read_text(encoding="utf-8"))
    )
    assert written
    assert {msgspec.json.decode(one) for one in written} <= set(PATTERNS.values())
