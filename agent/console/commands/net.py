"""`net`: the link from the inside out, each step with a verdict."""

from collections.abc import Callable, Iterable, Sequence

from agent.base.errors import UserError
from agent.console.arguments import no_more_args
from agent.console.errors import ConsoleError
from agent.console.results import Box, CheckResult
from agent.console.terminal import Terminal
from agent.console.verdicts import print_results

NAME = "net"
HELP = "interfaces, modem, names, certificates, broker, time: each with a verdict"
USAGE = ("net",)


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """From the box's own plug to the broker. The first that fails explains those after it."""
    no_more_args(NAME, argv)
    steps: tuple[tuple[str, Callable[[], Iterable[CheckResult]]], ...] = (
        ("interfaces", box.check_interfaces),
        ("modem", box.check_modem),
        ("names", lambda: (box.check_dns(),)),
        ("certificates", box.check_certificates),
        ("broker", box.check_broker),
        ("time", lambda: (box.check_clock(),)),
    )
    first_failed = None
    for name, run_check in steps:
        try:
            results = list(run_check())
        except (ConsoleError, UserError, OSError) as error:
            results = [CheckResult(subject=name, ok=False, message=str(error))]
        print_results(terminal, results)
        if first_failed is None and any(result.ok is False for result in results):
            first_failed = name
    if first_failed is None:
        terminal.print("The link is good. mqtt ping asks the broker itself.")
    else:
        terminal.print(f"Begin with: {first_failed}.")
