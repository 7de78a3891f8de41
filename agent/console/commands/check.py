"""`check`: numbered checks, each with a verdict, a fault code and what to do."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.checks import CHECKS, Check
from agent.console.results import Box, CheckResult, ConsoleError
from agent.console.terminal import Terminal
from agent.console.verdicts import show

NAME = "check"
HELP = "find what is wrong: numbered checks, each works alone"
USAGE = (
    "check           all checks, one after the other",
    "check 6         one of them",
    "check list      what each looks at",
)


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Look, and tell."""
    if list(words) == ["list"]:
        terminal.table([(f"{one.number:>2}", one.name) for one in CHECKS])
        return
    bad = [one.number for one in _wanted(words) if not _looked(terminal, box, one)]
    if bad:
        terminal.print(f"Failed: check {', '.join(map(str, bad))}.")
    elif not words:
        terminal.print("All checks passed.")


def _wanted(words: Sequence[str]) -> Sequence[Check]:
    if not words:
        return CHECKS
    numbers = {str(one.number): one for one in CHECKS}
    if not all(word in numbers for word in words):
        raise UserError(f"check {' '.join(words)}: allowed: numbers from 1 to {len(CHECKS)}, list")
    return [numbers[word] for word in words]


def _looked(terminal: Terminal, box: Box, check: Check) -> bool:
    """Whether nothing is bad."""
    try:
        verdicts = list(check.look(box))
    except (ConsoleError, UserError, OSError) as error:
        verdicts = [CheckResult(what=check.name, good=False, said=str(error))]
    show(terminal, verdicts, f"{check.number:>2} ")
    return all(verdict.good is not False for verdict in verdicts)
