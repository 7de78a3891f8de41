"""Decode TOML into frozen structs, with one clear line per mistake.

Used for every file that a person writes: the configuration, a driver's options, a scene, a model
card. A line names the file, the path of the key, the value, and what is allowed.
"""

import re
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.message import Message, Text, message_of
from agent.config import plain_words

T = TypeVar("T")

MAX_FILE_BYTES = 1_048_576
MAX_DEPTH = 24
"""Levels of tables and lists in a file. No file of Vigie has half as many, and code that walks the
tables may recurse.
"""

_PATH_SUFFIX = re.compile(r" - at `(?P<path>[^`]*)`$(?!\n)")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
"""A key that TOML writes without quotes."""
_PATH_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>\d+)\]")


def read_toml(path: Path, description: str) -> dict[str, Any]:
    """Read the tables of a TOML file. `description` names the kind of file in messages.

    Raises: UserError if the file is missing, not readable, or not TOML.
    """
    context = f"{description} {str(path)!r}"
    try:
        data = read_regular_file(path, MAX_FILE_BYTES)
    except OSError as error:
        raise UserError(
            Message("{label}: {problem}", label=context, problem=error.strerror or str(error))
        ) from error
    return parse_toml(data, context)


def parse_toml(content: str | bytes, context: str) -> dict[str, Any]:
    """Parse a TOML text, or its bytes, which may begin with a byte order mark as editors write it.

    Messages begin with `context`. Raises: UserError if it is not TOML.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        tables = tomllib.loads(text)  # noqa: TID251 - the one place
    except UnicodeDecodeError as error:
        raise UserError(
            Message("{label}: not UTF-8 text, at byte {start}", label=context, start=error.start)
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(
            Message("{label}: not valid TOML: {error}", label=context, error=str(error))
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            Message("{label}: not valid TOML: a number or a nesting too large", label=context)
        ) from error
    if is_too_deep(tables):
        raise UserError(
            Message(
                "{label}: nested too deeply; allowed: {max} levels", label=context, max=MAX_DEPTH
            )
        )
    return tables


def is_too_deep(tables: object) -> bool:
    """Return whether tables and lists are nested for more than MAX_DEPTH levels."""
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
    """Convert `tables` to `target_type`.

    Messages begin with `context`, such as the file's name; `key_path` is the path of the tables in that
    file, such as `camera[0].options`. Raises: UserError if a key is unknown or missing, or a value has a
    wrong type or is out of range.
    """
    try:
        return msgspec.convert(tables, target_type)
    except msgspec.ValidationError as error:
        problem = _explain(str(error), tables, target_type, key_path)
        raise UserError(Message("{label}: {problem}", label=context, problem=problem)) from error


def iter_errors(value: Any, expected_type: Any, context: str, key_path: str = "") -> Iterator[Text]:
    """Yield a line for every mistake in `value`, not the first alone.

    A technician at a pole needs all of them at once, to correct them. Tables and lists are checked piece by piece,
    each as by `convert`.
    """
    struct_type = _select_struct(value, expected_type)
    item_type = _item_type(expected_type)
    nested_errors: list[Text] = []
    if struct_type is not None and isinstance(value, dict):
        nested_errors = list(_table_errors(value, struct_type, context, key_path))
    elif item_type is not None and isinstance(value, list):
        for index, element in enumerate(value):
            nested_errors.extend(iter_errors(element, item_type, context, f"{key_path}[{index}]"))
    yield from nested_errors
    if not nested_errors:
        # A mistake that no single piece shows, or a value without pieces.
        try:
            convert(value, expected_type, context, key_path)
        except UserError as error:
            yield message_of(error)


def _table_errors(
    table: Mapping[str, Any], struct_type: type[msgspec.Struct], context: str, key_path: str
) -> Iterator[Text]:
    fields = _fields(struct_type)
    for key in table:
        if key not in fields and key != struct_type.__struct_config__.tag_field:
            yield _located(context, _unknown_key(_join_key_path(key_path, key), fields))
    required = {f.encode_name for f in msgspec.structs.fields(struct_type) if f.required}
    for key, field_type in fields.items():
        if key in table:
            yield from iter_errors(table[key], field_type, context, _join_key_path(key_path, key))
        elif key in required:
            yield _located(context, _missing_key(_join_key_path(key_path, key)))


def _join_key_path(key_path: str, key: str) -> str:
    """Return the path of a key. One that TOML must quote is quoted: it may have line breaks."""
    shown = key if _BARE_KEY.fullmatch(key) else plain_words.format_value(key)
    return f"{key_path}.{shown}".lstrip(".")


def _unknown_key(key: str, allowed: Iterable[str]) -> Message:
    return Message(
        "{label}: unknown key; allowed: {allowed}",
        label=key,
        allowed=", ".join(allowed) or Message("none"),
    )


def _missing_key(key: str) -> Message:
    return Message("{label}: missing; it has to be given", label=key)


def _explain(message: str, tables: object, target_type: type, key_path: str) -> Text:
    """Rephrase msgspec's message: the path first, then the value, then what is allowed."""
    path_match = _PATH_SUFFIX.search(message)
    problem = message[: path_match.start()] if path_match else message
    steps = _parse_path(path_match["path"]) if path_match else []
    path = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)
    path = f"{key_path}{path}".lstrip(".")
    unknown_match = _UNKNOWN_FIELD.match(problem)
    if unknown_match:
        allowed_keys = _keys_at(target_type, steps, tables)
        return _unknown_key(_join_key_path(path, unknown_match["key"]), allowed_keys)
    missing_key = plain_words.missing_key(problem)
    if missing_key is not None:
        return _missing_key(_join_key_path(path, missing_key))
    found, value = _value_at(tables, steps)
    is_shown = found and not isinstance(value, dict | list)
    location = f"{path} = {plain_words.format_value(value)}" if path and is_shown else path
    choices = ", ".join(map(repr, _allowed_values_at(target_type, steps)))
    allowed: Text | None = choices or plain_words.allowed_by(problem, target_type)
    if allowed is None:
        return _located(location, f"{problem[0].lower()}{problem[1:]}")
    if "got `" in problem and found and not is_shown:
        return _located(
            location,
            Message(
                "{value}; allowed: {allowed}",
                value=plain_words.format_value(value),
                allowed=allowed,
            ),
        )
    return _located(location, Message("allowed: {allowed}", allowed=allowed))


