"""Settings file of a box, `vigie-settings.toml`: parsed and checked as a whole, on the box or at the centre.

It is the box's configuration with five more tables: [network], [time] and [board], and [files] and [secrets] with the texts
of files next to the configuration on the box. See docs/settings.md.

Invariant: no text of a secret is in a message, in a note or in a `repr`.
"""

import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec

from agent.base import pem
from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.base.secret_file import decode_secret
from agent.config import configuration, toml_decode, toml_writer
from agent.config.configuration import Config
from agent.config.file_paths import list_paths
from agent.config.redaction import REDACTED, Redactor, iter_secrets
from agent.provisioning import board_config, network_config, time_config
from agent.provisioning.board_config import BoardConfig
from agent.provisioning.network_config import NetworkConfig
from agent.provisioning.time_config import TimeConfig

FILE_NAME = "vigie-settings.toml"
MAX_SETTINGS_BYTES = 1_000_000
STATE_DIR = "/var/lib/vigie"

_MAX_PROBLEMS = 40
_MAX_LINE_CHARS = 400
_HOST_NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RESERVED_HOST_NAMES = ("localhost",)
_URL_PASSWORD_PATTERN = re.compile(r"://[^\s/@]*:[^\s/@]+@")
_SECRET_VALUE_PATTERN = re.compile(
    r"((?:pass|secret|token|credential|private|key)\w* = )"
    r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s:;]+)",
    re.IGNORECASE,
)
CONFIG_FILE = "vigie.toml"
IMAGE_FILES = {"network": "network.toml", "time": "time.toml", "board": "board.toml"}
"""The files of the tables that the image reads, and the agent does not."""
MAX_FILES = 64
MAX_FILE_BYTES = 256_000
"""Of one file."""
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED_NAMES = (CONFIG_FILE, *IMAGE_FILES.values())
_RESERVED_SUFFIXES = (".before", ".new", ".making")
"""Files that enrolment writes next to a certificate."""
_NAME_RULE = "letters, digits, '.', '_' and '-', at most 64, a letter or a digit first"

TableName = Literal["files", "secrets"]

CONFIG_DIR = PurePosixPath("/etc/vigie")
_SECRET_KEY_PATTERN = re.compile(r"pass|secret|token|credential|private|(^|_)key(_|$)")

Requirement = Literal["required", "generated", "optional"]
"""required: in the settings file; generated: by the box if missing; optional: the box works without it."""

_REQUIREMENTS: Mapping[str, Requirement] = {
    "broker.certificate": "generated",
    "broker.key": "generated",
    "console.secret_file": "optional",
}
_OTHER_PATHS = ("box.state", ".detect.model", ".detect.accelerator.file")
"""A folder, and files that are too large for a settings file."""
SHM_DIR = Path("/dev/shm")  # noqa: S108 - names in it are random
"""Files in memory: secrets are not written to a disk."""


class EmbeddedFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Texts by file name. An empty secret keeps the one that is on the box."""

    files: dict[str, str] = {}
    secrets: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"EmbeddedFiles(files={sorted(self.files)}, secrets={sorted(self.secrets)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("files", sorted(self.files)), ("secrets", sorted(self.secrets))]


class FileReference(msgspec.Struct, frozen=True, kw_only=True):
    """A key of the configuration whose value names a file."""

    key: str
    value: str

    @property
    def name(self) -> str | None:
        """The file's name next to the configuration, or None if it is elsewhere."""
        return local_name(self.value)

    @property
    def is_secret(self) -> bool:
        """Whether the file holds a password or a key."""
        return not self._is_scene and bool(_SECRET_KEY_PATTERN.search(self.key.rpartition(".")[2]))

    @property
    def requirement(self) -> Requirement:
        """The origin of the file."""
        return _REQUIREMENTS.get(self.key, "required")

    @property
    def absolute_path(self) -> Literal["never", "config_dir", "anywhere"]:
        """Whether an absolute path is allowed: into the configuration folder, or to any file of the system."""
        if self._is_scene:
            return "never"
        return "anywhere" if self.key.endswith(".path") else "config_dir"

    @property
    def _is_scene(self) -> bool:
        return ".detect.scene" in self.key


