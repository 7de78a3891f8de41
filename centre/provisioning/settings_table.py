"""Table of boxes, CSV: a line for each box, a column for each setting that differs. Pure.

The heading of a column is a key of the settings, written as in messages about them: `box.id`,
`network.dns[0]`, `camera[0].options.url`, `secrets.north.password`. A cell replaces the template's value; an
empty cell leaves the key out.

Invariant: no text of a cell is in a `repr`, and no text of a secret in a message.
"""

import copy
import csv
import difflib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from agent.base import checked_convert
from agent.provisioning.settings import InvalidSettings

MAX_TABLE_BYTES = 16_000_000
MAX_BOXES = 5_000

_FILE_TABLES = ("files", "secrets")
"""Their keys are file names, dots included."""
_HEADING = re.compile(r"[A-Za-z0-9_-]+(\[\d{1,3}\])?(\.[A-Za-z0-9_-]+(\[\d{1,3}\])?)*")
_STEP = re.compile(r"([A-Za-z0-9_-]+)|\[(\d+)\]")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}\.[0-9]{1,18}")

KeyPath: TypeAlias = tuple[str | int, ...]


class TableRow(msgspec.Struct, frozen=True, kw_only=True):
    """The cells of one box, and the number of its first line in the file."""

    line: int
    cells: tuple[str, ...]

    def __repr__(self) -> str:
        return f"TableRow(line={self.line})"


