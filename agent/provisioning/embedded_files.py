"""`[files]` and `[secrets]` of a settings file: files next to the configuration on the box. Pure.

Invariant: no text of a secret is in a message or in a `repr`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

CONFIG_FILE = "vigie.toml"
NETWORK_FILE = "network.toml"
TIME_FILE = "time.toml"
BOARD_FILE = "board.toml"
MAX_FILES = 64
MAX_FILE_BYTES = 256_000
"""Of one file."""
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED_NAMES = (CONFIG_FILE, NETWORK_FILE, TIME_FILE, BOARD_FILE)
_RESERVED_SUFFIXES = (".before", ".new", ".making")
"""Files that enrolment writes next to a certificate."""
_NAME_RULE = "letters, digits, '.', '_' and '-', at most 64, a letter or a digit first"

TableName = Literal["files", "secrets"]


class EmbeddedFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Texts by file name. An empty secret keeps the one that is on the box."""

    files: dict[str, str] = {}
    secrets: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"EmbeddedFiles(files={sorted(self.files)}, secrets={sorted(self.secrets)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("files", sorted(self.files)), ("secrets", sorted(self.secrets))]


def parse_embedded_files(tables: Mapping[str, Any], source: str) -> tuple[EmbeddedFiles, list[str]]:
    """Return the valid entries, and one line for each invalid one."""
    problems: list[str] = []
    files = dict(_valid_entries(tables, "files", source, problems))
    secrets = dict(_valid_entries(tables, "secrets", source, problems))
    problems += [
        f"{source}: secrets.{name!r}: is in [files] too; allowed: in one of them"
        for name in sorted(files.keys() & secrets.keys())
    ]
    if len(files) + len(secrets) > MAX_FILES:
        file_count = len(files) + len(secrets)
        problems.append(
            f"{source}: files, secrets: {file_count} files; allowed: at most {MAX_FILES}"
        )
    for name, text in files.items():
        if "PRIVATE KEY-----" in text:
            problems.append(
                f"{source}: files.{name!r}: holds a private key; allowed: in [secrets], which are "
                "removed from the card"
            )
    return EmbeddedFiles(files=files, secrets=secrets), problems


def _valid_entries(
    tables: Mapping[str, Any], table_name: TableName, source: str, problems: list[str]
) -> Iterator[tuple[str, str]]:
    table = tables.get(table_name, {})
    if not isinstance(table, dict):
        problems.append(
            f"{source}: {table_name}: not a table; allowed: [{table_name}], with a line for each file"
        )
        return
    for name, text in table.items():
        problem = _find_problem(name, text, table_name)
        if problem is None:
            yield name, text
        else:
            problems.append(f"{source}: {table_name}.{name!r}: {problem}")


def _find_problem(name: str, text: Any, table_name: TableName) -> str | None:
    if isinstance(text, dict):
        return f'a table; allowed: "{name}.…" = TEXT, the name in quotation marks'
    if not NAME_PATTERN.fullmatch(name):
        return f"not a file name; allowed: {_NAME_RULE}"
    if name in _RESERVED_NAMES or name.endswith(_RESERVED_SUFFIXES):
        reserved = ", ".join([*_RESERVED_NAMES, *(f"*{suffix}" for suffix in _RESERVED_SUFFIXES)])
        return f"reserved by the box; allowed: any name but {reserved}"
    if not isinstance(text, str) or (table_name == "files" and not text):
        return "not a text; allowed: the file's text in quotation marks"
    size = len(text.encode())
    return None if size <= MAX_FILE_BYTES else f"{size} bytes; allowed: at most {MAX_FILE_BYTES}"
