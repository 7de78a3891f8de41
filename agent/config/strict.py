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

MAX_DEPTH = 24
"""Levels of tables and lists in a file. No file of ours has half as many, and whoever walks through the
tables may do so by recursion.
"""

_PATH_SUFFIX = re.compile(r" - at `(?P<path>[^`]*)`$(?!\n)")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_PATH_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>\d+)\]")


def read_toml(path: Path, description: str) -> dict[str, Any]:
    """The tables of a TOML file. `what` says what the file is, for messages.

    Raises UserError where it is not there, not readable, or not TOML.
    """
    context = f"{description} {str(path)!r}"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{context}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{context}: not UTF-8 text, at byte {error.start}") from error
    except ValueError as error:  # what is no path at all, such as one with a NUL in it
        raise UserError(f"{context}: {error}") from error
    return parse_toml(text, context)


def parse_toml(text: str, context: str) -> dict[str, Any]:
    """The tables of a TOML text. `where` begins the message. Raises UserError where it is none."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{context}: not valid TOML: {error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{context}: not valid TOML: a number or a nesting too large") from error
    if _is_too_deep(tables):
        raise UserError(f"{context}: nested too deeply; allowed: {MAX_DEPTH} levels")
    return tables


def _is_too_deep(tables: object) -> bool:
    level: list[object] = [tables]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return False
    return True


def convert(tables: object, target_type: type[T], context: str, key_path: str = "") -> T:
    """`tables` as a `kind`. `where` begins the message, such as a file's name; `under` is the
    path of the tables in that file, such as `camera[0].options`.

    Raises UserError for an unknown key, a missing one, a wrong type or a value out of range.
    """
    try:
        return msgspec.convert(tables, target_type)
    except msgspec.ValidationError as error:
        raise UserError(
            f"{context}: {_explain(str(error), tables, target_type, key_path)}"
        ) from error


def _explain(message: str, tables: object, target_type: type, key_path: str) -> str:
    """Msgspec's message, with the path first, the value, and what is allowed."""
    path_match = _PATH_SUFFIX.search(message)
    problem = message[: path_match.start()] if path_match else message
    steps = _parse_path(path_match["path"]) if path_match else []
    path = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)
    path = f"{key_path}{path}".lstrip(".")
    unknown_match = _UNKNOWN_FIELD.match(problem)
    if unknown_match:
        allowed = _keys_at(target_type, steps, tables)
        key = f"{path}.{unknown_match['key']}".lstrip(".")
        return f"{key}: unknown key; allowed: {', '.join(allowed) or 'none'}"
    problem = problem[0].lower() + problem[1:]
    found, value = _value_at(tables, steps)
    shown_value = f" = {value!r}" if found and not isinstance(value, dict | list) else ""
    choices = _allowed_values_at(target_type, steps)
    allowed_values = f"; allowed: {', '.join(map(repr, choices))}" if choices else ""
    return (
        f"{path}{shown_value}: {problem}{allowed_values}" if path else f"{problem}{allowed_values}"
    )


def _parse_path(path: str) -> list[str | int]:
    """`$.camera[0].name` as ["camera", 0, "name"]."""
    steps: list[str | int] = []
    for match in _PATH_STEP.finditer(path):
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


def _types_at(target_type: type, steps: list[str | int]) -> list[msgspec.inspect.Type]:
    """The types that may stand at a path: more than one where a union is on the way."""
    current = _union_members(msgspec.inspect.type_info(target_type))
    for step in steps:
        children: list[msgspec.inspect.Type] = []
        for candidate in current:
            if isinstance(candidate, msgspec.inspect.StructType):
                for field in candidate.fields:
                    if field.encode_name == step:
                        children.extend(_union_members(field.type))
            elif isinstance(candidate, msgspec.inspect.VarTupleType | msgspec.inspect.ListType):
                children.extend(_union_members(candidate.item_type))
        current = children
    return current


def _union_members(type_info: msgspec.inspect.Type) -> list[msgspec.inspect.Type]:
    if isinstance(type_info, msgspec.inspect.UnionType):
        return [member for alternative in type_info.types for member in _union_members(alternative)]
    if isinstance(type_info, msgspec.inspect.Metadata):
        return _union_members(type_info.type)
    return [type_info]


def _keys_at(target_type: type, steps: list[str | int], tables: object) -> list[str]:
    """The keys at a path; of several structs those of the one that the tables name by its tag."""
    structs = [
        candidate
        for candidate in _types_at(target_type, steps)
        if isinstance(candidate, msgspec.inspect.StructType)
    ]
    _, value = _value_at(tables, steps)
    if isinstance(value, dict):
        structs = [
            struct
            for struct in structs
            if struct.tag_field is None or value.get(struct.tag_field) == struct.tag
        ]
    return [field.encode_name for struct in structs for field in struct.fields]


def _allowed_values_at(target_type: type, steps: list[str | int]) -> list[object]:
    """The values that may stand at a path, where they are few: a literal's, or a union's tags."""
    literals = {
        value: None
        for candidate in _types_at(target_type, steps)
        if isinstance(candidate, msgspec.inspect.LiteralType)
        for value in candidate.values
    }
    choices: list[object] = list(literals)
    if not choices and steps:
        choices = [
            candidate.tag
            for candidate in _types_at(target_type, steps[:-1])
            if isinstance(candidate, msgspec.inspect.StructType)
            and candidate.tag_field == steps[-1]
        ]
    return choices
