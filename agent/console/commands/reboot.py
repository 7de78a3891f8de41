"""`reboot`: restart the board, once he has said so twice."""

from collections.abc import Sequence
from contextlib import suppress

from agent.console.arguments import no_more_args
from agent.console.errors import ConsoleError
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "reboot"
HELP = "restart the box; asks first"
USAGE = ("reboot",)


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Ask, then restart."""
    no_more_args(NAME, argv)
    if not terminal.confirm("Recording stops for about a minute.", box.id):
        terminal.print("Nothing is restarted.")
        return
    with suppress(ConsoleError):  # the box that most needs it may have lost its disk
        box.write_receipt("reboot confirmed")
    box.request_reboot()
    terminal.print("The box restarts within seconds. Come back in a minute.")
