"""Texts from the wire, safe for a terminal: bounded and without control characters. Pure."""

import unicodedata

from agent.cli.output import escape_unprintable

MAX_TEXT_CHARS = 200
"""As long as a site's name may be."""
MAX_MARKS = 3
"""Combining marks on one letter. Arabic has two; many more would be drawn over the lines around."""


def clean_text(text: str) -> str:
    """Return a text of the wire as one bounded line, with control characters as escapes."""
    is_cut = len(text) > MAX_TEXT_CHARS
    text = text[:MAX_TEXT_CHARS]
    if not (text.isascii() and text.isprintable()):
        text = _limit_marks(escape_unprintable(text))
    return f"{text}…" if is_cut else text


def _limit_marks(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if marks <= MAX_MARKS:
            kept.append(char)
    return "".join(kept)