def _located(location: str, problem: Text) -> Text:
    return Message("{label}: {problem}", label=location, problem=problem) if location else problem


def _parse_path(path: str) -> list[str | int]:
    """Split `$.camera[0].name` into ["camera", 0, "name"]."""
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


def _fields(struct_type: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the type of each field by its name in the file."""
    hints = typing.get_type_hints(struct_type, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct_type)}


def _members(expected_type: Any) -> tuple[Any, ...]:
    """Return the types of a union, `None` and `Annotated` stripped."""
    while typing.get_origin(expected_type) is Annotated:
        expected_type = typing.get_args(expected_type)[0]
    if typing.get_origin(expected_type) in (typing.Union, UnionType):
        return tuple(
            member
            for alternative in typing.get_args(expected_type)
            if alternative is not NoneType
            for member in _members(alternative)
        )
    return (expected_type,)


def _structs(expected_type: Any) -> list[type[msgspec.Struct]]:
    return [
        member
        for member in _members(expected_type)
        if isinstance(member, type) and issubclass(member, msgspec.Struct)
    ]


def _matches_tag(struct_type: type[msgspec.Struct], table: Mapping[str, Any]) -> bool:
    config = struct_type.__struct_config__
    return config.tag_field is None or table.get(config.tag_field) == config.tag


def _select_struct(value: Any, expected_type: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a table is meant to be, or None if that is not clear."""
    candidates = _structs(expected_type)
    if len(candidates) > 1 and isinstance(value, dict):
        candidates = [candidate for candidate in candidates if _matches_tag(candidate, value)]
    return candidates[0] if len(candidates) == 1 else None


def _item_type(expected_type: Any) -> Any:
    """Return the type of a list's items, or None if it is no list."""
    for member in _members(expected_type):
        if typing.get_origin(member) is tuple:
            type_args = typing.get_args(member)
            return type_args[0] if len(type_args) == 2 and type_args[1] is Ellipsis else None  # noqa: PLR2004
    return None


def _types_at(target_type: type, steps: list[str | int]) -> list[Any]:
    """Return the types allowed at a path: more than one if a union is on the way."""
    current: list[Any] = [target_type]
    for step in steps:
        children: list[Any] = []
        for candidate in current:
            if isinstance(step, int):
                item_type = _item_type(candidate)
                children += [] if item_type is None else [item_type]
            else:
                fields = [_fields(struct_type) for struct_type in _structs(candidate)]
                children += [field_types[step] for field_types in fields if step in field_types]
        current = children
    return current


def _keys_at(target_type: type, steps: list[str | int], tables: object) -> list[str]:
    """Return the keys at a path; of several structs those of the one that the tables name by its tag."""
    _, value = _value_at(tables, steps)
    return [
        key
        for candidate in _types_at(target_type, steps)
        for struct_type in _structs(candidate)
        if not isinstance(value, dict) or _matches_tag(struct_type, value)
        for key in _fields(struct_type)
    ]


def _allowed_values_at(target_type: type, steps: list[str | int]) -> list[object]:
    """Return the values allowed at a path if they are few: a literal's, or a union's tags."""
    choices: dict[object, None] = {}
    for candidate in _types_at(target_type, steps):
        for member in _members(candidate):
            if typing.get_origin(member) is Literal:
                choices |= dict.fromkeys(sorted(typing.get_args(member), key=str))
    if not choices and steps:
        parents = _types_at(target_type, steps[:-1])
        configs = [s.__struct_config__ for parent in parents for s in _structs(parent)]
        choices = dict.fromkeys(c.tag for c in configs if c.tag_field == steps[-1])
    return list(choices)
