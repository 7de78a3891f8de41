"""Tables as the text of a TOML file, and back the same. Pure.

Comments do not survive: somebody may have written a password into one.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\"}
_CLOSING_QUOTES = re.compile(r'"{2,}|"\Z')
"""Those that would end a long string, or be taken for its end."""
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f\\]")


def dumps(tables: Mapping[str, Any]) -> str:
    """What `tomllib` reads as these tables."""
    return "\n".join(_format_lines(tables, "")).strip("\n") + "\n"


def _format_lines(tables: Mapping[str, Any], table_path: str) -> Iterator[str]:
    """The plain values first: what follows the head of a table inside belongs to that."""
    nested = {
        key: value for key, value in tables.items() if _is_table(value) or _is_table_array(value)
    }
    for key, value in tables.items():
        if key not in nested:
            yield f"{_format_key(key)} = {_format_value(value, inline=False)}"
    for key, value in nested.items():
        nested_path = f"{table_path}.{_format_key(key)}".lstrip(".")
        for table in value if isinstance(value, list) else (value,):
            yield ""
            yield f"[[{nested_path}]]" if isinstance(value, list) else f"[{nested_path}]"
            yield from _format_lines(table, nested_path)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_table_array(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))


def _format_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _format_string(key)


def _format_value(value: Any, *, inline: bool) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return (
                _format_string(value)
                if inline or "\n" not in value
                else _format_multiline_string(value)
            )
        case int() | float():
            return repr(value)
        case list() | tuple():
            return "[" + ", ".join(_format_value(item, inline=True) for item in value) + "]"
        case dict():
            pairs = (
                f"{_format_key(key)} = {_format_value(item, inline=True)}"
                for key, item in value.items()
            )
            return "{ " + ", ".join(pairs) + " }"
        case _:  # a date, a time, or both
            return str(value.isoformat())


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[0]) or f"\\u{ord(match[0]):04x}"


def _format_string(value: str) -> str:
    return '"' + _CONTROL_CHARACTER.sub(_escape, value).replace('"', '\\"') + '"'


def _format_multiline_string(value: str) -> str:
    """Over several lines, as a person would write a file. The first newline is not part of it."""
    escaped_lines = (_CONTROL_CHARACTER.sub(_escape, line) for line in value.split("\n"))
    body = _CLOSING_QUOTES.sub(lambda quotes: '\\"' * len(quotes[0]), "\n".join(escaped_lines))
    return f'"""\n{body}"""'
