"""`mqtt ping`: the broker is greeted, and asked, as the agent does."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.results import Box
from agent.console.terminal import Terminal
from agent.console.verdicts import print_results

NAME = "mqtt"
HELP = "mqtt ping: greet the broker as the agent does, and time it"
USAGE = ("mqtt ping [TIMES]    once for each of 1 to 20 times (4)",)

DEFAULT_COUNT = 4
MAX_COUNT = 20


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Ask."""
    if not argv or argv[0] != "ping" or len(argv) > 2:  # noqa: PLR2004 - ping TIMES
        raise UserError(f"mqtt {' '.join(argv)}: allowed: mqtt ping [TIMES]")
    text = argv[1] if len(argv) > 1 else str(DEFAULT_COUNT)
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:3]) <= MAX_COUNT:
        raise UserError(f"mqtt ping {text}: allowed: 1 to {MAX_COUNT} times")
    for result in box.ping_broker(int(text)):
        print_results(terminal, (result,))
