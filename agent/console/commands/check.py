"""`check`: numbered checks, each with a result, a fault code and advice. `net`: those of the link."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.arguments import no_more_args
from agent.console.checks import CHECKS, LINK_CHECKS, Check, run_check
from agent.console.context import ConsoleContext
from agent.console.session import ConsoleCommand
from agent.console.terminal import Terminal


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Run the checks, or list them."""
    if list(argv) == ["list"]:
        terminal.table([(f"{check.number:>2}", check.name) for check in CHECKS])
        return
    failed = [
        str(check.number)
        for check in _select_checks(argv)
        if not run_check(terminal, context, check, f"{check.number:>2} ")
    ]
    if failed:
        terminal.print(f"Failed: check {', '.join(failed)}.")
    elif not argv:
        terminal.print("All checks passed.")


def _select_checks(argv: Sequence[str]) -> Sequence[Check]:
    if not argv:
        return CHECKS
    numbers = {str(check.number): check for check in CHECKS}
    if not all(word in numbers for word in argv):
        raise UserError(f"check {' '.join(argv)}: allowed: numbers from 1 to {len(CHECKS)}, list")
    return [numbers[word] for word in argv]


def run_net(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Run the checks of the link. The first that fails explains those after it."""
    no_more_args("net", argv)
    failed = [check.name for check in LINK_CHECKS if not run_check(terminal, context, check)]
    if failed:
        terminal.print(f"Begin with: {failed[0]}.")
    else:
        terminal.print("The link is good. mqtt ping tries the broker itself.")


CHECK = ConsoleCommand(
    name="check",
    help="find out what is wrong: numbered checks, each works alone",
    usage=(
        "check           all checks, one after the other",
        "check 6         one of them",
        "check list      their numbers and names",
    ),
    run=run,
)
NET = ConsoleCommand(
    name="net",
    help="check interfaces, modem, names, certificates, broker and clock",
    usage=("net",),
    run=run_net,
)
