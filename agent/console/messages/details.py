"""Details: sentences of drivers, libraries and the kernel, which reach the console as English text. Pure.

The agent's own faults carry their message. A driver's error is text, which may come from a child process; so is that of
FFmpeg, OpenSSL, the broker or the C library. Before it is shown, it becomes a message again, so that the catalogues
translate it; text that is no known sentence stays as it is.
"""

import re
from functools import cache

from agent.base.message import Message, Text, join_sentences
from agent.console.messages.detail_sentences import DETAILS

MAX_DETAIL_CHARS = 400
"""A longer text is shown as it is: what a device sends has no bound."""
_MAX_PARTS = 4


def find_detail(text: Text, max_parts: int = _MAX_PARTS) -> Text:
    """Return the message of a text that is a known sentence, or has one around a colon or next to a semicolon."""
    if isinstance(text, Message) or not text or len(text) > MAX_DETAIL_CHARS or max_parts == 0:
        return text
    return (
        _find_sentence(text, max_parts - 1)
        or _find_last_sentence(text, max_parts)
        or _find_beside_semicolon(text, max_parts - 1)
        or _find_before_colon(text, max_parts - 1)
        or text
    )


def _find_last_sentence(text: str, max_parts: int) -> Message | None:
    """Return the message of a text that ends, behind a colon, with a sentence, which may have a semicolon of its own."""
    subject, separator, rest = text.partition(": ")
    for _ in range(max_parts):
        if not separator or "; " in subject:
            return None
        reason = _find_sentence(rest, max_parts - 1)
        if reason is not None:
            problem = find_detail(subject, max_parts - 1)
            return Message("{problem}: {reason}", problem=problem, reason=reason)
        more, separator, rest = rest.partition(": ")
        subject = f"{subject}: {more}"
    return None


def _find_beside_semicolon(text: str, max_parts: int) -> Message | None:
    first, separator, rest = text.partition("; ")
    if not separator:
        return None
    first_detail, rest_detail = find_detail(first, max_parts), find_detail(rest, max_parts)
    if isinstance(first_detail, str) and isinstance(rest_detail, str):
        return None
    return join_sentences(first_detail, rest_detail)


def _find_before_colon(text: str, max_parts: int) -> Message | None:
    subject, separator, rest = text.partition(": ")
    problem, reason = _find_sentence(subject, max_parts), find_detail(rest, max_parts)
    if not separator or (problem is None and isinstance(reason, str)):
        return None
    return Message("{problem}: {reason}", problem=problem or subject, reason=reason)


def _find_sentence(text: str, max_parts: int) -> Message | None:
    # Drivers write the sentences of the kernel with a small letter.
    for written in (text, text[:1].upper() + text[1:]):
        for sentence, pattern in _patterns():
            match = pattern.fullmatch(written)
            if match is not None:
                values = {
                    name: find_detail(value, max_parts) for name, value in match.groupdict().items()
                }
                return Message(sentence, **values)
    return None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return the pattern of each sentence, the most literal text first."""
    longest_first = sorted(DETAILS, key=lambda detail: -len(re.sub(r"{\w+}", "", detail.sentence)))
    return tuple(
        (
            detail.sentence,
            re.compile(re.sub(r"\\{(\w+)\\}", _value_pattern, re.escape(detail.sentence))),
        )
        for detail in longest_first
    )


def _value_pattern(placeholder: re.Match[str]) -> str:
    """Return the pattern of a value: a name is one word or in quotation marks, any other is any text."""
    name = placeholder[1]
    value = r"'[^']*'|[^\s:;']+" if name in ("name", "path") else ".+?"
    return f"(?P<{name}>{value})"
