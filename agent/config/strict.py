"""TOML into frozen structs, and one clear line where it does not fit.

Used for whatever a person writes by hand: the configuration, a driver's options, a scene, a
model card. A line names the file, the path of the key, the value, and what is allowed.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import msgspec.inspect

from agent.base.errors import UserError

T = TypeVar("T")

DEEPEST = 24
"""Levels of tables and lists in a file. No file of ours has half as many, and whoever walks through the
tables may do so by recursion.
"""

_AT = re.compile(r" - at `(?P<path>[^`]*)`$(?!\n)")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>\d+)\]")


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file. `what` says what the file is, for messages.

    Raises BadInput where it is not there, not readable, or not TOML.
    """
    where = f"{what} {str(path)!r}"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{where}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 text, at byte {error.start}") from error
    except ValueError as error:  # what is no path at all, such as one with a NUL in it
        raise UserError(f"{where}: {error}") from error
    return parsed(text, where)


def parsed(text: str, where: str) -> dict[str, Any]:
    """The tables of a TOML text. `where` begins the message. Raises BadInput where it is none."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where}: not valid TOML: {error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not valid TOML: a number or a nesting too large") from error
    if _is_deep(tables):
        raise UserError(f"{where}: nested too deeply; allowed: {DEEPEST} levels")
    return tables


def _is_deep(tables: object) -> bool:
    level: list[object] = [tables]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def into(tables: object, kind: type[T], where: str, under: str = "") -> T:
    """`tables` as a `kind`. `where` begins the message, such as a file's name; `under` is the
    path of the tables in that file, such as `camera[0].options`.

    Raises BadInput for an unknown key, a missing one, a wrong type or a value out of range.
    """
    try:
        return msgspec.convert(tables, kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_explain(str(error), tables, kind, under)}") from error


def _explain(message: str, tables: object, kind: type, under: str) -> str:
    """Msgspec's message, with the path first, the value, and what is allowed."""
    at = _AT.search(message)
    said = message[: at.start()] if at else message
    steps = _steps(at["path"]) if at else []
    path = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)
    path = f"{under}{path}".lstrip(".")
    unknown = _UNKNOWN.match(said)
    if unknown:
        allowed = _keys_at(kind, steps, tables)
        key = f"{path}.{unknown['key']}".lstrip(".")
        return f"{key}: unknown key; allowed: {', '.join(allowed) or 'none'}"
    said = said[0].lower() + said[1:]
    found, value = _value_at(tables, steps)
    got = f" = {value!r}" if found and not isinstance(value, dict | list) else ""
    choices = _choices_at(kind, steps)
    allowed_values = f"; allowed: {', '.join(map(repr, choices))}" if choices else ""
    return f"{path}{got}: {said}{allowed_values}" if path else f"{said}{allowed_values}"


def _steps(path: str) -> list[str | int]:
    """`$.camera[0].name` as ["camera", 0, "name"]."""
    steps: list[str | int] = []
    for match in _STEP.finditer(path):
        if match["key"] is not None:
            steps.append(match["key"])
        elif match["index"] is not None:
            steps.append(int(match["index"]))
    return steps


def _value_at(tables: object, steps: list[str | int]) -> tuple[bool, object]:
    for step in steps:
        match tables, step:
            case dict(), _ if step in tables:
                tables = tables[step]
            case list(), int(index) if index < len(tables):
                tables = tables[index]
            case _:
                return False, None
    return True, tables


def _type_at(kind: type, steps: list[str | int]) -> list[msgspec.inspect.Type]:
    """The types that may stand at a path: more than one where a union is on the way."""
    here = _members(msgspec.inspect.type_info(kind))
    for step in steps:
        below: list[msgspec.inspect.Type] = []
        for candidate in here:
            if isinstance(candidate, msgspec.inspect.StructType):
                for field in candidate.fields:
                    if field.encode_name == step:
                        below.extend(_members(field.type))
            elif isinstance(candidate, msgspec.inspect.VarTupleType | msgspec.inspect.ListType):
                below.extend(_members(candidate.item_type))
        here = below
    return here


def _members(kind: msgspec.inspect.Type) -> list[msgspec.inspect.Type]:
    if isinstance(kind, msgspec.inspect.UnionType):
        return [member for inner in kind.types for member in _members(inner)]
    if isinstance(kind, msgspec.inspect.Metadata):
        return _members(kind.type)
    return [kind]


def _keys_at(kind: type, steps: list[str | int], tables: object) -> list[str]:
    """The keys at a path; of several structs those of the one that the tables name by its tag."""
    structs = [t for t in _type_at(kind, steps) if isinstance(t, msgspec.inspect.StructType)]
    _, value = _value_at(tables, steps)
    if isinstance(value, dict):
        structs = [t for t in structs if t.tag_field is None or value.get(t.tag_field) == t.tag]
    return [field.encode_name for struct in structs for field in struct.fields]


def _choices_at(kind: type, steps: list[str | int]) -> list[object]:
    """The values that may stand at a path, where they are few: a literal's, or a union's tags."""
    literals = {
        value: None
        for candidate in _type_at(kind, steps)
        if isinstance(candidate, msgspec.inspect.LiteralType)
        for value in candidate.values
    }
    choices: list[object] = list(literals)
    if not choices and steps:
        choices = [
            candidate.tag
            for candidate in _type_at(kind, steps[:-1])
            if isinstance(candidate, msgspec.inspect.StructType)
            and candidate.tag_field == steps[-1]
        ]
    return choices
