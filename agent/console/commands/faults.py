"""`faults`: active faults with advice; the text of a fault code."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.context import ConsoleContext
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
                raise UserError(f"faults {given}: no such code; faults all lists them")
            text = context.fault_texts().faults[code]
            terminal.print(f"{code} ({_severity(context, code)}): {text.title}", f"  {text.means}")
            terminal.print_hanging("  > ", text.at_box)
            terminal.print_hanging("  Centre: ", text.at_centre)
        case _:
            raise UserError(f"faults {' '.join(argv)}: allowed: one code, all, or nothing")


def _severity(context: ConsoleContext, code: FaultCode) -> str:
    return context.fault_texts().headings.severity_name(FAULTS[code].severity)


def _print_active(terminal: Terminal, context: ConsoleContext) -> None:
    agent_state = context.agent_state()
    condition = "hangs" if agent_state.state == "hung" else "is dead"
    if agent_state.report is None:
        terminal.print(f"The agent {condition} and has left no report: use check.")
        return
    if agent_state.state != "running":
        age_s = agent_state.report_age_s or 0.0
        terminal.print(f"The agent {condition}. Its report of {format_duration(age_s)} ago:")
    for fault in agent_state.report.faults:
        guidance = context.fault_guidance(fault.code)
        age_s = max(0.0, (context.clock.boottime_ns() - fault.since_ns) / 1e9)
        terminal.print(
            f"{fault.code} {fault.severity}: {guidance.title if guidance else fault.title} "
            f"({fault.subject}), for {format_duration(age_s)}"
        )
        if fault.detail:
            terminal.print(f"  {fault.detail}")
        if guidance is not None:
            terminal.print_hanging("  > ", guidance.at_box)
    if not agent_state.report.faults:
        terminal.print("No faults.")


FAULTS_COMMAND = ConsoleCommand(
    name="faults",
    help="active faults and what to do; the meaning of a code",
    usage=(
        "faults          active faults",
        "faults CAM-02   what a code means, and what to do",
        "faults all      every code",
    ),
    run=run,
)
