"""`logout`: goodbye."""

from collections.abc import Sequence

from agent.console.arguments import no_more_args
from agent.console.results import Box
from agent.console.session import LogoutRequested
from agent.console.terminal import Terminal

NAME = "logout"
HELP = "leave; whoever comes next has to log in"
USAGE = ("logout",)


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Raises LeaveSession."""
    no_more_args(NAME, argv)
    terminal.print(f"Goodbye, {box.technician}.")
    raise LogoutRequested
