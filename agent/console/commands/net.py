"""`net`: the link from the inside out, each step with a verdict."""

from collections.abc import Callable, Iterable, Sequence

from agent.base.errors import UserError
from agent.console.arguments import no_more_args
from agent.console.results import Box, CheckResult, ConsoleError
from agent.console.terminal import Terminal
from agent.console.verdicts import show

NAME = "net"
HELP = "interfaces, modem, names, certificates, broker, time: each with a verdict"
USAGE = ("net",)


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """From the box's own plug to the broker. The first that fails explains those after it."""
    no_more_args(NAME, words)
    steps: tuple[tuple[str, Callable[[], Iterable[CheckResult]]], ...] = (
        ("interfaces", box.links),
        ("modem", box.modem),
        ("names", lambda: (box.names(),)),
        ("certificates", box.certificates),
        ("broker", box.reach_broker),
        ("time", lambda: (box.clock_sources(),)),
    )
    first_bad = None
    for name, look in steps:
        try:
            verdicts = list(look())
        except (ConsoleError, UserError, OSError) as error:
            verdicts = [CheckResult(what=name, good=False, said=str(error))]
        show(terminal, verdicts)
        if first_bad is None and any(verdict.good is False for verdict in verdicts):
            first_bad = name
    if first_bad is None:
        terminal.print("The link is good. mqtt ping asks the broker itself.")
    else:
        terminal.print(f"Begin with: {first_bad}.")
