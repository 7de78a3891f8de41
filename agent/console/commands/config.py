"""`config`: the configuration as it stands, without what is secret; and a few keys changed on trial."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.config.shareable_config import shown_address
from agent.console.results import Box
from agent.console.terminal import Terminal
from agent.console.trial_status import reminder

NAME = "config"
HELP = "the configuration, secrets left out; check it; change a few keys"
USAGE = (
    "config           show it",
    "config check     whether the file is good as it stands now",
    "config set       the keys that may be set here, and their values",
    "config set KEY VALUE [KEY VALUE ...] [for MINUTES]",
    "                 try other values; the agent restarts, and after 5 minutes",
    "                 they are undone by themselves unless you type config confirm",
    "config confirm   keep what is on trial",
    "config undo      put back at once what was before",
)

MINUTES = 5.0
MOST_MINUTES = 60.0
_CHANGES = ("set", "confirm", "undo")


def changes(words: Sequence[str]) -> bool:
    """Whether these words change something."""
    return bool(words) and words[0] in _CHANGES


def told(words: Sequence[str]) -> list[str]:
    """The words as they may be written down: of an address its host."""
    return [shown_address(word) if "://" in word else word for word in words]


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Show it, check it, or change it."""
    match list(words):
        case [] | ["show"]:
            standing = box.config_desk.standing()
            if standing is not None:
                terminal.print(reminder(standing))
            terminal.print(f"# {box.config_path}", *box.config_text())
        case ["check"]:
            problem = box.config_problem(deep=True)
            terminal.print(problem or f"{box.config_path}: good")
        case ["set"]:
            terminal.table(box.config_desk.keys())
        case ["set", *rest]:
            _set(terminal, box, rest)
        case ["confirm"]:
            kept = box.config_desk.confirm()
            terminal.print(f"Kept: {kept.what}.")
        case ["undo"]:
            undone = box.config_desk.undo()
            terminal.print(f"Undone: {undone.what}. The agent restarts with the one before.")
        case _:
            raise UserError(
                f"config {' '.join(told(words))}: allowed: show, check, set, confirm, undo; "
                "see help config"
            )


def _set(terminal: Terminal, box: Box, words: list[str]) -> None:
    minutes = MINUTES
    if len(words) > 1 and words[-2] == "for":
        minutes = _minutes(words[-1])
        words = words[:-2]
    if not words or len(words) % 2:
        raise UserError("config set: allowed: KEY VALUE in pairs; blanks stand in quotation marks")
    pairs = list(zip(words[::2], words[1::2], strict=True))
    terminal.print("Checking the whole configuration with it ...")
    changes = box.config_desk.propose(pairs)
    terminal.print(*(f"{one.key}: {one.old} -> {one.new}" for one in changes))
    was_there = box.config_desk.begin(changes, box.by, minutes)
    terminal.print(
        "The agent restarts with it now." if was_there else "The agent does not run just now.",
        f"On trial for {minutes:g} minutes. See that it works, then type: config confirm",
        "Else it is undone by itself, also after a logout, a reboot or a power cut.",
    )


def _minutes(text: str) -> float:
    good = text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= MOST_MINUTES
    if not good:
        raise UserError(f"for {text}: allowed: 1 to {MOST_MINUTES:.0f} minutes")
    return float(text)
