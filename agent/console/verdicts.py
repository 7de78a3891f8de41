"""Verdicts on the screen."""

from collections.abc import Iterable

from agent.console.results import CheckResult
from agent.console.terminal import Terminal

_WORDS = {True: "pass", False: "FAIL", None: " -  "}


def show(terminal: Terminal, verdicts: Iterable[CheckResult], mark: str = "") -> None:
    """One or two lines for each: how it is, and what to do where it is bad."""
    for verdict in verdicts:
        code = f" {verdict.code}" if verdict.code and verdict.good is False else ""
        terminal.print_hanging(
            f"{mark}{_WORDS[verdict.good]}{code} ", f"{verdict.what}: {verdict.said}"
        )
        if verdict.good is False and verdict.advice:
            terminal.print_hanging(f"{' ' * len(mark)}     > ", verdict.advice)
        mark = " " * len(mark)
