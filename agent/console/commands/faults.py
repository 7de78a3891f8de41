"""`faults`: what is wrong now, and what to do about it; or what a code means."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.format import age
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "faults"
HELP = "what is wrong now and what to do; what a code means"
USAGE = (
    "faults          those that stand now",
    "faults CAM-02   what a code means, and what to do",
    "faults all      every code there is",
)


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Tell."""
    if list(words) == ["all"]:
        told = [text for code in box.fault_codes() if (text := box.fault_text(code))]
        terminal.table([(text.code, text.severity, text.title) for text in told])
    elif len(words) == 1:
        text = box.fault_text(words[0].upper())
        if text is None:
            raise UserError(f"faults {words[0]}: no such code; faults all lists them")
        terminal.print(f"{text.code} ({text.severity}): {text.title}", f"  {text.means}")
        terminal.print_hanging("  > ", text.advice)
        terminal.print_hanging("  Centre: ", text.at_centre)
    elif words:
        raise UserError(f"faults {' '.join(words)}: allowed: one code, all, or nothing")
    else:
        _active(terminal, box)


def _active(terminal: Terminal, box: Box) -> None:
    life = box.life()
    if life.report is None:
        terminal.print(f"The agent is {life.state} and has left no report: use check.")
        return
    if life.state != "runs":
        since = "in another boot" if life.age_s is None else f"{age(life.age_s)} ago"
        how = "hangs" if life.state == "hangs" else "is dead"
        terminal.print(f"The agent {how}. It reported these {since}:")
    for fault in life.report.faults:
        text = box.fault_text(fault.code)
        stands = age(max(0.0, (box.now_ns() - fault.since_ns) / 1e9))
        terminal.print(
            f"{fault.code} {fault.severity}: {text.title if text else fault.title} "
            f"({fault.subject}), for {stands}"
        )
        if fault.detail:
            terminal.print(f"  {fault.detail}")
        if text is not None:
            terminal.print_hanging("  > ", text.advice)
    if not life.report.faults:
        terminal.print("No faults.")
