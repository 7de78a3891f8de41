"""`commission`: the box is installed well, says who stands before it; and what has changed since."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.capture import lens_aim
from agent.console.results import Box, CommissioningItem, ItemVerdict
from agent.console.terminal import Terminal

NAME = "commission"
HELP = "say that it is installed well, part by part; what has changed since"
USAGE = (
    "commission           shows each part, asks whether it is good, and signs it",
    "commission compare   what is not as it was",
)

MAX_NOTE_CHARS = 200
_TEXT_ROWS = 4


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Walk through, or compare."""
    match list(argv):
        case []:
            _commission(terminal, box)
        case ["compare"]:
            _compare(terminal, box)
        case _:
            raise UserError(f"commission {' '.join(argv)}: allowed: commission, commission compare")


def _commission(terminal: Terminal, box: Box) -> None:
    terminal.print(
        "This takes pictures. Answer y, or n and a few words. Ctrl-C writes nothing down."
    )
    lines = box.run_commissioning(lambda part: _ask_verdict(terminal, part))
    terminal.print(*lines)


def _ask_verdict(terminal: Terminal, item: CommissioningItem) -> ItemVerdict:
    if item.picture is not None:
        terminal.new_page()
        rows = max(8, terminal.rows - _TEXT_ROWS)
        terminal.print(*lens_aim.to_ascii(item.picture, terminal.columns - 2, rows))
    terminal.print(f"{item.title}: {item.finding}")
    while True:
        answer, _, comment = terminal.read_line("  good? ").partition(" ")
        note = comment.strip()[:MAX_NOTE_CHARS] or None
        if answer.lower() in ("y", "yes"):
            return ItemVerdict(ok=True, note=note)
        if answer.lower() in ("n", "no"):
            return ItemVerdict(ok=False, note=note)
        terminal.print("  Allowed: y, n, or n and a few words.")


def _compare(terminal: Terminal, box: Box) -> None:
    terminal.print("This takes pictures.")
    header, changes = box.compare_with_commissioning()
    terminal.print(header)
    terminal.table(changes)
    if not changes:
        terminal.print("All is as it was.")