class SettingsTable(msgspec.Struct, frozen=True, kw_only=True):
    """The headings, and a row for each box with as many cells."""

    headings: tuple[str, ...]
    rows: tuple[TableRow, ...]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column: its heading, and the path of its key in the template."""

    heading: str
    path: KeyPath

    @property
    def is_secret(self) -> bool:
        """True if its cells are not shown."""
        return self.path[0] == "secrets"


def parse_table(data: bytes, source: str) -> SettingsTable:
    """Return the table in a CSV file: UTF-8, with `,` or `;` between the cells.

    Messages begin with `source`. Raises: InvalidSettings with all problems.
    """
    records = _parse_csv(data, source)
    if not records:
        raise InvalidSettings(
            [f"{source}: empty; allowed: a line of headings, a line for each box"]
        )
    headings = _strip_empty_end(records[0].cells)
    rows = tuple(
        msgspec.structs.replace(record, cells=_strip_empty_end(record.cells, len(headings)))
        for record in records[1:]
    )
    problems = list(_shape_problems(headings, rows, source))
    if problems:
        raise InvalidSettings(problems)
    return SettingsTable(headings=headings, rows=rows)


def resolve_columns(
    headings: Sequence[str], template: Mapping[str, Any], source: str, template_source: str
) -> tuple[Column, ...]:
    """Return the columns. Raises: InvalidSettings with a line for each heading that is no key of the template."""
    columns, problems = [], []
    for number, heading in enumerate(headings, 1):
        path = _parse_heading(heading)
        found, value = (False, None) if path is None else find_value(template, path)
        location = f"{source}: column {number}, {heading!r}"
        if not found or path is None:
            near = difflib.get_close_matches(heading, _iter_headings(template, ""), n=3, cutoff=0.0)
            problems.append(
                f"{location}: no key of {template_source}; allowed: a key with a value there, such as "
                f"{', '.join(near)}"
            )
        elif isinstance(value, dict | list):
            problems.append(
                f"{location}: {checked_convert.format_value(value)} in {template_source}; allowed: a column for "
                "each value in it"
            )
        else:
            columns.append(Column(heading=heading, path=path))
    if problems:
        raise InvalidSettings(problems)
    return tuple(columns)


def fill_template(
    template: Mapping[str, Any], columns: Sequence[Column], row: TableRow
) -> tuple[dict[str, Any], list[str]]:
    """Return the settings of one box, and a line for each cell that its key does not take.

    The key of such a cell keeps the template's value, so that all others can be checked.
    """
    tables = copy.deepcopy(dict(template))
    problems: list[str] = []
    empty_paths: list[KeyPath] = []
    for column, cell in zip(columns, row.cells, strict=True):
        if not cell:
            empty_paths.append(column.path)
            continue
        parent, key = _value_at(tables, column.path[:-1]), column.path[-1]
        if cell != cell.strip() and "\n" not in cell:
            problems.append(f"{column.heading}: begins or ends with a space; allowed: without")
            continue
        allowed, parent[key] = _convert(cell, parent[key])
        if allowed is not None:
            value = "" if column.is_secret else f" = {cell!r}"
            problems.append(f"{column.heading}{value}: allowed: {allowed}")
    # Of a list the last items first, so that the others keep their index.
    for path in sorted(empty_paths, key=_last_index, reverse=True):
        del _value_at(tables, path[:-1])[path[-1]]
    return tables, problems


def _parse_csv(data: bytes, source: str) -> list[TableRow]:
    """Return the records that are not empty."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidSettings(
            [f"{source} line {line}: not UTF-8 text; allowed: CSV in UTF-8"]
        ) from error
    header = text.partition("\n")[0]
    delimiter = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[TableRow] = []
    line = 1
    try:
        for cells in reader:
            if any(cells):
                records.append(TableRow(line=line, cells=tuple(cells)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidSettings([f"{source} line {line}: not CSV: {error}"]) from error
    return records


def _strip_empty_end(cells: tuple[str, ...], keep: int = 0) -> tuple[str, ...]:
    """Return the cells without the empty ones at the end, which spreadsheets add, but at least `keep`."""
    count = len(cells)
    while count > keep and not cells[count - 1]:
        count -= 1
    return cells[:count]


def _shape_problems(
    headings: tuple[str, ...], rows: Sequence[TableRow], source: str
) -> Iterator[str]:
    for number, heading in enumerate(headings, 1):
        if not heading:
            yield f"{source}: column {number}: no heading; allowed: a key of the settings"
        elif heading in headings[: number - 1]:
            first = headings.index(heading) + 1
            yield f"{source}: column {number}, {heading!r}: in column {first} already; allowed: once"
    if "box.id" not in headings:
        yield f"{source}: box.id: no such column; it has to be given, each box has its own"
    if not 1 <= len(rows) <= MAX_BOXES:
        yield f"{source}: {len(rows)} boxes; allowed: 1 to {MAX_BOXES}, a line for each"
    for row in rows:
        if len(row.cells) != len(headings):
            yield (
                f"{source} line {row.line}: {len(row.cells)} cells; allowed: {len(headings)}, one for each "
                "heading"
            )


def _parse_heading(heading: str) -> KeyPath | None:
    table, _, name = heading.partition(".")
    if table in _FILE_TABLES and name:
        return (table, name)
    if not _HEADING.fullmatch(heading):
        return None
    return tuple(
        key or int(index) for key, index in (match.groups() for match in _STEP.finditer(heading))
    )


def find_value(tables: Any, path: KeyPath) -> tuple[bool, Any]:
    """Return whether there is a value at a path, and the value."""
    for step in path:
        match tables, step:
            case dict(), str() if step in tables:
                tables = tables[step]
            case list(), int() if step < len(tables):
                tables = tables[step]
            case _:
                return False, None
    return True, tables


def _value_at(tables: Any, path: KeyPath) -> Any:
    for step in path:
        tables = tables[step]
    return tables


def _iter_headings(value: object, prefix: str) -> Iterator[str]:
    """Yield the heading of each value of the template."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _iter_headings(inner, f"{prefix}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _iter_headings(inner, f"{prefix}[{index}]")
    else:
        yield prefix


def _last_index(path: KeyPath) -> int:
    return path[-1] if isinstance(path[-1], int) else -1


def _convert(cell: str, example: object) -> tuple[str | None, object]:
    """Return the cell as a value of the example's kind, or what is allowed and the example."""
    match example:
        case bool():
            value = {"true": True, "false": False}.get(cell.lower())
            return ("true or false", example) if value is None else (None, value)
        case int() | float():
            if _INTEGER.fullmatch(cell):
                return None, int(cell)
            if _DECIMAL.fullmatch(cell):
                return None, float(cell)
            return "a number, such as 12 or 1.5", example
        case str():
            return None, cell
        case _:
            return "a value that is a text, a number, true or false in the template", example
