"""The settings file of a box, `vigie-settings.toml`: read and checked as a whole, here or at the office.

It is the configuration of the box, with three tables more: [network], [files] and [secrets]. See
docs/settings.md.

Invariant: no text of a secret is in a message, in a note or in a `repr`.
"""

import re
import tomllib
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.base.errors import UserError
from agent.config import redaction, strict, toml_writer
from agent.config.all_errors import iter_errors
from agent.config.configuration import Config
from agent.config.names import Name
from agent.config.shareable_config import LEFT_OUT
from agent.provisioning import embedded_files as enclosing
from agent.provisioning import file_references as referring
from agent.provisioning import network as networking
from agent.provisioning.embedded_files import EmbeddedFiles
from agent.provisioning.network import Network

FILE_NAME = "vigie-settings.toml"
MOST_BYTES = 1_000_000
STATE = "/var/lib/vigie"
FOOTAGE = "footage"
OWN_TABLES = ("network", "files", "secrets")
"""Beside those of the configuration."""

_MOST_PROBLEMS = 40
_LONGEST_LINE = 400
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NO_BOX = ("localhost",)
_USER = re.compile(r"(?<=://)[^\s/@\"']*@")
_PASSWORD_IN_ADDRESS = re.compile(r"://[^\s/@]*:[^\s/@]+@")
_SHOWN_SECRET = re.compile(
    r"((?:pass|secret|token|credential|private|key)\w* = )"
    r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s:;]+)",
    re.IGNORECASE,
)


class BadSettings(UserError):
    """A settings file that is not good. `problems` are all that was found, a line for each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class BoxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A settings file that is good. `data` is what it was read from, byte for byte; `notes` are worth
    telling, though nothing is wrong.
    """

    data: bytes
    tables: dict[str, Any]
    """Those of the configuration."""
    config: Config
    """The same, its paths as they were written."""
    network: Network
    enclosed: EmbeddedFiles
    notes: tuple[str, ...] = ()

    @property
    def box(self) -> str:
        """The box's id, and its host name."""
        return self.config.box.id

    @property
    def site(self) -> str:
        """Where the box stands."""
        return self.config.box.site

    @property
    def broker(self) -> str:
        """The address that it reports to."""
        return self.config.broker.url

    @property
    def has_secrets(self) -> bool:
        """Whether the file holds any that is not empty."""
        return any(self.enclosed.secrets.values())

    def __repr__(self) -> str:
        return f"Settings(box={self.box!r}, {self.enclosed!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("box", self.box), ("enclosed", self.enclosed)]


def read(path: Path) -> BoxSettings:
    """The settings in a file. Raises BadSettings with all that is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadSettings([f"{path}: {error.strerror or error}"]) from error
    return parse(data, str(path))


def parse(data: bytes, where: str) -> BoxSettings:
    """The settings in these bytes; `where` begins each line of what is wrong. Raises BadSettings."""
    tables = _tables(data, where)
    enclosed, wrong = enclosing.enclosed(tables, where)
    secrets = frozenset(_secrets(tables.get("secrets")))
    own = {key: value for key, value in tables.items() if key not in OWN_TABLES}
    wrong += _network_problems(tables.get("network", {}), where)
    unfit = list(_config_problems(own, where))
    wrong += unfit
    if unfit:
        # What is left without the pieces that are wrong is looked at all the same.
        own = _mended(own)
    config = strict.into(own, Config, where)
    wrong += _image_problems(config, where)
    astray = list(referring.problems(referring.references(config), enclosed, where))
    wrong += astray or _deep_problems(own, config, enclosed, where)
    if wrong:
        raise BadSettings(_told(wrong, secrets))
    return BoxSettings(
        data=data,
        tables=own,
        config=config,
        network=strict.into(tables.get("network", {}), Network, where),
        enclosed=enclosed,
        notes=_told(_notes(config, enclosed), secrets),
    )


def without_secrets(data: bytes) -> bytes | None:
    """The same file with its secrets emptied; None where it has none. The file is a good one."""
    tables = tomllib.loads(data.decode("utf-8-sig"))
    secrets = tables.get("secrets", {})
    if not any(secrets.values()):
        return None
    tables["secrets"] = dict.fromkeys(secrets, "")
    return (_LEFT + toml_writer.text(tables)).encode()


_LEFT = """\
# The box has taken these settings in, and their secrets out of this file: one that is empty stays as it is
# on the box, another text replaces it. Change what you like; the box takes it in at its next start.

