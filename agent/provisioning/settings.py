"""Settings file of a box, `vigie-settings.toml`: parsed and checked as a whole, on the box or at the centre.

It is the box's configuration with five more tables: [network], [time], [board], [files] and [secrets]. See
docs/settings.md.

Invariant: no text of a secret is in a message, in a note or in a `repr`.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from agent.base import checked_convert
from agent.base.checked_convert import iter_errors
from agent.base.errors import UserError
from agent.config import redaction, toml_decode, toml_writer
from agent.config.configuration import Config
from agent.config.placeholders import with_placeholders
from agent.config.shareable_config import REDACTED
from agent.provisioning import (
    board_config,
    embedded_files,
    file_references,
    network_config,
    time_config,
)
from agent.provisioning.board_config import BoardConfig
from agent.provisioning.embedded_files import EmbeddedFiles
from agent.provisioning.file_references import FileReference
from agent.provisioning.network_config import NetworkConfig
from agent.provisioning.time_config import TimeConfig

FILE_NAME = "vigie-settings.toml"
MAX_SETTINGS_BYTES = 1_000_000
STATE_DIR = "/var/lib/vigie"
EXTRA_TABLES = ("network", "time", "board", "files", "secrets")
"""In addition to those of the configuration."""

_Table = TypeVar("_Table", NetworkConfig, TimeConfig, BoardConfig)
_MAX_PROBLEMS = 40
_MAX_LINE_CHARS = 400
_HOST_NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RESERVED_HOST_NAMES = ("localhost",)
_URL_USER_PATTERN = re.compile(r"(?<=://)[^\s/@\"']*@")
_URL_PASSWORD_PATTERN = re.compile(r"://[^\s/@]*:[^\s/@]+@")
_SECRET_VALUE_PATTERN = re.compile(
    r"((?:pass|secret|token|credential|private|key)\w* = )"
    r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s:;]+)",
    re.IGNORECASE,
)


class InvalidSettings(UserError):
    """An invalid settings file. `problems` has one line for each problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class BoxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A valid settings file. `data` is its bytes; `notes` are hints that are not problems."""

    data: bytes
    tables: dict[str, Any]
    """Those of the configuration."""
    config: Config
    """Decoded from `tables`; paths are not resolved."""
    network: NetworkConfig
    time: TimeConfig
    board: BoardConfig
    embedded: EmbeddedFiles
    notes: tuple[str, ...] = ()

    @property
    def box_id(self) -> str:
        """The box's id, and its host name."""
        return self.config.box.id

    @property
    def site(self) -> str:
        """The name of the box's site."""
        return self.config.box.site

    @property
    def broker_url(self) -> str:
        """The URL of the broker."""
        return self.config.broker.url

    def __repr__(self) -> str:
        return f"BoxSettings(box={self.box_id!r}, {self.embedded!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("box", self.box_id), ("embedded", self.embedded)]


def read_settings(path: Path) -> BoxSettings:
    """Return the settings in a file. Raises InvalidSettings with all problems."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SETTINGS_BYTES + 1)
    except OSError as error:
        raise InvalidSettings([f"{path}: {error.strerror or error}"]) from error
    return parse_settings(data, str(path))


def parse_settings(data: bytes, source: str) -> BoxSettings:
    """Return the settings in `data`. Raises InvalidSettings; each line begins with `source`."""
    tables = _parse_tables(data, source)
    embedded, problems = embedded_files.parse_embedded_files(tables, source)
    secrets = frozenset(_iter_secrets(tables.get("secrets")))
    config_tables = {key: value for key, value in tables.items() if key not in EXTRA_TABLES}
    network = _read_table(tables, "network", NetworkConfig(), network_config.find_problems, source)
    time = _read_table(tables, "time", TimeConfig(), time_config.find_problems, source)
    board = _read_table(tables, "board", BoardConfig(), board_config.find_problems, source)
    problems += [*network.problems, *time.problems, *board.problems]
    config_problems = list(_config_problems(config_tables, source))
    problems += config_problems
    if config_problems:
        # The valid entries are checked all the same.
        config_tables = with_placeholders(config_tables)
    config = checked_convert.convert(config_tables, Config, source)
    problems += _image_problems(config, source)
    references = (*file_references.iter_references(config), *_time_references(time.value))
    reference_problems = list(file_references.find_problems(references, embedded, source))
    problems += reference_problems or _full_check_problems(config_tables, config, embedded, source)
    if problems:
        raise InvalidSettings(_clean_lines(problems, secrets))
    return BoxSettings(
        data=data,
        tables=config_tables,
        config=config,
        network=network.value,
        time=time.value,
        board=board.value,
        embedded=embedded,
        notes=_clean_lines(_iter_notes(config, time.value, embedded), secrets),
    )


def scrub_secrets(data: bytes) -> bytes | None:
    """Return the file with its secrets emptied, or None if it has none. The file is valid."""
    tables = toml_decode.parse_toml(data, "settings")
    secrets = tables.get("secrets", {})
    if not any(secrets.values()):
        return None
    tables["secrets"] = dict.fromkeys(secrets, "")
    return (_SCRUBBED_HEADER + toml_writer.dumps(tables)).encode()


_SCRUBBED_HEADER = """\
# The box has applied these settings and removed their secrets from this file: an empty secret keeps the one
# on the box, another text replaces it. The box applies a change of this file at its next start.

