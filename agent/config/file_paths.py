"""The keys of the configuration whose values are paths: resolved against the folder of a file, or listed. Pure.

A key that is missing here is not found next to the file; a test compares the table with the structs.
"""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.config.names import is_card_path

PATH_KEYS = frozenset(
    {
        "box.state",
        "broker.ca",
        "broker.certificate",
        "broker.key",
        "broker.password_file",
        "camera[].detect.accelerator.file",
        "camera[].detect.model",
        "camera[].detect.scene",
        "camera[].detect.scenes.*",
        "camera[].detect_options.*",
        "camera[].onvif.password_file",
        "camera[].options.*",
        "console.secret_file",
        "control.ca",
        "head[].options.*",
        "link.ca",
        "renewal.ca_file",
        "time.ca",
        "update.ca_file",
    }
)
"""`[]` is any entry of a list of tables, and `*` any name. Among a driver's options `path` and names that end in `_file` are paths."""

_KEYS_TO_PATHS = frozenset(
    part
    for key in PATH_KEYS
    for table in itertools.accumulate(key.split("."), "{}.{}".format)
    for part in (table, table.removesuffix("[]"))
)
"""The path keys, and the tables and lists above them: no other value is looked into."""

ChangePath = Callable[[str, str], str]
"""Returns another path for a key, such as `camera[0].detect.scene`, and its path."""

_Table = TypeVar("_Table", bound=msgspec.Struct)


def resolve_paths(table: _Table, folder: Path, key: str = "") -> _Table:
    """Return the configuration, or the table at `key` of it, with relative paths resolved against a folder."""
    return _map_table(table, lambda _key, path: str(folder / path), key)


def list_paths(config: msgspec.Struct) -> list[tuple[str, str]]:
    """Return each path of a configuration with its key."""
    found: list[tuple[str, str]] = []

    def collect(key: str, path: str) -> str:
        found.append((key, path))
        return path

    _map_table(config, collect, "")
    return found


def _map_table(table: _Table, change: ChangePath, key: str) -> _Table:
    fields = {
        name: _map_value(getattr(table, name), change, inner_key)
        for name in table.__struct_fields__
        if _pattern(inner_key := f"{key}.{name}".lstrip(".")) in _KEYS_TO_PATHS
    }
    return msgspec.structs.replace(table, **fields)


def _map_value(value: Any, change: ChangePath, key: str) -> Any:
    match value:
        case msgspec.Struct():
            return _map_table(value, change, key)
        case tuple():
            return tuple(
                _map_value(item, change, f"{key}[{index}]") for index, item in enumerate(value)
            )
        case dict():
            return {name: _map_value(item, change, f"{key}.{name}") for name, item in value.items()}
        case str() if _is_path(key, value):
            return change(key, value)
    return value


def _is_path(key: str, value: str) -> bool:
    pattern = _pattern(key)
    table, _, name = pattern.rpartition(".")
    if f"{table}.*" in PATH_KEYS:
        return "options" not in table or name == "path" or name.endswith("_file")
    return pattern in PATH_KEYS and (name != "model" or is_card_path(value))


def _pattern(key: str) -> str:
    return re.sub(r"\[\d+\]", "[]", key)
