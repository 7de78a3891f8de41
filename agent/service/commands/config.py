"""`config`: the configuration as it stands, without what is secret, and whether it is good."""

from collections.abc import Sequence

from agent.errors import BadInput
from agent.service.box import Box
from agent.service.terminal import Terminal

NAME = "config"
HELP = "the configuration, secrets left out; whether it is good"
USAGE = ("config         show it", "config check   whether the file is good as it stands now")


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Show it, or check it."""
    if list(words) == ["check"]:
        problem = box.config_problem(deep=True)
        terminal.say(problem or f"{box.config_path}: good")
    elif words and list(words) != ["show"]:
        raise BadInput(f"config {' '.join(words)}: allowed: show, check")
    else:
        terminal.say(f"# {box.config_path}", *box.config_text())
