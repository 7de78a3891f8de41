"""Checked conversion of decoded TOML and JSON into frozen structs, with one clear line per mistake. Pure.

Used for all that people write, such as the configuration, and for the commands and settings of the centre. A line names
the source, the path of the key, the value, and what is allowed. msgspec decides what is valid; where it refuses a value,
a walk of the type finds the mistake. The words for a pattern are with the pattern:
`msgspec.Meta(pattern=..., extra={"allowed": ...})`.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from types import NoneType
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import inspect

from agent.base.errors import UserError
from agent.base.message import Message, Text

T = TypeVar("T")

MAX_DEPTH = 24
"""Levels of tables and lists in a file. No file of Vigie has half as many, and code that walks the
tables may recurse.
"""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
"""A key that TOML writes without quotes."""


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
        raise UserError(next(_lines(error, tables, target_type, context, key_path))) from error


def iter_errors(value: Any, expected_type: Any, context: str, key_path: str = "") -> Iterator[Text]:
    """Yield a line for every mistake in `value`, not the first alone.

    A technician at a pole needs all of them at once, to correct them.
    """
    try:
        msgspec.convert(value, expected_type)
    except msgspec.ValidationError as error:
        yield from _lines(error, value, expected_type, context, key_path)


def _lines(
    error: msgspec.ValidationError, value: object, expected: Any, context: str, key_path: str
) -> Iterator[Message]:
    """Yield a line for each mistake that the walk finds, or else msgspec's own."""
    found = _mistakes(value, _type_info(expected), key_path)
    for problem in found or [_located(key_path, str(error))]:
        yield Message("{label}: {problem}", label=context, problem=problem)


# To inspect the whole configuration takes 3 ms, and a refused value may come again and again.
_type_info = functools.lru_cache(maxsize=16)(inspect.type_info)


class _Form(NamedTuple):
    """A form that a value may have: one of a union, or the only one. `pattern_words` say what its pattern allows."""

    type: inspect.Type
    pattern_words: str | None = None


_TIME = Message("a time with a zone, such as 2026-11-25T00:01:00Z")
_TABLE = Message("a table")
_LIST = Message("a list")


_BASIC_FORMS: dict[type[inspect.Type], tuple[tuple[type, ...], Message | None]] = {
    inspect.StrType: ((str,), Message("a text")),
    inspect.IntType: ((int,), Message("a whole number")),
    inspect.FloatType: ((int, float), Message("a number")),
    inspect.BoolType: ((bool,), Message("true or false")),
    inspect.DateTimeType: ((str, datetime), _TIME),
    inspect.DictType: ((dict,), _TABLE),
    inspect.StructType: ((dict,), _TABLE),
    inspect.VarTupleType: ((list, tuple), _LIST),
    inspect.TupleType: ((list, tuple), _LIST),
    inspect.NoneType: ((NoneType,), None),
}
"""The types of decoded values of a form, and its words. Files have no null, so that it has none."""


def _forms(expected: inspect.Type) -> list[_Form]:
    match expected:
        case inspect.UnionType(types=types):
            return [form for member in types for form in _forms(member)]
        case inspect.Metadata(type=inner, extra=extra):
            words = (extra or {}).get("allowed")
            return [_Form(form.type, words or form.pattern_words) for form in _forms(inner)]
        case inspect.StructType(array_like=True, fields=fields):
            return [_Form(inspect.TupleType(tuple(field.type for field in fields)))]
        case _:
            return [_Form(expected)]


def _mistakes(value: object, expected: inspect.Type, path: str) -> list[Text]:
    """Return the mistakes in a value, in its order. What has wrong pieces has no other mistake."""
    forms = _forms(expected)
    structs = [form.type for form in forms if isinstance(form.type, inspect.StructType)]
    if isinstance(value, dict) and structs:
        return _table_mistakes(value, structs, path)
    form = next((form for form in forms if _has_form(value, form.type)), None)
    if form is None:
        return [_wrong_form(path, value, forms)]
    nested = [
        mistake
        for piece_path, piece, piece_type in _pieces(value, form.type, path)
        for mistake in _mistakes(piece, piece_type, piece_path)
    ]
    limit = None if nested else _broken_limit(value, form)
    return nested if limit is None else [_located(_location(path, value), _allowed(limit))]


