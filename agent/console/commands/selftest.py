"""`selftest`: a known pattern through the whole box, and back."""

from collections.abc import Sequence

from agent.console.arguments import no_more_args
from agent.console.results import Box, CheckResult
from agent.console.terminal import Terminal
from agent.console.verdicts import show

NAME = "selftest"
HELP = "a known pattern through the whole box, step by step"
USAGE = ("selftest",)


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Run it."""
    no_more_args(NAME, words)
    terminal.print("This takes a while. Recording goes on.")
    steps = box.selftest(terminal.overwrite_line)
    terminal.print()
    show(terminal, (CheckResult(what=one.name, good=one.good, said=one.said) for one in steps))
    bad = [one.name for one in steps if one.good is False]
    terminal.print(f"SVC-02: failed at {', '.join(bad)}." if bad else "The self-test passed.")