class SettingsFile(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tables of a settings file: those of the configuration, and five more.

    `files` and `secrets` are decoded one by one, none of which is in messages; no secret is in the struct.
    """

    network: NetworkConfig = NetworkConfig()
    time: TimeConfig = TimeConfig()
    board: BoardConfig = BoardConfig()
    files: Any = None
    secrets: Any = None


EXTRA_TABLES = frozenset(SettingsFile.__struct_fields__) - frozenset(Config.__struct_fields__)
"""In addition to those of the configuration."""


class InvalidSettings(UserError):
    """An invalid settings file. `problems` has one line for each problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class BoxFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A box that settings are for: its id if it has signed receipts under it, and the overlays of its image."""

    signing_id: str | None
    overlays: Collection[str]


class BoxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A valid settings file. `data` is its bytes; `notes` are hints that are not problems."""

    data: bytes
    toml_files: Mapping[str, Mapping[str, Any]]
    """The tables of the configuration and of the image's files, by the name of the file on the box."""
    config: SettingsFile
    """Paths are not resolved."""
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

    @property
    def key_names(self) -> tuple[str, str] | None:
        """The names of the files of key and certificate for the broker; None if the box has none, or elsewhere."""
        key, certificate = self.config.broker.key, self.config.broker.certificate
        names = local_name(key or ""), local_name(certificate or "")
        return None if names[0] is None or names[1] is None else (names[0], names[1])

    @property
    def console_secret_name(self) -> str | None:
        """The name of the file of the console's secret, None if it is elsewhere."""
        return local_name(self.config.console.secret_file)

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
    return check_settings(parse_tables(data, source), data, source)


def parse_tables(data: bytes, source: str) -> dict[str, Any]:
    """Return the tables in `data`, of any keys and values. Raises InvalidSettings."""
    if len(data) > MAX_SETTINGS_BYTES:
        raise InvalidSettings([f"{source}: too large; allowed: at most {MAX_SETTINGS_BYTES} bytes"])
    try:
        return toml_decode.parse_toml(data, source)
    except UserError as error:
        raise InvalidSettings([str(error)]) from error


def check_settings(
    tables: dict[str, Any], data: bytes, source: str, box: BoxFacts | None = None
) -> BoxSettings:
    """Return the settings in the tables of `data`, which fit a `box` if one is given.

    Raises InvalidSettings with all problems.
    """
    embedded, problems = _parse_embedded_files(tables, source)
    public = {name: table for name, table in tables.items() if name not in ("files", "secrets")}
    config, mistakes = configuration.decode_valid_entries(public, SettingsFile, source)
    references = list_references(config)
    problems += map(str, mistakes)
    problems += _image_problems(config, box, source)
    missing = list(_missing_files(references, embedded, source))
    problems += missing or _content_problems(config, references, embedded, source)
    problems += time_config.iter_time_problems(config.time, source)
    problems += network_config.iter_network_problems(config.network, source)
    overlays = None if box is None else box.overlays
    problems += board_config.iter_board_problems(config.board, source, overlays)
    redactor = Redactor(iter_secrets(tables.get("secrets")))
    if problems:
        raise InvalidSettings(_clean_lines(problems, redactor))
    return BoxSettings(
        data=data,
        toml_files={
            CONFIG_FILE: {
                name: table for name, table in tables.items() if name not in EXTRA_TABLES
            },
            **{file: tables.get(name, {}) for name, file in IMAGE_FILES.items()},
        },
        config=config,
        embedded=embedded,
        notes=_clean_lines(_iter_notes(config, references, embedded), redactor),
    )


def scrub_secrets(tables: Mapping[str, Any]) -> bytes | None:
    """Return a file with its secrets emptied, or None if it has none. Its tables need not be valid."""
    secrets = tables.get("secrets")
    if not isinstance(secrets, dict) or not any(secrets.values()):
        return None
    scrubbed = {**tables, "secrets": dict.fromkeys(secrets, "")}
    return (_SCRUBBED_HEADER + toml_writer.dumps(scrubbed)).encode()


_SCRUBBED_HEADER = """\
# The box has applied these settings and removed their secrets from this file: an empty secret keeps the one
# on the box, another text replaces it. The box applies a change of this file at its next start.

"""


def is_host_name(box_id: str) -> bool:
    """Return whether a box's id is valid as its host name."""
    return bool(_HOST_NAME_PATTERN.fullmatch(box_id)) and box_id not in _RESERVED_HOST_NAMES


def _image_problems(config: Config, box: BoxFacts | None, source: str) -> Iterator[str]:
    """Yield the conditions of the image and of the box: host name, the id of receipts, and folders on its partitions."""
    box_id = config.box.id
    if not is_host_name(box_id):
        yield (
            f"{source}: box.id = {box_id!r}: is the host name too; allowed: lower case letters, digits "
            "and '-', not at the end"
        )
    elif box is not None and box.signing_id not in (None, box_id):
        yield (
            f"{source}: box.id = {box_id!r}: this box is {box.signing_id!r}, and has signed receipts as that; "
            f"allowed: {box.signing_id!r}, or flash the box again"
        )
    if config.box.state != STATE_DIR:
        yield (
            f"{source}: box.state = {config.box.state!r}: not on a partition that survives a reboot; allowed: {STATE_DIR!r}, "
            "or left out"
        )


def _iter_notes(
    config: SettingsFile, references: Iterable[FileReference], embedded: EmbeddedFiles
) -> Iterator[str]:
    if not config.time.servers:
        yield "time.servers is not given: nothing sets the box's clock, and its times are not reliable"
    for key_path, value in _iter_texts(msgspec.to_builtins(config), ""):
        if _URL_PASSWORD_PATTERN.search(value):
            yield f"{key_path} contains a password, which stays on the card; better: username and password_file"
    for name, text in embedded.secrets.items():
        if not text:
            yield f"secrets.{name!r} is empty: valid only for a box that has it already"
    certificate, key = config.broker.certificate, config.broker.key
    if certificate is not None and key is not None:
        names = [local_name(value) for value in (certificate, key)]
        if names[1] not in embedded.secrets:
            has_certificate = names[0] in embedded.files
            yield (
                "the box makes its own key, and uses the given certificate if it is for that key"
                if has_certificate
                else "the box makes its own key; its certificate request will be on the card"
            )
    secret_file = local_name(config.console.secret_file)
    if secret_file not in embedded.secrets and not config.console.technician:
        yield (
            f"secrets.{config.console.secret_file!r} is not given, and no technician: the console "
            "accepts no login"
        )
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


def _clean_lines(lines: Iterable[str], redactor: Redactor) -> tuple[str, ...]:
    """Return the lines without duplicates, secrets and control characters, at most _MAX_PROBLEMS."""
    found = list(dict.fromkeys(_redact_line(line, redactor) for line in lines))
    if len(found) > _MAX_PROBLEMS:
        omitted = len(found) - _MAX_PROBLEMS
        found = [*found[:_MAX_PROBLEMS], f"and {omitted} more"]
    return tuple(found)


def _redact_line(line: str, redactor: Redactor) -> str:
    line = redactor.redact_known(" ".join(line.split()))
    line = _SECRET_VALUE_PATTERN.sub(rf"\1{REDACTED}", line)
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= _MAX_LINE_CHARS else line[:_MAX_LINE_CHARS] + " ..."


def _parse_embedded_files(
    tables: Mapping[str, Any], source: str
) -> tuple[EmbeddedFiles, list[str]]:
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


def local_name(value: str) -> str | None:
    """Return the name of a file next to the configuration, or None if the path leads elsewhere."""
    path = PurePosixPath(value)
    if path.is_absolute():
        path = (
            path.relative_to(CONFIG_DIR)
            if path.is_relative_to(CONFIG_DIR)
            else PurePosixPath("a/b")
        )
    return str(path) if len(path.parts) == 1 and NAME_PATTERN.fullmatch(str(path)) else None


def list_references(config: Config) -> list[FileReference]:
    """Return all references. `config` is as written: its paths are not resolved yet."""
    return [
        FileReference(key=key, value=path)
        for key, path in list_paths(config)
        if not key.endswith(_OTHER_PATHS)
    ]


def _missing_files(
    references: Iterable[FileReference], embedded: EmbeddedFiles, source: str
) -> Iterator[str]:
    """Yield a line for each referenced file that will be missing.

    The value of a secret's path is not shown: the secret itself may have been entered there by mistake.
    """
    embedded_names = sorted({*embedded.files, *embedded.secrets})
    for reference in references:
        location = f"{source}: {reference.key}" + (
            "" if reference.is_secret else f" = {reference.value!r}"
        )
        table = "[secrets]" if reference.is_secret else "[files]"
        is_absolute = reference.value.startswith("/")
        if is_absolute and reference.name is None and reference.absolute_path == "anywhere":
            continue
        if reference.name is None or (is_absolute and reference.absolute_path == "never"):
            yield f"{location}: lies elsewhere; allowed: the name of a file in {table}, without folders"
        elif reference.is_secret and reference.name in embedded.files:
            yield f"{location}: is in [files], from where it stays on the card; allowed: in [secrets]"
        elif reference.requirement == "required" and reference.name not in embedded_names:
            yield f"{location}: is not in {table}; there are: {', '.join(embedded_names) or 'none'}"


def usable_shm_dir(folder: Path) -> Path | None:
    """Return the folder if it is writable, else None, tempfile's default."""
    return folder if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) else None


