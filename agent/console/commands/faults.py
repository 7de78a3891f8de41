"""`faults`: active faults with advice; the text of a fault code."""

from collections.abc import Sequence

from agent.base.message import Message
from agent.commands.command import NoArguments
from agent.console.acts import faults
from agent.console.acts.act import call_at_console
from agent.console.arguments import usage_error
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.terminal import Terminal
from agent.console.text_format import format_duration


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Print the active faults, one code's text, or all codes."""
    match list(argv):
        case []:
            _print_active(terminal, context)
        case ["all"]:
            terminal.table(
                [
                    (text.code, text.severity, text.title)
                    for text in faults.describe_all_faults(context)
                ]
            )
        case [given]:
            text = faults.fault(call_at_console(context), faults.FaultArgs(code=given))
            terminal.print(
                Message(
                    "{code} ({severity}): {title}",
                    code=text.code,
                    severity=text.severity,
                    title=text.title,
                ),
                f"  {text.means}",
            )
            terminal.print_hanging("  > ", text.at_box)
            terminal.print_hanging(Message("  Centre: "), text.at_centre)
        case _:
            raise usage_error(("faults", *argv), Message("one code, all, or nothing"))


def _print_active(terminal: Terminal, context: ConsoleContext) -> None:
    found = faults.faults(call_at_console(context), NoArguments())
    if found.faults is None:
        terminal.print(
            Message("Agent: {state}. It has left no report: use check.", state=found.agent)
        )
        return
    if not found.is_current:
        terminal.print(Message("Agent: {state}. Its last report:", state=found.agent))
    for fault in found.faults:
        terminal.print(
            Message(
                "{code} {severity}: {title} ({subject}), for {age}",
                code=fault.code,
                severity=fault.severity,
                title=fault.title,
                subject=fault.subject,
                age=format_duration(fault.age_s),
            )
        )
        if fault.detail:
            terminal.print_hanging("  ", fault.detail)
        if fault.advice is not None:
            terminal.print_hanging("  > ", fault.advice)
    if not found.faults:
        terminal.print(Message("No faults."))


FAULTS_COMMAND = ConsoleCommand(
    name="faults",
    help=Message("active faults and what to do; the meaning of a code"),
    usage=(
        ("faults", Message("active faults")),
        ("faults CAM-02", Message("what a code means, and what to do")),
        ("faults all", Message("every code")),
    ),
    run=run,
)
