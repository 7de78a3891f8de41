"""Messages: English sentences with named placeholders, which the console can translate. Pure."""

from collections.abc import Callable
from typing import TypeAlias, overload

import msgspec

from drivers.int64 import Int64


class Message:
    """An English sentence and the values of its placeholders. `str()` is the English text.

    As in gettext, the sentence stays at its place in the code; agent/console/messages has a translation of
    each. A log line, a receipt or a payload that has a message in it is in English.
    """

    __slots__ = ("sentence", "values")

    def __init__(self, sentence: str, /, **values: object) -> None:
        self.sentence = sentence
        self.values = values

    def __str__(self) -> str:
        return self.sentence.format(**self.values)


Text: TypeAlias = str | Message
"""A message, or text that is in no catalogue: values, names, other programs' errors."""


class MessageData(msgspec.Struct, frozen=True):
    """A message in JSON, from one process to another."""

    sentence: str
    values: "dict[str, str | Int64 | float | MessageData]"


TextData: TypeAlias = str | MessageData


@overload
def encode_message(text: Message) -> MessageData: ...
@overload
def encode_message(text: Text) -> TextData: ...
def encode_message(text: Text) -> TextData:
    """Return a message for JSON; values other than numbers and messages become text."""
    if isinstance(text, str):
        return text
    return MessageData(
        text.sentence, {name: _encode_value(value) for name, value in text.values.items()}
    )


def _encode_value(value: object) -> str | int | float | MessageData:
    if isinstance(value, int | float):
        return value
    return encode_message(value if isinstance(value, Message) else str(value))


def decode_message(data: TextData) -> Text:
    """Return the message that was encoded."""
    if isinstance(data, str):
        return data
    values = {
        name: decode_message(value) if isinstance(value, MessageData) else value
        for name, value in data.values.items()
    }
    return Message(data.sentence, **values)


def message_of(error: Exception) -> Text:
    """Return the message that an exception was raised with, or its text."""
    return error.args[0] if error.args and isinstance(error.args[0], Message) else str(error)


def map_values(text: Text, change: Callable[[str], str]) -> Text:
    """Return a text with each text among its values changed, or a text of no catalogue changed itself."""
    if isinstance(text, str):
        return change(text)
    values = {
        name: map_values(value, change) if isinstance(value, str | Message) else value
        for name, value in text.values.items()
    }
    return Message(text.sentence, **values)


def join_phrases(*phrases: Text | None) -> Text:
    """Join phrases with commas; a phrase that is None or empty is left out."""
    joined: Text = ""
    for phrase in phrases:
        if phrase:
            joined = Message("{first}, {rest}", first=joined, rest=phrase) if joined else phrase
    return joined


def join_sentences(first: Text, rest: Text) -> Message:
    """Join two sentences with a semicolon."""
    return Message("{first}; {rest}", first=first, rest=rest)
