"""`check`: numbered checks, each with a verdict, a fault code and what to do."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.checks import CHECKS, Check
from agent.console.errors import ConsoleError
from agent.console.results import Box, CheckResult
from agent.console.terminal import Terminal
from agent.console.verdicts import print_results

NAME = "check"
HELP = "find what is wrong: numbered checks, each works alone"
USAGE = (
    "check           all checks, one after the other",
    "check 6         one of them",
    "check list      what each looks at",
)


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Look, and tell."""
    if list(argv) == ["list"]:
        terminal.table([(f"{check.number:>2}", check.name) for check in CHECKS])
        return
    failed = [
        check.number for check in _select_checks(argv) if not _run_check(terminal, box, check)
    ]
    if failed:
        terminal.print(f"Failed: check {', '.join(map(str, failed))}.")
    elif not argv:
        terminal.print("All checks passed.")


def _select_checks(argv: Sequence[str]) -> Sequence[Check]:
    if not argv:
        return CHECKS
    numbers = {str(check.number): check for check in CHECKS}
    if not all(word in numbers for word in argv):
        raise UserError(f"check {' '.join(argv)}: allowed: numbers from 1 to {len(CHECKS)}, list")
    return [numbers[word] for word in argv]


def _run_check(terminal: Terminal, box: Box, check: Check) -> bool:
    """Whether nothing is bad."""
    try:
        results = list(check.run(box))
    except (ConsoleError, UserError, OSError) as error:
        results = [CheckResult(subject=check.name, ok=False, message=str(error))]
    print_results(terminal, results, f"{check.number:>2} ")
    return all(result.ok is not False for result in results)
