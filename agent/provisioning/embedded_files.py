"""`[files]` and `[secrets]` of a settings file: what lies beside the configuration on the box. Pure.

Invariant: no text of a secret is in a message or in a `repr`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

CONFIG_FILE = "vigie.toml"
NETWORK_FILE = "network.toml"
MOST_FILES = 64
MOST_BYTES = 256_000
"""Of one file."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OURS = (CONFIG_FILE, NETWORK_FILE)
_OURS_END = (".before", ".new", ".making")
"""What enrolling leaves beside a certificate."""
_WORDS = "letters, digits, '.', '_' and '-', at most 64, a letter or a digit first"

Place = Literal["files", "secrets"]


class EmbeddedFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Texts by the names of their files. A secret that is empty stays as it is on the box."""

    files: dict[str, str] = {}
    secrets: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Enclosed(files={sorted(self.files)}, secrets={sorted(self.secrets)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("files", sorted(self.files)), ("secrets", sorted(self.secrets))]


def enclosed(tables: Mapping[str, Any], where: str) -> tuple[EmbeddedFiles, list[str]]:
    """What is enclosed, as far as it is good, and a line for each thing that is not."""
    wrong: list[str] = []
    files = dict(_good(tables, "files", where, wrong))
    secrets = dict(_good(tables, "secrets", where, wrong))
    wrong += [
        f"{where}: secrets.{name!r}: is in [files] too; allowed: one of both"
        for name in sorted(files.keys() & secrets.keys())
    ]
    if len(files) + len(secrets) > MOST_FILES:
        number = len(files) + len(secrets)
        wrong.append(f"{where}: files, secrets: {number} files; allowed: at most {MOST_FILES}")
    for name, text in files.items():
        if "PRIVATE KEY-----" in text:
            wrong.append(
                f"{where}: files.{name!r}: holds a private key; allowed: in [secrets], from where "
                "it does not stay on the card"
            )
    return EmbeddedFiles(files=files, secrets=secrets), wrong


def _good(
    tables: Mapping[str, Any], place: Place, where: str, wrong: list[str]
) -> Iterator[tuple[str, str]]:
    table = tables.get(place, {})
    if not isinstance(table, dict):
        wrong.append(f"{where}: {place}: no table; allowed: [{place}], with a line for each file")
        return
    for name, text in table.items():
        said = _problem(name, text, place)
        if said is None:
            yield name, text
        else:
            wrong.append(f"{where}: {place}.{name!r}: {said}")


def _problem(name: str, text: Any, place: Place) -> str | None:
    if isinstance(text, dict):
        return f'a table; allowed: "{name}.…" = TEXT, the name in quotation marks'
    if not NAME.fullmatch(name):
        return f"no name of a file beside the configuration; allowed: {_WORDS}"
    if name in _OURS or name.endswith(_OURS_END):
        ours = ", ".join([*_OURS, *(f"*{end}" for end in _OURS_END)])
        return f"a name that the box uses itself; allowed: any but {ours}"
    if not isinstance(text, str) or (place == "files" and not text):
        return "no text; allowed: the file's text in quotation marks"
    size = len(text.encode())
    return None if size <= MOST_BYTES else f"{size} bytes; allowed: at most {MOST_BYTES}"
