"""`log`: the newest lines of the agent's journal."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "log"
HELP = "the newest lines that the agent has logged"
USAGE = ("log [LINES]   up to 500 (40)",)

DEFAULT_LINES = 40
MAX_LINES = 500


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Show them, the newest last."""
    text = argv[0] if argv else str(DEFAULT_LINES)
    is_valid = text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= MAX_LINES
    if len(argv) > 1 or not is_valid:
        raise UserError(f"log {' '.join(argv)}: allowed: log, or log with 1 to {MAX_LINES} lines")
    lines = box.read_journal(int(text))
    terminal.print(*lines or ("The journal has no line of it.",))
