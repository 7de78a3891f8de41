"""Texts from the wire, safe for a terminal: bounded, without control characters, in one column. Pure."""

import unicodedata

from rich.text import Text

from agent.cli.output import escape_unprintable

MAX_TEXT_CHARS = 200
"""As long as a site's name may be."""
MAX_MARKS = 3
"""Combining marks on one letter. Arabic has two; many more would be drawn over the lines around."""
_LEFT_TO_RIGHT_MARK = "\N{LEFT-TO-RIGHT MARK}"
_RIGHT_TO_LEFT_CLASSES = ("R", "AL", "AN")


def clean_text(text: str) -> str:
    """Return a text of the wire as one bounded line, with control characters as escapes."""
    is_cut = len(text) > MAX_TEXT_CHARS
    text = text[:MAX_TEXT_CHARS]
    if not (text.isascii() and text.isprintable()):
        text = _limit_marks(escape_unprintable(text))
    return f"{text}…" if is_cut else text


def format_cell(text: str, width: int, style: str = "") -> Text:
    """Return a cleaned text as a cell of exactly `width` columns.

    A mark after right-to-left letters keeps a terminal with bidirectional text from moving the cells that
    follow between them.
    """
    cell = Text(text, style=style, no_wrap=True, end="")
    cell.truncate(width, overflow="ellipsis", pad=True)
    if any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT_CLASSES for char in cell.plain):
        cell.append(_LEFT_TO_RIGHT_MARK)
    return cell


def _limit_marks(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if marks <= MAX_MARKS:
            kept.append(char)
    return "".join(kept)
