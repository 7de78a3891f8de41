"""Settings of many boxes from one table and one template, checked as a whole before any is written. Pure.

Invariant: no text of a secret is in a message or in a `repr`.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from agent.base.progress import ProgressCallback, no_progress
from agent.config import toml_decode, toml_writer
from agent.config.console import ConsoleConfig
from agent.console import login
from agent.provisioning.atomic_folder import NewFile
from agent.provisioning.settings import InvalidSettings, local_name, parse_settings
from centre.provisioning import settings_table
from centre.provisioning.settings_table import KeyPath, SettingsTable

_UNIQUE_KEYS: tuple[tuple[str, KeyPath], ...] = (
    ("box.id", ("box", "id")),
    ("box.site", ("box", "site")),
    ("network.address", ("network", "address")),
)
"""Keys whose values differ from box to box, and their paths."""


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file's bytes, and its name in messages."""

    name: str
    data: bytes

    def __repr__(self) -> str:
        return f"SourceFile(name={self.name!r})"


class FleetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings file of each box by its name, the secret of each box's console by the box's id, and notes."""

    files: dict[str, NewFile]
    console_secrets: dict[str, str]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"FleetSettings({len(self.files)} boxes)"


def build_fleet_settings(
    table_file: SourceFile,
    template_file: SourceFile,
    random_bytes: Callable[[int], bytes],
    on_progress: ProgressCallback = no_progress,
) -> FleetSettings:
    """Return the settings of all boxes, as `provision --check` accepts them.

    A box whose console has no secret in the table gets a new one. Raises: UserError if the template is no
    TOML, InvalidSettings with the problems of all lines.
    """
    table = settings_table.parse_table(table_file.data, table_file.name)
    template = toml_decode.parse_toml(template_file.data, template_file.name)
    columns = settings_table.resolve_columns(
        table.headings, template, table_file.name, template_file.name
    )
    problems = {row.line: _shared_value_problems(table, template) for row in table.rows}
    first_lines: dict[tuple[str, str], int] = {}
    files: dict[str, NewFile] = {}
    secrets: dict[str, str] = {}
    notes: Counter[str] = Counter()
    for done, row in enumerate(table.rows, 1):
        tables, found = settings_table.fill_template(template, columns, row)
        problems[row.line] += [*found, *_repeated_values(table, tables, row.line, first_lines)]
        secret = _ensure_console_secret(tables, random_bytes)
        data, prefix = toml_writer.dumps(tables).encode(), f"{table_file.name} line {row.line}"
        try:
            settings = parse_settings(data, prefix)
        except InvalidSettings as error:
            problems[row.line] += [
                problem.removeprefix(f"{prefix}: ") for problem in error.problems
            ]
        else:
            files[f"{settings.box_id}.toml"] = NewFile(data=data, mode=0o600)
            notes.update(settings.notes)
            if secret is not None:
                secrets[settings.box_id] = secret
        on_progress(done, len(table.rows))
    if any(problems.values()):
        raise InvalidSettings(_format_problems(problems, table_file.name))
    return FleetSettings(
        files=files,
        console_secrets=secrets,
        notes=tuple(f"{text} ({count} of {len(files)} boxes)" for text, count in notes.items()),
    )


def _format_problems(problems: Mapping[int, list[str]], source: str) -> Iterator[str]:
    """Yield each problem with its line; one of every line, such as a mistake in the template, once."""
    counts = Counter(text for texts in problems.values() for text in dict.fromkeys(texts))
    of_every_line = {text for text, count in counts.items() if count == len(problems) > 1}
    for text in counts:
        if text in of_every_line:
            yield f"{source}, every line: {text}"
    for line, texts in problems.items():
        for text in dict.fromkeys(texts):
            if text not in of_every_line:
                yield f"{source} line {line}: {text}"


def _shared_value_problems(table: SettingsTable, template: Mapping[str, Any]) -> list[str]:
    """Return a line for each value of the template that would be the same for several boxes, and may not be."""
    secret_name = _console_secret_name(template)
    keys = [*_UNIQUE_KEYS, (f"secrets.{secret_name}", ("secrets", secret_name or ""))]
    return [
        f"{heading}: the template's, one for all boxes; allowed: a column, its own for each box"
        for heading, path in keys
        if len(table.rows) > 1
        and heading not in table.headings
        and settings_table.find_value(template, path)[1]
    ]


def _repeated_values(
    table: SettingsTable,
    tables: Mapping[str, Any],
    line: int,
    first_lines: dict[tuple[str, str], int],
) -> Iterator[str]:
    """Yield the ids, names and addresses that an earlier line has; `first_lines` has the lines so far."""
    for heading, path in _UNIQUE_KEYS:
        found, value = settings_table.find_value(tables, path)
        if heading not in table.headings or not found or not isinstance(value, str):
            continue
        first = first_lines.setdefault((heading, _normalise(value)), line)
        if first != line:
            yield f"{heading} = {value!r}: in line {first} already; allowed: its own for each box"


def _normalise(value: str) -> str:
    """Return an address without its prefix length, another text without differences of case and spaces."""
    try:
        return str(ipaddress.ip_interface(value).ip)
    except ValueError:
        return " ".join(value.casefold().split())


def _console_secret_name(tables: Mapping[str, Any]) -> str | None:
    """Return the name of the console's secret in [secrets], or None if it is at another place."""
    _, given = settings_table.find_value(tables, ("console", "secret_file"))
    return local_name(given if isinstance(given, str) else ConsoleConfig().secret_file)


def _ensure_console_secret(
    tables: dict[str, Any], random_bytes: Callable[[int], bytes]
) -> str | None:
    """Return the secret of the box's console; if there is none a new one is put into the settings."""
    name, secrets = _console_secret_name(tables), tables.setdefault("secrets", {})
    if name is None or not isinstance(secrets, dict):
        return None
    if not secrets.get(name):
        secrets[name] = login.generate_secret(random_bytes)
    return str(secrets[name])
