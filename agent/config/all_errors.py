"""Every mistake in some tables, not the first alone: who stands at a pole wants to mend them at once.

`agent.config.strict` says the lines; this goes through the tables piece by piece, so that each piece is asked.
"""

import typing
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any

import msgspec

from agent.base.errors import UserError
from agent.config import strict


def iter_errors(value: Any, expected_type: Any, context: str, key_path: str = "") -> Iterator[str]:
    """A line for each mistake in `value`, which is to be a `kind`; `under` is its place in the file."""
    struct_type = _select_struct(value, expected_type)
    item_type = _item_type(expected_type)
    nested_errors: list[str] = []
    if struct_type is not None and isinstance(value, dict):
        nested_errors = list(_table_errors(value, struct_type, context, key_path))
    elif item_type is not None and isinstance(value, list):
        for index, element in enumerate(value):
            nested_errors.extend(iter_errors(element, item_type, context, f"{key_path}[{index}]"))
    yield from nested_errors
    if not nested_errors:
        # What no single piece can tell, or what has no pieces.
        try:
            strict.convert(value, expected_type, context, key_path)
        except UserError as error:
            yield str(error)


def _table_errors(
    table: Mapping[str, Any], struct_type: type[msgspec.Struct], context: str, key_path: str
) -> Iterator[str]:
    hints = typing.get_type_hints(struct_type, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct_type)}
    tag = struct_type.__struct_config__.tag_field
    for key in table:
        if key not in fields and key != tag:
            allowed = ", ".join(fields)
            yield f"{context}: {_join_key_path(key_path, key)}: unknown key; allowed: {allowed}"
    for key, field in fields.items():
        if key in table:
            yield from iter_errors(
                table[key], hints[field.name], context, _join_key_path(key_path, key)
            )
        elif field.required:
            yield f"{context}: {_join_key_path(key_path, key)}: missing; it has to be given"


def _join_key_path(key_path: str, key: str) -> str:
    return f"{key_path}.{key}".lstrip(".")


def _strip_annotated(annotated_type: Any) -> Any:
    while typing.get_origin(annotated_type) is Annotated:
        annotated_type = typing.get_args(annotated_type)[0]
    return annotated_type


def _union_members(expected_type: Any) -> tuple[Any, ...]:
    """The kinds that something may be, `None` left out."""
    expected_type = _strip_annotated(expected_type)
    if typing.get_origin(expected_type) in (typing.Union, UnionType):
        return tuple(
            _strip_annotated(member)
            for member in typing.get_args(expected_type)
            if member is not NoneType
        )
    return (expected_type,)


def _select_struct(value: Any, expected_type: Any) -> type[msgspec.Struct] | None:
    """The struct that a table is meant to be; None where it is none, or does not say which."""
    candidates = [
        member
        for member in _union_members(expected_type)
        if isinstance(member, type) and issubclass(member, msgspec.Struct)
    ]
    if len(candidates) > 1 and isinstance(value, dict):
        configs = (candidate.__struct_config__ for candidate in candidates)
        matching = [
            candidate
            for candidate, config in zip(candidates, configs, strict=True)
            if config.tag_field is not None and value.get(config.tag_field) == config.tag
        ]
        return matching[0] if len(matching) == 1 else None
    return candidates[0] if len(candidates) == 1 else None


def _item_type(expected_type: Any) -> Any:
    """What a list is made of; None where it is no list."""
    for member in _union_members(expected_type):
        if typing.get_origin(member) is tuple:
            type_args = typing.get_args(member)
            return type_args[0] if len(type_args) == 2 and type_args[1] is Ellipsis else None  # noqa: PLR2004
    return None
