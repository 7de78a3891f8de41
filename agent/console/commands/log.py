"""`log`: the newest lines of the agent's journal."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "log"
HELP = "the newest lines that the agent has logged"
USAGE = ("log [LINES]   up to 500 (40)",)

LINES = 40
MOST = 500


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Show them, the newest last."""
    text = words[0] if words else str(LINES)
    good = text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= MOST
    if len(words) > 1 or not good:
        raise UserError(f"log {' '.join(words)}: allowed: log, or log with 1 to {MOST} lines")
    lines = box.log(int(text))
    terminal.print(*lines or ("The journal has no line of it.",))
