"""`faults`: active faults with advice; the text of a fault code."""

from collections.abc import Sequence

from agent.base.message import Message
from agent.console.arguments import usage_error
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.session import ConsoleCommand
from agent.console.terminal import Terminal
from agent.console.text_format import format_duration
from agent.faults.registry import FAULTS, FaultCode


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Print the active faults, one code's text, or all codes."""
    match list(argv):
        case []:
            _print_active(terminal, context)
        case ["all"]:
            texts = context.fault_texts().faults
            terminal.table(
                [(code, _severity(context, code), texts[code].title) for code in sorted(FAULTS)]
            )
        case [given]:
            code = next((code for code in FAULTS if code == given.upper()), None)
            if code is None:
                raise ConsoleError(
                    Message("faults {given}: no such code; faults all lists them", given=given)
                )
            text = context.fault_texts().faults[code]
            terminal.print(
                Message(
                    "{code} ({severity}): {title}",
                    code=code,
                    severity=_severity(context, code),
                    title=text.title,
                ),
                f"  {text.means}",
            )
            terminal.print_hanging("  > ", text.at_box)
            terminal.print_hanging(Message("  Centre: "), text.at_centre)
        case _:
            raise usage_error(("faults", *argv), Message("one code, all, or nothing"))


def _severity(context: ConsoleContext, code: FaultCode) -> str:
    return context.fault_texts().headings.severity_name(FAULTS[code].severity)


def _print_active(terminal: Terminal, context: ConsoleContext) -> None:
    agent_state = context.agent_state()
    if agent_state.report is None:
        terminal.print(
            Message("Agent: {state}. It has left no report: use check.", state=agent_state.words)
        )
        return
    if agent_state.state != "running":
        terminal.print(Message("Agent: {state}. Its last report:", state=agent_state.words))
    for fault in agent_state.report.faults:
        guidance = context.fault_guidance(fault.code)
        age_s = max(0.0, (context.clock.boottime_ns() - fault.since_ns) / 1e9)
        terminal.print(
            Message(
                "{code} {severity}: {title} ({subject}), for {age}",
                code=fault.code,
                severity=context.fault_texts().headings.severity_name(fault.severity),
                title=guidance.title if guidance else fault.title,
                subject=fault.subject,
                age=format_duration(age_s),
            )
        )
        if fault.detail:
            terminal.print(f"  {fault.detail}")
        if guidance is not None:
            terminal.print_hanging("  > ", guidance.at_box)
    if not agent_state.report.faults:
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
