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


def iter_errors(value: Any, kind: Any, where: str, under: str = "") -> Iterator[str]:
    """A line for each mistake in `value`, which is to be a `kind`; `under` is its place in the file."""
    struct = _struct(value, kind)
    item = _item(kind)
    inner: list[str] = []
    if struct is not None and isinstance(value, dict):
        inner = list(_of_table(value, struct, where, under))
    elif item is not None and isinstance(value, list):
        for index, one in enumerate(value):
            inner.extend(iter_errors(one, item, where, f"{under}[{index}]"))
    yield from inner
    if not inner:
        # What no single piece can tell, or what has no pieces.
        try:
            strict.into(value, kind, where, under)
        except UserError as error:
            yield str(error)


def _of_table(
    table: Mapping[str, Any], struct: type[msgspec.Struct], where: str, under: str
) -> Iterator[str]:
    hints = typing.get_type_hints(struct, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    tag = struct.__struct_config__.tag_field
    for key in table:
        if key not in fields and key != tag:
            allowed = ", ".join(fields)
            yield f"{where}: {_at(under, key)}: unknown key; allowed: {allowed}"
    for key, field in fields.items():
        if key in table:
            yield from iter_errors(table[key], hints[field.name], where, _at(under, key))
        elif field.required:
            yield f"{where}: {_at(under, key)}: missing; it has to be given"


def _at(under: str, key: str) -> str:
    return f"{under}.{key}".lstrip(".")


def _plain(kind: Any) -> Any:
    while typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    return kind


def _choices(kind: Any) -> tuple[Any, ...]:
    """The kinds that something may be, `None` left out."""
    kind = _plain(kind)
    if typing.get_origin(kind) in (typing.Union, UnionType):
        return tuple(_plain(one) for one in typing.get_args(kind) if one is not NoneType)
    return (kind,)


def _struct(value: Any, kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a table is meant to be; None where it is none, or does not say which."""
    structs = [
        one for one in _choices(kind) if isinstance(one, type) and issubclass(one, msgspec.Struct)
    ]
    if len(structs) > 1 and isinstance(value, dict):
        tags = (one.__struct_config__ for one in structs)
        named = [
            one
            for one, tag in zip(structs, tags, strict=True)
            if tag.tag_field is not None and value.get(tag.tag_field) == tag.tag
        ]
        return named[0] if len(named) == 1 else None
    return structs[0] if len(structs) == 1 else None


def _item(kind: Any) -> Any:
    """What a list is made of; None where it is no list."""
    for one in _choices(kind):
        if typing.get_origin(one) is tuple:
            words = typing.get_args(one)
            return words[0] if len(words) == 2 and words[1] is Ellipsis else None  # noqa: PLR2004
    return None
