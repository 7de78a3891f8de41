"""Messages: English sentences with named placeholders, which the console can translate. Pure."""

from typing import TypeAlias


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


def message_of(error: Exception) -> Text:
    """Return the message that an exception was raised with, or its text."""
    return error.args[0] if error.args and isinstance(error.args[0], Message) else str(error)


def join_phrases(*phrases: Text | None) -> Text:
    """Join phrases with commas; a phrase that is None or empty is left out."""
    joined: Text = ""
    for phrase in phrases:
        if phrase:
            joined = Message("{first}, {rest}", first=joined, rest=phrase) if joined else phrase
    return joined
