"""Allowed values of a file or a command, in plain words instead of msgspec's types and patterns. Pure.

The words for a pattern are with the pattern: `msgspec.Meta(pattern=..., extra={"allowed": ...})`.
"""

import functools
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from agent.base.message import Message, Text

_TIME = Message("a time with a zone, such as 2026-11-25T00:01:00Z")
_TYPE_WORDS = {
    "str": Message("a text"),
    "int": Message("a whole number"),
    "float": Message("a number"),
    "bool": Message("true or false"),
    "object": Message("a table"),
    "array": Message("a list"),
    "datetime": _TIME,
}

_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]*)`")
_PATTERN = re.compile(r"Expected `str` matching regex (?P<pattern>.*)", re.DOTALL)
_TIME_PROBLEMS = (
    "Invalid RFC3339 encoded datetime",
    "Expected `datetime` with a timezone component",
)


def missing_key(problem: str) -> str | None:
    """Return the key that msgspec's message calls missing, or None if it says something else."""
    match = _MISSING.fullmatch(problem)
    return None if match is None else match["key"]


def allowed_by(problem: str, target_type: Any) -> Text | None:
    """Return what msgspec's message about a value of `target_type` allows, or None if it is no message
    of a type or a limit: a struct's own check, which is in plain words already.
    """
    if problem in _TIME_PROBLEMS:
        return _TIME
    if match := _PATTERN.fullmatch(problem):
        return _words_by_pattern(target_type).get(match["pattern"], Message("another form"))
    for pattern, describe in _DESCRIPTIONS:
        if match := pattern.fullmatch(problem):
            return describe(match)
    return None


def _describe_bound(match: re.Match[str]) -> Message:
    limit = match["limit"].removesuffix(".0")
    match match["bound"]:
        case ">=":
            return Message("{limit} or more", limit=limit)
        case "<=":
            return Message("at most {limit}", limit=limit)
        case ">":
            return Message("above {limit}", limit=limit)
        case _:
            return Message("below {limit}", limit=limit)


def _describe_length(match: re.Match[str]) -> Message:
    if match.group("type", "bound", "limit") == ("str", ">=", "1"):
        return Message("a text that is not empty")
    count = _describe_bound(match) if match["bound"] else match["limit"]
    match match["type"]:
        case "str":
            return Message("{count} characters", count=count)
        case "array":
            return Message("{count} items", count=count)
        case _:
            return Message("{count} keys", count=count)


def _describe_multiple(match: re.Match[str]) -> Message:
    return Message("a multiple of {factor}", factor=match["factor"].removesuffix(".0"))


def _describe_types(match: re.Match[str]) -> Text:
    names = [name for name in match["types"].split(" | ") if name != "null"]
    first, *rest = (_TYPE_WORDS.get(name, name) for name in names)
    return functools.reduce(
        lambda words, word: Message("{words} or {word}", words=words, word=word), rest, first
    )


_DESCRIPTIONS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Text]], ...] = (
    (re.compile(r"Expected `\w+` (?P<bound>[<>]=?) (?P<limit>\S+)"), _describe_bound),
    (
        re.compile(
            r"Expected `(?P<type>\w+)` of length (?:(?P<bound>[<>]=?) )?(?P<limit>\d+)(?:, got \d+)?"
        ),
        _describe_length,
    ),
    (
        re.compile(r"Expected `\w+` that's a multiple of (?P<factor>\S+)"),
        _describe_multiple,
    ),
    (re.compile(r"Expected `(?P<types>[^`]*)`(?:, got `\w+`)?"), _describe_types),
)


def format_value(value: object) -> Text:
    """Return a value as its writer wrote it."""
    match value:
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[value]
        case dict():
            return Message("a table")
        case list():
            return Message("a list")
        case str() | int() | float():
            return repr(value)
        case _:
            return str(value)


def _words_by_pattern(target_type: Any) -> dict[str, str]:
    """Return the words for each pattern within a type, by the pattern as msgspec quotes it."""
    return {
        repr(meta.pattern): meta.extra["allowed"]
        for meta in iter_metas(target_type, set())
        if meta.pattern is not None and meta.extra is not None
    }


def iter_metas(target_type: Any, seen: set[Any]) -> Iterator[msgspec.Meta]:
    """Yield the constraints of a type and of all types within it. `seen` structs are skipped."""
    if isinstance(target_type, msgspec.Meta):
        yield target_type
    elif isinstance(target_type, type) and issubclass(target_type, msgspec.Struct):
        if target_type not in seen:
            seen.add(target_type)
            for hint in typing.get_type_hints(target_type, include_extras=True).values():
                yield from iter_metas(hint, seen)
    else:
        yield from (
            meta
            for part in (*typing.get_args(target_type), *getattr(target_type, "__metadata__", ()))
            for meta in iter_metas(part, seen)
        )