def _table_mistakes(
    table: dict[Any, Any], structs: list[inspect.StructType], path: str
) -> list[Text]:
    """Return the mistakes in a table that is to be one of `structs`, which a tag tells apart."""
    tag_field = structs[0].tag_field
    if tag_field is not None and (len(structs) > 1 or tag_field in table):
        tag_path = _join_key_path(path, tag_field)
        if tag_field not in table:
            return [_missing_key(tag_path)]
        tags = tuple(struct.tag for struct in structs)
        if table[tag_field] not in tags:
            return [_wrong_form(tag_path, table[tag_field], [_Form(inspect.LiteralType(tags))])]
        structs = [structs[tags.index(table[tag_field])]]
    struct = structs[0]
    fields = {field.encode_name: field for field in struct.fields}
    mistakes: list[Text] = []
    for key, value in table.items():
        if key in fields:
            mistakes += _mistakes(value, fields[key].type, _join_key_path(path, key))
        elif key != tag_field and struct.forbid_unknown_fields:
            mistakes.append(_unknown_key(_join_key_path(path, key), fields))
    mistakes += [
        _missing_key(_join_key_path(path, key))
        for key, field in fields.items()
        if field.required and key not in table
    ]
    return mistakes or _own_mistakes(table, struct.cls, path)


def _own_mistakes(table: object, struct_type: type, path: str) -> list[Text]:
    """Return the mistake that a struct's own check finds, which is in plain words already."""
    try:
        msgspec.convert(table, struct_type)
    except msgspec.ValidationError as error:
        problem = str(error.__cause__ or error)
        return [_located(path, f"{problem[0].lower()}{problem[1:]}")]
    return []


def _pieces(
    value: Any, form: inspect.Type, path: str
) -> Iterator[tuple[str, object, inspect.Type]]:
    """Yield the pieces of a list or a table of any keys: the path of each, its value and its type."""
    match form:
        case inspect.VarTupleType(item_type=item_type):
            for index, item in enumerate(value):
                yield f"{path}[{index}]", item, item_type
        case inspect.TupleType(item_types=item_types) if len(value) == len(item_types):
            for index, (item, item_type) in enumerate(zip(value, item_types, strict=True)):
                yield f"{path}[{index}]", item, item_type
        case inspect.DictType(key_type=key_type, value_type=value_type):
            for key, item in value.items():
                yield _join_key_path(path, key), key, key_type
                yield _join_key_path(path, key), item, value_type
        case _:
            pass


def _has_form(value: object, form: inspect.Type) -> bool:
    if isinstance(form, inspect.LiteralType):
        return any(type(value) is type(one) and value == one for one in form.values)
    return type(form) not in _BASIC_FORMS or type(value) in _BASIC_FORMS[type(form)][0]


def _wrong_form(path: str, value: object, forms: Iterable[_Form]) -> Text:
    """Return the line about a value of a form that is not allowed."""
    allowed, *others = (word for form in forms if (word := _describe_form(form.type)))
    for other in others:
        allowed = Message("{words} or {word}", words=allowed, word=other)
    if not isinstance(value, dict | list):
        return _located(_location(path, value), _allowed(allowed))
    shown = format_value(value)
    return _located(path, Message("{value}; allowed: {allowed}", value=shown, allowed=allowed))


def _describe_form(form: inspect.Type) -> Text | None:
    if isinstance(form, inspect.LiteralType):
        return ", ".join(map(repr, form.values))
    return _BASIC_FORMS[type(form)][1]


def _broken_limit(value: Any, form: _Form) -> Text | None:
    """Return the limit that a value of an allowed form does not keep, or None."""
    match form.type:
        case inspect.IntType() | inspect.FloatType() as number:
            return _broken_bound(value, number)
        case inspect.StrType() as text:
            return _broken_text_limit(value, text, form.pattern_words)
        case inspect.TupleType() | inspect.VarTupleType() | inspect.DictType() as pieces:
            return _broken_count(value, pieces)
        case inspect.DateTimeType() as time:
            return None if _is_time(value, time) else _TIME
        case _:
            return None


