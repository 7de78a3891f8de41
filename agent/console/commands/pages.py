"""`pages`: whether long output stops at each page."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "pages"
HELP = "pages off: long output runs through, for who logs it"
USAGE = ("pages on", "pages off")


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Switch it."""
    if list(argv) not in (["on"], ["off"]):
        raise UserError(f"pages {' '.join(argv)}: allowed: pages on, pages off")
    terminal.paging = argv[0] == "on"
    terminal.print(f"{box.id}: pages are {argv[0]}.")
