"""Messages of the console, and their translations into French and Arabic.

As in gettext, a message is the English sentence at its place in the code, with named {placeholders};
fr.toml and ar.toml map each sentence to its translation. The terminal translates when it prints, so a log
line or a receipt that has a message in it is in English.
"""

import string
import tomllib
from collections.abc import Callable, Mapping
from functools import cache, reduce
from pathlib import Path
from typing import TypeAlias

from agent.faults.texts import Language

CATALOGUE_DIR = Path(__file__).parent
_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
"""U+2068 keeps a value from being reordered with the Arabic around it, U+2069 ends it (UAX #9)."""


class Message:
    """An English sentence and the values of its placeholders. `str()` is the English text."""

    __slots__ = ("sentence", "values")

    def __init__(self, sentence: str, /, **values: object) -> None:
        self.sentence = sentence
        self.values = values

    def __str__(self) -> str:
        return render(self, "en", str)


Text: TypeAlias = str | Message
"""A message, or text that is in no catalogue: values, names, other programs' errors."""


def message_of(error: Exception) -> Text:
    """Return the message that an exception was raised with, or its text."""
    return error.args[0] if error.args and isinstance(error.args[0], Message) else str(error)


def join_phrases(*phrases: Text | None) -> Text:
    """Join phrases with commas; a phrase that is None or empty is left out."""
    present = [phrase for phrase in phrases if phrase]
    return reduce(_join_two, present) if present else ""


def _join_two(first: Text, rest: Text) -> Message:
    return Message("{first}, {rest}", first=first, rest=rest)


@cache
def load_catalogue(language: Language) -> Mapping[str, str]:
    """Load the translations by sentence; English has none."""
    if language == "en":
        return {}
    text = (CATALOGUE_DIR / f"{language}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)  # noqa: TID251 - the wheel's


def render(text: Text, language: Language, sanitize: Callable[[str], str]) -> str:
    """Translate a message and put its values in. `sanitize` is applied to each value and to plain text."""
    if isinstance(text, str):
        return sanitize(text)
    sentence = load_catalogue(language).get(text.sentence, text.sentence)
    return _ValueFormatter(language, sanitize).vformat(sentence, (), text.values)


class _ValueFormatter(string.Formatter):
    """`str.format` with translated and sanitized values, and the decimal sign of the language."""

    def __init__(self, language: Language, sanitize: Callable[[str], str]) -> None:
        self._language = language
        self._sanitize = sanitize

    def format_field(self, value: object, format_spec: str) -> str:
        """Format one value."""
        if isinstance(value, Message):
            return render(value, self._language, self._sanitize)
        formatted = self._sanitize(format(value, format_spec))
        if isinstance(value, float) and self._language != "en":
            return formatted.replace(".", ",")
        if isinstance(value, str) and self._language == "ar" and formatted:
            return f"{_ISOLATE}{formatted}{_POP_ISOLATE}"
        return formatted
