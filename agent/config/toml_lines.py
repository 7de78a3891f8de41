"""Tables as the lines of a TOML file. Pure; what may be shown of them was decided before."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def lines(tables: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The lines, without comments; a table inside a list of values stands in one line."""
    inner = []
    for key, value in tables.items():
        if isinstance(value, dict) or _is_tables(value):
            inner.append((key, value))
        else:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in inner:
        under = f"{path}.{_key(key)}".lstrip(".")
        for one in value if isinstance(value, list) else (value,):
            yield ""
            yield f"[[{under}]]" if isinstance(value, list) else f"[{under}]"
            yield from lines(one, under)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)
