"""`selftest`: a known pattern through the whole box, and back."""

from collections.abc import Sequence

from agent.console.arguments import no_more_args
from agent.console.results import Box, CheckResult
from agent.console.terminal import Terminal
from agent.console.verdicts import print_results

NAME = "selftest"
HELP = "a known pattern through the whole box, step by step"
USAGE = ("selftest",)


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Run it."""
    no_more_args(NAME, argv)
    terminal.print("This takes a while. Recording goes on.")
    steps = box.run_selftest(terminal.overwrite_line)
    terminal.print()
    print_results(
        terminal,
        (CheckResult(subject=step.name, ok=step.ok, message=step.message) for step in steps),
    )
    failed = [step.name for step in steps if step.ok is False]
    terminal.print(f"SVC-02: failed at {', '.join(failed)}." if failed else "The self-test passed.")
