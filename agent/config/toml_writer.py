"""Tables as the text of a TOML file, and back the same. Pure.

Comments do not survive: somebody may have written a password into one.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\"}
_QUOTES = re.compile(r'"{2,}|"\Z')
"""Those that would end a long string, or be taken for its end."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


def text(tables: Mapping[str, Any]) -> str:
    """What `tomllib` reads as these tables."""
    return "\n".join(_lines(tables, "")).strip("\n") + "\n"


def _lines(tables: Mapping[str, Any], path: str) -> Iterator[str]:
    """The plain values first: what follows the head of a table inside belongs to that."""
    inner = {key: value for key, value in tables.items() if _is_table(value) or _are_tables(value)}
    for key, value in tables.items():
        if key not in inner:
            yield f"{_key(key)} = {_value(value, in_line=False)}"
    for key, value in inner.items():
        under = f"{path}.{_key(key)}".lstrip(".")
        for one in value if isinstance(value, list) else (value,):
            yield ""
            yield f"[[{under}]]" if isinstance(value, list) else f"[{under}]"
            yield from _lines(one, under)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _value(value: Any, *, in_line: bool) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _string(value) if in_line or "\n" not in value else _long_string(value)
        case int() | float():
            return repr(value)
        case list() | tuple():
            return "[" + ", ".join(_value(one, in_line=True) for one in value) + "]"
        case dict():
            pairs = (f"{_key(key)} = {_value(one, in_line=True)}" for key, one in value.items())
            return "{ " + ", ".join(pairs) + " }"
        case _:  # a date, a time, or both
            return str(value.isoformat())


def _escaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[0]) or f"\\u{ord(match[0]):04x}"


def _string(value: str) -> str:
    return '"' + _CONTROL.sub(_escaped, value).replace('"', '\\"') + '"'


def _long_string(value: str) -> str:
    """Over several lines, as a person would write a file. The first newline is not part of it."""
    lines = (_CONTROL.sub(_escaped, line) for line in value.split("\n"))
    body = _QUOTES.sub(lambda found: '\\"' * len(found[0]), "\n".join(lines))
    return f'"""\n{body}"""'
