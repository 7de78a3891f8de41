"""`mqtt ping`: the broker is greeted, and asked, as the agent does."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.results import Box
from agent.console.terminal import Terminal
from agent.console.verdicts import show

NAME = "mqtt"
HELP = "mqtt ping: greet the broker as the agent does, and time it"
USAGE = ("mqtt ping [TIMES]    once for each of 1 to 20 times (4)",)

TIMES = 4
MOST = 20


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Ask."""
    if not words or words[0] != "ping" or len(words) > 2:  # noqa: PLR2004 - ping TIMES
        raise UserError(f"mqtt {' '.join(words)}: allowed: mqtt ping [TIMES]")
    text = words[1] if len(words) > 1 else str(TIMES)
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:3]) <= MOST:
        raise UserError(f"mqtt ping {text}: allowed: 1 to {MOST} times")
    for verdict in box.ping_broker(int(text)):
        show(terminal, (verdict,))