def _content_problems(
    config: Config, references: Iterable[FileReference], embedded: EmbeddedFiles, source: str
) -> Iterator[str]:
    """Yield a line for each file that is wrong, and for each driver option, scene, tour and model that the agent would refuse.

    The files are written to a temporary folder, in memory if possible, since secrets are among them.
    """
    # Imported here: drivers and detection take seconds to load on a board, and most starts need neither.
    from agent.config_change import config_check  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="vigie-settings-", dir=usable_shm_dir(SHM_DIR)) as name:
        folder = Path(name)
        for file, text in {**embedded.files, **embedded.secrets}.items():
            _write_private(folder / file, text)
        yield from _credential_file_problems(config, references, embedded, source)
        checked = config_check.build(config, folder, SystemClock(), source)
        models = config_check.iter_model_problems(checked.config, source)
        for line in (*checked.problems, *models):
            shown = str(line).replace(f"{folder}/", "")
            yield shown if shown.startswith(f"{source}: ") else f"{source}: {shown}"


def _write_private(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def _collect_error(check: Callable[..., object], *args: object) -> Iterator[str]:
    try:
        check(*args)
    except UserError as error:
        yield str(error)


def _credential_file_problems(
    config: Config, references: Iterable[FileReference], embedded: EmbeddedFiles, source: str
) -> Iterator[str]:
    """Check passwords, the console's secret, authorities, and that certificate and key match if both are given."""
    broker, update, renewal = config.broker, config.update, config.renewal
    certificate, key = (_embedded_text(path, embedded) for path in (broker.certificate, broker.key))
    authorities = {
        key_path: _embedded_text(ca, embedded)
        for key_path, ca in (
            ("broker.ca", broker.ca),
            ("update.ca", None if update is None else update.ca_file),
            ("renewal.ca_file", None if renewal is None else renewal.ca_file),
        )
        if ca is not None
    }
    secret_name = local_name(config.console.secret_file)
    for reference in references:
        name = reference.name
        if reference.is_secret and reference.key.endswith("password_file") and name is not None:
            password = embedded.secrets.get(name, "")
            if password and not password.rstrip("\r\n").isprintable():
                yield f"{source}: secrets.{name!r}: not a password; allowed: one line of text"
    if secret_name is not None and embedded.secrets.get(secret_name):
        label = f"{source}: secrets.{secret_name!r}"
        yield from _collect_error(decode_secret, embedded.secrets[secret_name], label)
    for key_path, text in authorities.items():
        yield from _collect_error(pem.load_authorities, text.encode(), f"{source}: {key_path}")
    if broker.certificate is not None and broker.certificate == broker.key:
        yield f"{source}: broker.certificate, broker.key: the same file; allowed: two files"
        return
    label = f"{source}: broker.certificate = {broker.certificate!r}"
    problems = [
        *(
            _collect_error(pem.load_public_key, key.encode(), f"{source}: broker.key")
            if key
            else ()
        ),
        *(
            _collect_error(pem.load_box_certificate, certificate.encode(), config.box.id, label)
            if certificate
            else ()
        ),
    ]
    yield from problems
    if key and not certificate:
        yield f"{label}: is not in [files], and its key is in [secrets]; allowed: both, or none: the box makes them"
    elif (
        key and not problems and not pem.is_pair(key.encode(), certificate.encode(), config.box.id)
    ):
        yield f"{source}: broker.certificate, broker.key: the key does not belong to the certificate"


def _embedded_text(path: str | None, embedded: EmbeddedFiles) -> str:
    name = local_name(path or "") or ""
    return embedded.files.get(name) or embedded.secrets.get(name) or ""
