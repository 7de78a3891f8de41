"""Verdicts on the screen."""

from collections.abc import Iterable

from agent.console.results import CheckResult
from agent.console.terminal import Terminal

_LABELS = {True: "pass", False: "FAIL", None: " -  "}


def print_results(terminal: Terminal, results: Iterable[CheckResult], prefix: str = "") -> None:
    """One or two lines for each: how it is, and what to do where it is bad."""
    for result in results:
        code = f" {result.code}" if result.code and result.ok is False else ""
        terminal.print_hanging(
            f"{prefix}{_LABELS[result.ok]}{code} ", f"{result.subject}: {result.message}"
        )
        if result.ok is False and result.advice:
            terminal.print_hanging(f"{' ' * len(prefix)}     > ", result.advice)
        prefix = " " * len(prefix)
