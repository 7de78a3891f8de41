"""Write tables as a TOML file that reads back the same. Pure.

Comments are lost on purpose: one may hold a password.
"""

from collections.abc import Mapping
from typing import Any

import tomlkit


def dumps(tables: Mapping[str, Any]) -> str:
    """Return the text that `tomllib` reads as these tables; a text of several lines stays legible."""
    return tomlkit.dumps(_prepare(tables)).lstrip("\n")


def format_value(value: Any) -> str:
    """Return one value as TOML, within one line."""
    return str(tomlkit.item(value).as_string())


def _prepare(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Order plain values before tables, and mark texts of several lines."""
    nested = {key: value for key, value in tables.items() if _is_nested(value)}
    prepared: dict[str, Any] = {
        key: _long_string(value) if isinstance(value, str) and "\n" in value else value
        for key, value in tables.items()
        if key not in nested
    }
    for key, value in nested.items():
        prepared[key] = (
            [_prepare(item) for item in value] if isinstance(value, list) else _prepare(value)
        )
    return prepared


def _long_string(value: str) -> Any:
    """Spread a text over its lines; one with a carriage return, which TOML may drop there, stays in one."""
    if "\r" in value:
        return value
    text = tomlkit.string(value, multiline=True).as_string()
    return tomlkit.value(text if text.startswith('"""\n') else f'"""\n{text[3:]}')


def _is_nested(value: Any) -> bool:
    is_table_array = isinstance(value, list) and value and all(isinstance(v, dict) for v in value)
    return isinstance(value, dict) or bool(is_table_array)
