"""`status`: the state of the box on one screen."""

from collections.abc import Sequence

from agent.base.message import Message, join_phrases
from agent.commands.command import NoArguments
from agent.console.acts.act import call_at_console
from agent.console.acts.status import BoxStatus, status
from agent.console.arguments import no_more_args
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.terminal import Terminal


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Print the state."""
    no_more_args("status", argv)
    found = status(call_at_console(context), NoArguments())
    clock = (
        Message("clock synchronised")
        if found.is_clock_synced
        else Message("clock NOT synchronised")
    )
    terminal.print(
        Message("Box {box}, {site}", box=found.box, site=found.site),
        join_phrases(found.time, clock),
    )
    _print_faults(terminal, found)
    terminal.table(
        [(Message("Agent"), found.agent), *((row.label, row.text) for row in found.rows)]
    )
    if found.problems:
        terminal.print(*found.problems)
    terminal.print(
        Message("Next: check finds out what is wrong, faults shows what to do about it.")
    )


def _print_faults(terminal: Terminal, found: BoxStatus) -> None:
    if found.faults is None:
        terminal.print(Message("Faults: unknown without a report of the agent; see check"))
        return
    count: object = len(found.faults) or Message("none")
    terminal.print(
        Message("Faults: {count}", count=count)
        if found.is_current
        else Message("Faults in its last report: {count}", count=count)
    )
    terminal.table([(fault.code, fault.subject, fault.title) for fault in found.faults], "  ")


STATUS = ConsoleCommand(
    name="status",
    help=Message("the state of the box on one screen"),
    usage=(("status", ""),),
    run=run,
)
