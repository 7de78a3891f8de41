"""`bundle`: all that support wants to know, signed, without secrets, in one file."""

from collections.abc import Sequence

from agent.errors import BadInput
from agent.service.box import Box
from agent.service.commands.footage import choose_stick
from agent.service.terminal import Terminal

NAME = "bundle"
HELP = "a signed support bundle, secrets left out, to a USB disk or the box"
USAGE = ("bundle        to the USB disk", "bundle here   to the box itself, to be fetched later")


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Write it."""
    if words and list(words) != ["here"]:
        raise BadInput(f"bundle {' '.join(words)}: allowed: bundle, bundle here")
    to = None if words else choose_stick(terminal, box)
    path = box.bundle(to, terminal.rewrite)
    terminal.say("", f"Written: {path}")
