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

LONGEST_NOTE = 200
_TEXT_ROWS = 4


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Walk through, or compare."""
    match list(words):
        case []:
            _commission(terminal, box)
        case ["compare"]:
            _compare(terminal, box)
        case _:
            raise UserError(
                f"commission {' '.join(words)}: allowed: commission, commission compare"
            )


def _commission(terminal: Terminal, box: Box) -> None:
    terminal.print(
        "This takes pictures. Answer y, or n and a few words. Ctrl-C writes nothing down."
    )
    told = box.commission(lambda part: _ask(terminal, part))
    terminal.print(*told)


def _ask(terminal: Terminal, part: CommissioningItem) -> ItemVerdict:
    if part.picture is not None:
        terminal.new_page()
        rows = max(8, terminal.rows - _TEXT_ROWS)
        terminal.print(*lens_aim.characters(part.picture, terminal.columns - 2, rows))
    terminal.print(f"{part.title}: {part.found}")
    while True:
        said, _, why = terminal.ask("  good? ").partition(" ")
        note = why.strip()[:LONGEST_NOTE] or None
        if said.lower() in ("y", "yes"):
            return ItemVerdict(good=True, note=note)
        if said.lower() in ("n", "no"):
            return ItemVerdict(good=False, note=note)
        terminal.print("  Allowed: y, n, or n and a few words.")


def _compare(terminal: Terminal, box: Box) -> None:
    terminal.print("This takes pictures.")
    when, changes = box.compare()
    terminal.print(when)
    terminal.table(changes)
    if not changes:
        terminal.print("All is as it was.")
