"""Tables as the lines of a TOML file. Pure; what may be shown of them was decided before."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def format_lines(tables: Mapping[str, Any], table_path: str = "") -> Iterator[str]:
    """The lines, without comments; a table inside a list of values stands in one line."""
    nested = []
    for key, value in tables.items():
        if isinstance(value, dict) or _is_table_array(value):
            nested.append((key, value))
        else:
            yield f"{_format_key(key)} = {_format_value(value)}"
    for key, value in nested:
        nested_path = f"{table_path}.{_format_key(key)}".lstrip(".")
        for table in value if isinstance(value, list) else (value,):
            yield ""
            yield f"[[{nested_path}]]" if isinstance(value, list) else f"[{nested_path}]"
            yield from format_lines(table, nested_path)


def _is_table_array(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _format_key(key: str) -> str:
    is_bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if is_bare else json.dumps(key, ensure_ascii=False)


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_format_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return (
            "{ "
            + ", ".join(
                f"{_format_key(key)} = {_format_value(item)}" for key, item in value.items()
            )
            + " }"
        )
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)