"""


def _tables(data: bytes, where: str) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise BadSettings([f"{where}: larger than a settings file; allowed: {MOST_BYTES} bytes"])
    try:
        # Editors of some systems begin a file with a mark.
        return strict.parsed(data.decode("utf-8-sig"), where)
    except UnicodeDecodeError as error:
        raise BadSettings([f"{where}: not UTF-8 text, at byte {error.start}"]) from error
    except UserError as error:
        raise BadSettings([str(error)]) from error


def _secrets(table: object) -> Iterator[str]:
    """Whatever stands in [secrets], be it good or not."""
    if isinstance(table, Mapping):
        for one in table.values():
            yield from _secrets(one)
    elif isinstance(table, list):
        for one in table:
            yield from _secrets(one)
    elif table is not None:
        yield from redaction.of_file(str(table))


def _network_problems(table: object, where: str) -> list[str]:
    wrong = list(iter_errors(table, Network, where, "network"))
    return wrong or list(networking.problems(strict.into(table, Network, where, "network"), where))


def _config_problems(tables: dict[str, Any], where: str) -> Iterator[str]:
    known = [field.encode_name for field in msgspec.structs.fields(Config)]
    for key in tables:
        if key not in known:
            yield f"{where}: {key}: unknown table; allowed: {', '.join([*known, *OWN_TABLES])}"
    yield from iter_errors({k: v for k, v in tables.items() if k in known}, Config, where)


def _mended(tables: dict[str, Any]) -> dict[str, Any]:
    """The same with something good in place of each piece that is wrong: lists keep their places, and
    cameras their names, since others name them.
    """
    hints = typing.get_type_hints(Config, include_extras=True)
    good = {
        key: value
        for key, value in tables.items()
        if key in hints and not any(iter_errors(value, hints[key], ""))
    }
    for key, value in _STOPGAPS.items():
        given = tables.get(key)
        if key in good or not isinstance(given, list) or not isinstance(value, list):
            continue
        (stopgap,), item = value, typing.get_args(typing.get_args(hints[key])[0])[0]
        good[key] = [
            one
            if not any(iter_errors(one, item, ""))
            else {**stopgap, "name": _name(one) or f"{key}-{index}"}
            for index, one in enumerate(given[:8])
        ]
    return {**_STOPGAPS, **{key: value for key, value in good.items() if value != []}}


_STOPGAPS: dict[str, Any] = {
    "box": {"id": "x", "site": "x"},
    "broker": {"url": "mqtt://x"},
    "camera": [{"name": "x", "driver": "fake", "options": {}}],
    "head": [{"name": "x", "driver": "fake"}],
}


def _name(table: object) -> str | None:
    name = table.get("name") if isinstance(table, dict) else None
    try:
        return msgspec.convert(name, Name)
    except msgspec.ValidationError:
        return None


def is_host_name(box: str) -> bool:
    """Whether a box's id can be its host name."""
    return bool(_HOST_NAME.fullmatch(box)) and box not in _NO_BOX


def _image_problems(config: Config, where: str) -> Iterator[str]:
    """What the image wants beyond what the agent does: its partitions are where they are."""
    box = config.box.id
    if not is_host_name(box):
        yield (
            f"{where}: box.id = {box!r}: is the host name too; allowed: lower case letters, digits "
            "and '-', which is not the last"
        )
    if config.box.state != STATE:
        yield (
            f"{where}: box.state = {config.box.state!r}: is lost at each start; allowed: {STATE!r}, "
            "or left out"
        )
    if config.record.folder not in (FOOTAGE, f"{STATE}/{FOOTAGE}"):
        yield (
            f"{where}: record.folder = {config.record.folder!r}: is not on the partition for footage; "
            f"allowed: {FOOTAGE!r}, or left out"
        )


def _deep_problems(
    tables: dict[str, Any], config: Config, enclosed: EmbeddedFiles, where: str
) -> list[str]:
    # Here, because drivers and detection take seconds to load on a board, and most starts need none.
    from agent.provisioning import full_check  # noqa: PLC0415

    return full_check.problems(tables, config, enclosed, where)


def _notes(config: Config, enclosed: EmbeddedFiles) -> Iterator[str]:
    for place, value in _texts(msgspec.to_builtins(config), ""):
        if _PASSWORD_IN_ADDRESS.search(value):
            yield f"{place} holds a password, which stays on the card; better: username and password_file"
    for name, text in enclosed.secrets.items():
        if not text:
            yield f"secrets.{name!r} is empty: good for a box that has it, and no other"
    certificate, key = config.broker.certificate, config.broker.key
    if certificate is not None and key is not None:
        names = [referring.name_of(one) for one in (certificate, key)]
        if names[1] not in enclosed.secrets:
            given = names[0] in enclosed.files
            yield (
                "the box makes its own key, and takes the certificate that is given where it is for it"
                if given
                else "the box makes its own key; its certificate request will be on the card"
            )
    secret_file = referring.name_of(config.console.secret_file)
    if secret_file not in enclosed.secrets and not config.console.technician:
        yield (
            f"secrets.{config.console.secret_file!r} is not given, and no technician: nobody can log "
            "in at the console"
        )
    named = {one.name for one in referring.references(config)}
    for name in sorted({*enclosed.files, *enclosed.secrets} - named):
        yield f"nothing in the configuration names the file {name!r}"


def _texts(value: object, under: str) -> Iterator[tuple[str, str]]:
    """Each text in some tables with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, f"{under}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{under}[{index}]")
    elif isinstance(value, str):
        yield under, value


def _told(lines: Iterable[str], secrets: Collection[str]) -> tuple[str, ...]:
    """Each once, in one line that a terminal shows as it is, and without secrets."""
    found = list(dict.fromkeys(_clean(line, secrets) for line in lines))
    if len(found) > _MOST_PROBLEMS:
        more = len(found) - _MOST_PROBLEMS
        found = [*found[:_MOST_PROBLEMS], f"and {more} more"]
    return tuple(found)


def _clean(line: str, secrets: Collection[str]) -> str:
    line = " ".join(line.split())
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= redaction.SHORTEST:
            line = line.replace(secret, LEFT_OUT)
    line = _USER.sub(f"{LEFT_OUT}@", line)
    line = _SHOWN_SECRET.sub(rf"\1{LEFT_OUT}", line)
    line = "".join(one if one.isprintable() else "?" for one in line)
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + " ..."
