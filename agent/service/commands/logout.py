"""`logout`: goodbye."""

from collections.abc import Sequence

from agent.service.box import Box
from agent.service.session import LeaveSession
from agent.service.terminal import Terminal
from agent.service.words import refuse_more

NAME = "logout"
HELP = "leave; whoever comes next has to log in"
USAGE = ("logout",)


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Raises LeaveSession."""
    refuse_more(NAME, words)
    terminal.say(f"Goodbye, {box.by}.")
    raise LeaveSession
