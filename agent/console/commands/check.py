"""`check`: numbered checks, the failing ones first, each with a fault code and advice."""

from collections.abc import Sequence

from agent.base.message import Message, join_phrases
from agent.console.arguments import usage_error
from agent.console.check_result import print_results
from agent.console.checks import (
    CHECKS,
    Check,
    CheckOutcome,
    failing_first,
    run_check,
)
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.terminal import Terminal


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Run the checks, or list them."""
    if list(argv) == ["list"]:
        terminal.table([(f"{check.number:>2}", check.name) for check in CHECKS])
        return
    outcomes = failing_first(_run_checks(terminal, context, _select_checks(argv)))
    for outcome in outcomes:
        print_results(terminal, outcome.results, f"{outcome.number:>2} ")
    failed = [str(outcome.number) for outcome in outcomes if not outcome.is_good]
    unknown = join_phrases(
        *(
            Message("{number} {subject}", number=outcome.number, subject=subject)
            for outcome in outcomes
            for subject in outcome.unknown_subjects
        )
    )
    if failed:
        terminal.print(Message("Failed: check {numbers}.", numbers=", ".join(failed)))
    elif unknown:
        terminal.print(Message("No check failed. Unknown: {subjects}.", subjects=unknown))
    elif not argv:
        terminal.print(Message("All checks passed."))


def _run_checks(
    terminal: Terminal, context: ConsoleContext, checks: Sequence[Check]
) -> list[CheckOutcome]:
    """Run the checks, and show meanwhile which of several runs."""
    outcomes = []
    for check in checks:
        if len(checks) > 1:
            terminal.overwrite_line(
                Message("check {number}, {name} ...", number=check.number, name=check.name)
            )
        outcomes.append(run_check(context, check))
    if len(checks) > 1:
        terminal.clear_line()
    return outcomes


def _select_checks(argv: Sequence[str]) -> Sequence[Check]:
    if not argv:
        return CHECKS
    numbers = {str(check.number): check for check in CHECKS}
    if not all(word in numbers for word in argv):
        raise usage_error(
            ("check", *argv), Message("numbers from 1 to {count}, list", count=len(CHECKS))
        )
    return [numbers[word] for word in argv]


CHECK = ConsoleCommand(
    name="check",
    help=Message("find out what is wrong: numbered checks, each works alone"),
    usage=(
        ("check", Message("all checks, one after the other")),
        ("check 6", Message("one of them")),
        ("check list", Message("their numbers and names")),
    ),
    run=run,
)
