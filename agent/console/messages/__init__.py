"""Translations of the console's messages: fr.toml and ar.toml map each English sentence to its own."""

import string
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from agent.base.message import Message, Text
from agent.console.messages.details import find_detail
from agent.faults.texts import Language

CATALOGUE_DIR = Path(__file__).parent
_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
"""U+2068 keeps a value from being reordered with the Arabic around it, U+2069 ends it (UAX #9)."""


@cache
def load_catalogue(language: Language) -> Mapping[str, str]:
    """Load the translations by sentence; English has none."""
    if language == "en":
        return {}
    text = (CATALOGUE_DIR / f"{language}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)  # noqa: TID251 - the wheel's


def render(text: Text, language: Language, sanitize: Callable[[str], str]) -> str:
    """Translate a message and put its values in. `sanitize` is applied to each value and to plain text."""
    if isinstance(text, str) and language != "en":
        text = find_detail(text)
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
        if isinstance(value, str) and self._language != "en" and not format_spec:
            value = find_detail(value)
        if isinstance(value, Message):
            return render(value, self._language, self._sanitize)
        formatted = self._sanitize(format(value, format_spec))
        if isinstance(value, float) and self._language != "en":
            return formatted.replace(".", ",")
        if isinstance(value, str) and self._language == "ar" and formatted:
            return f"{_ISOLATE}{formatted}{_POP_ISOLATE}"
        return formatted
