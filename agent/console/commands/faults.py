"""`faults`: what is wrong now, and what to do about it; or what a code means."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.format import format_duration
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "faults"
HELP = "what is wrong now and what to do; what a code means"
USAGE = (
    "faults          those that stand now",
    "faults CAM-02   what a code means, and what to do",
    "faults all      every code there is",
)


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Tell."""
    if list(argv) == ["all"]:
        descriptions = [text for code in box.fault_codes() if (text := box.describe_fault(code))]
        terminal.table([(text.code, text.severity, text.title) for text in descriptions])
    elif len(argv) == 1:
        text = box.describe_fault(argv[0].upper())
        if text is None:
            raise UserError(f"faults {argv[0]}: no such code; faults all lists them")
        terminal.print(f"{text.code} ({text.severity}): {text.title}", f"  {text.meaning}")
        terminal.print_hanging("  > ", text.advice)
        terminal.print_hanging("  Centre: ", text.centre_advice)
    elif argv:
        raise UserError(f"faults {' '.join(argv)}: allowed: one code, all, or nothing")
    else:
        _print_active(terminal, box)


def _print_active(terminal: Terminal, box: Box) -> None:
    agent_state = box.agent_state()
    if agent_state.report is None:
        terminal.print(f"The agent is {agent_state.state} and has left no report: use check.")
        return
    if agent_state.state != "runs":
        reported = (
            "in another boot"
            if agent_state.report_age_s is None
            else f"{format_duration(agent_state.report_age_s)} ago"
        )
        condition = "hangs" if agent_state.state == "hangs" else "is dead"
        terminal.print(f"The agent {condition}. It reported these {reported}:")
    for fault in agent_state.report.faults:
        text = box.describe_fault(fault.code)
        duration = format_duration(max(0.0, (box.now_ns() - fault.since_ns) / 1e9))
        terminal.print(
            f"{fault.code} {fault.severity}: {text.title if text else fault.title} "
            f"({fault.subject}), for {duration}"
        )
        if fault.detail:
            terminal.print(f"  {fault.detail}")
        if text is not None:
            terminal.print_hanging("  > ", text.advice)
    if not agent_state.report.faults:
        terminal.print("No faults.")
