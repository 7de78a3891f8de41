"""`commission`: the box is installed well, says who stands before it; and what has changed since."""

from collections.abc import Sequence

from agent.base.errors import BadInput
from agent.capture import lens_aim
from agent.console.results import Box, Judged, Part
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
            raise BadInput(f"commission {' '.join(words)}: allowed: commission, commission compare")


def _commission(terminal: Terminal, box: Box) -> None:
    terminal.say("This takes pictures. Answer y, or n and a few words. Ctrl-C writes nothing down.")
    told = box.commission(lambda part: _ask(terminal, part))
    terminal.say(*told)


def _ask(terminal: Terminal, part: Part) -> Judged:
    if part.picture is not None:
        terminal.new_page()
        rows = max(8, terminal.rows - _TEXT_ROWS)
        terminal.say(*lens_aim.characters(part.picture, terminal.columns - 2, rows))
    terminal.say(f"{part.title}: {part.found}")
    while True:
        said, _, why = terminal.ask("  good? ").partition(" ")
        note = why.strip()[:LONGEST_NOTE] or None
        if said.lower() in ("y", "yes"):
            return Judged(good=True, note=note)
        if said.lower() in ("n", "no"):
            return Judged(good=False, note=note)
        terminal.say("  Allowed: y, n, or n and a few words.")


def _compare(terminal: Terminal, box: Box) -> None:
    terminal.say("This takes pictures.")
    when, changes = box.compare()
    terminal.say(when)
    terminal.table(changes)
    if not changes:
        terminal.say("All is as it was.")