"""


def _parse_tables(data: bytes, source: str) -> dict[str, Any]:
    if len(data) > MAX_SETTINGS_BYTES:
        raise InvalidSettings([f"{source}: too large; allowed: at most {MAX_SETTINGS_BYTES} bytes"])
    try:
        return toml_decode.parse_toml(data, source)
    except UserError as error:
        raise InvalidSettings([str(error)]) from error


def _iter_secrets(table: object) -> Iterator[str]:
    """Yield each text in [secrets], valid or not, to redact it."""
    if isinstance(table, Mapping):
        for item in table.values():
            yield from _iter_secrets(item)
    elif isinstance(table, list):
        for item in table:
            yield from _iter_secrets(item)
    elif table is not None:
        yield from redaction.secrets_in_file(str(table))


class _TableResult(NamedTuple, Generic[_Table]):
    """A table of the settings, the default one if it has problems."""

    value: _Table
    problems: list[str]


def _read_table(
    tables: Mapping[str, Any],
    name: str,
    default: _Table,
    find_problems: Callable[[_Table, str], Iterator[str]],
    source: str,
) -> _TableResult[_Table]:
    table, table_type = tables.get(name, {}), type(default)
    problems = list(map(str, iter_errors(table, table_type, source, name)))
    if not problems:
        value = checked_convert.convert(table, table_type, source, name)
        problems = list(find_problems(value, source))
        if not problems:
            return _TableResult(value, [])
    return _TableResult(default, problems)


def _time_references(time: TimeConfig) -> Iterator[FileReference]:
    if time.ca is not None:
        yield FileReference(key="time.ca", value=time.ca)


def _config_problems(tables: dict[str, Any], source: str) -> Iterator[str]:
    known = [field.encode_name for field in msgspec.structs.fields(Config)]
    for key in tables:
        if key not in known:
            yield f"{source}: {key}: unknown table; allowed: {', '.join([*known, *EXTRA_TABLES])}"
    yield from map(
        str, iter_errors({k: v for k, v in tables.items() if k in known}, Config, source)
    )


def is_host_name(box_id: str) -> bool:
    """Return whether a box's id is valid as its host name."""
    return bool(_HOST_NAME_PATTERN.fullmatch(box_id)) and box_id not in _RESERVED_HOST_NAMES


def _image_problems(config: Config, source: str) -> Iterator[str]:
    """Yield the conditions of the image: host name, and folders on its partitions."""
    box_id = config.box.id
    if not is_host_name(box_id):
        yield (
            f"{source}: box.id = {box_id!r}: is the host name too; allowed: lower case letters, digits "
            "and '-', not at the end"
        )
    if config.box.state != STATE_DIR:
        yield (
            f"{source}: box.state = {config.box.state!r}: not on a partition that survives a reboot; allowed: {STATE_DIR!r}, "
            "or left out"
        )


def _full_check_problems(
    tables: dict[str, Any], config: Config, embedded: EmbeddedFiles, source: str
) -> list[str]:
    # Imported here: drivers and detection take seconds to load on a board, and most starts need neither.
    from agent.provisioning import full_check  # noqa: PLC0415

    return full_check.find_problems(tables, config, embedded, source)


def _iter_notes(config: Config, time: TimeConfig, embedded: EmbeddedFiles) -> Iterator[str]:
    if not time.servers:
        yield "time.servers is not given: nothing sets the box's clock, and its times are not reliable"
    for key_path, value in _iter_texts(msgspec.to_builtins(config), ""):
        if _URL_PASSWORD_PATTERN.search(value):
            yield f"{key_path} contains a password, which stays on the card; better: username and password_file"
    for name, text in embedded.secrets.items():
        if not text:
            yield f"secrets.{name!r} is empty: valid only for a box that has it already"
    certificate, key = config.broker.certificate, config.broker.key
    if certificate is not None and key is not None:
        names = [file_references.local_name(value) for value in (certificate, key)]
        if names[1] not in embedded.secrets:
            has_certificate = names[0] in embedded.files
            yield (
                "the box makes its own key, and uses the given certificate if it is for that key"
                if has_certificate
                else "the box makes its own key; its certificate request will be on the card"
            )
    secret_file = file_references.local_name(config.console.secret_file)
    if secret_file not in embedded.secrets and not config.console.technician:
        yield (
            f"secrets.{config.console.secret_file!r} is not given, and no technician: the console "
            "accepts no login"
        )
    references = (*file_references.iter_references(config), *_time_references(time))
    referenced_names = {reference.name for reference in references}
    for name in sorted({*embedded.files, *embedded.secrets} - referenced_names):
        yield f"file {name!r} is not used by the configuration"


def _iter_texts(value: object, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the key path and the value of each text."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _iter_texts(inner, f"{prefix}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _iter_texts(inner, f"{prefix}[{index}]")
    elif isinstance(value, str):
        yield prefix, value


def _clean_lines(lines: Iterable[str], secrets: Collection[str]) -> tuple[str, ...]:
    """Return the lines without duplicates, secrets and control characters, at most _MAX_PROBLEMS."""
    found = list(dict.fromkeys(_redact_line(line, secrets) for line in lines))
    if len(found) > _MAX_PROBLEMS:
        omitted = len(found) - _MAX_PROBLEMS
        found = [*found[:_MAX_PROBLEMS], f"and {omitted} more"]
    return tuple(found)


def _redact_line(line: str, secrets: Collection[str]) -> str:
    line = " ".join(line.split())
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= redaction.MIN_SECRET_LENGTH:
            line = line.replace(secret, REDACTED)
    line = _URL_USER_PATTERN.sub(f"{REDACTED}@", line)
    line = _SECRET_VALUE_PATTERN.sub(rf"\1{REDACTED}", line)
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= _MAX_LINE_CHARS else line[:_MAX_LINE_CHARS] + " ..."
