"""Cells of a table with texts from the wire, exactly as wide as their column. Pure."""

import unicodedata

from rich.text import Text

_LEFT_TO_RIGHT_MARK = "\N{LEFT-TO-RIGHT MARK}"
_RIGHT_TO_LEFT_CLASSES = ("R", "AL", "AN")


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