def _broken_count(
    value: list[Any] | tuple[Any, ...] | dict[Any, Any],
    pieces: inspect.TupleType | inspect.VarTupleType | inspect.DictType,
) -> Message | None:
    if isinstance(pieces, inspect.TupleType):
        count = len(pieces.item_types)
        return None if len(value) == count else Message("{count} items", count=count)
    length = _broken_length(value, pieces)
    if length is None:
        return None
    if isinstance(pieces, inspect.DictType):
        return Message("{count} keys", count=length)
    return Message("{count} items", count=length)


def _is_time(value: object, time: inspect.DateTimeType) -> bool:
    try:
        msgspec.convert(value, Annotated[datetime, msgspec.Meta(tz=time.tz)])
    except msgspec.ValidationError:
        return False
    return True


def _broken_text_limit(value: str, text: inspect.StrType, pattern_words: str | None) -> Text | None:
    if not value and text.min_length == 1:
        return Message("a text that is not empty")
    if length := _broken_length(value, text):
        return Message("{count} characters", count=length)
    if text.pattern is not None and re.search(text.pattern, value) is None:
        return pattern_words or Message("another form")
    return None


def _broken_bound(value: float, number: inspect.IntType | inspect.FloatType) -> Message | None:
    # TOML and Python's JSON have `nan`, which is neither below nor above a bound.
    if number.ge is not None and not value >= number.ge:
        return Message("{limit} or more", limit=_short(number.ge))
    if number.gt is not None and not value > number.gt:
        return Message("above {limit}", limit=_short(number.gt))
    if number.le is not None and not value <= number.le:
        return Message("at most {limit}", limit=_short(number.le))
    if number.lt is not None and not value < number.lt:
        return Message("below {limit}", limit=_short(number.lt))
    if number.multiple_of is not None and value % number.multiple_of:
        return Message("a multiple of {factor}", factor=_short(number.multiple_of))
    return None


def _short(number: float) -> str:
    return str(number).removesuffix(".0")


def _broken_length(
    value: str | list[Any] | tuple[Any, ...] | dict[Any, Any],
    bounds: inspect.StrType | inspect.VarTupleType | inspect.DictType,
) -> Message | None:
    if bounds.min_length is not None and len(value) < bounds.min_length:
        return Message("{limit} or more", limit=bounds.min_length)
    if bounds.max_length is not None and len(value) > bounds.max_length:
        return Message("at most {limit}", limit=bounds.max_length)
    return None


def _join_key_path(key_path: str, key: object) -> str:
    """Return the path of a key. One that TOML must quote is quoted: it may have line breaks."""
    is_bare = isinstance(key, str) and _BARE_KEY.fullmatch(key)
    return f"{key_path}.{key if is_bare else format_value(key)}".lstrip(".")


def _location(path: str, value: object) -> str:
    """Return the path of a value, with the value unless it is a table or a list."""
    return (
        f"{path} = {format_value(value)}" if path and not isinstance(value, dict | list) else path
    )


def _located(location: str, problem: Text) -> Text:
    return Message("{label}: {problem}", label=location, problem=problem) if location else problem


def _allowed(allowed: Text) -> Message:
    return Message("allowed: {allowed}", allowed=allowed)


def _unknown_key(key: str, allowed: Iterable[str]) -> Message:
    return Message(
        "{label}: unknown key; allowed: {allowed}",
        label=key,
        allowed=", ".join(allowed) or Message("none"),
    )


def _missing_key(key: str) -> Message:
    return Message("{label}: missing; it has to be given", label=key)


def format_value(value: object) -> Text:
    """Return a value as its writer wrote it."""
    match value:
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[value]
        case dict():
            return _TABLE
        case list():
            return _LIST
        case str() | int() | float():
            return repr(value)
        case _:
            return str(value)
