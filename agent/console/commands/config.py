"""`config`: the configuration as it stands, without what is secret; and a few keys changed on trial."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.config.shareable_config import redact_url
from agent.console.results import Box
from agent.console.terminal import Terminal
from agent.console.trial_status import format_reminder

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

DEFAULT_MINUTES = 5.0
MAX_MINUTES = 60.0
_MODIFYING = ("set", "confirm", "undo")


def is_modifying(argv: Sequence[str]) -> bool:
    """Whether these words change something."""
    return bool(argv) and argv[0] in _MODIFYING


def redact_args(argv: Sequence[str]) -> list[str]:
    """The words as they may be written down: of an address its host."""
    return [redact_url(word) if "://" in word else word for word in argv]


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Show it, check it, or change it."""
    match list(argv):
        case [] | ["show"]:
            pending = box.config_editor.pending()
            if pending is not None:
                terminal.print(format_reminder(pending))
            terminal.print(f"# {box.config_path}", *box.read_config_text())
        case ["check"]:
            problem = box.check_config(full=True)
            terminal.print(problem or f"{box.config_path}: good")
        case ["set"]:
            terminal.table(box.config_editor.list_keys())
        case ["set", *rest]:
            _set_keys(terminal, box, rest)
        case ["confirm"]:
            confirmed = box.config_editor.confirm()
            terminal.print(f"Kept: {confirmed.keys}.")
        case ["undo"]:
            undone = box.config_editor.undo()
            terminal.print(f"Undone: {undone.keys}. The agent restarts with the one before.")
        case _:
            raise UserError(
                f"config {' '.join(redact_args(argv))}: allowed: show, check, set, confirm, undo; "
                "see help config"
            )


def _set_keys(terminal: Terminal, box: Box, argv: list[str]) -> None:
    minutes = DEFAULT_MINUTES
    if len(argv) > 1 and argv[-2] == "for":
        minutes = _parse_minutes(argv[-1])
        argv = argv[:-2]
    if not argv or len(argv) % 2:
        raise UserError("config set: allowed: KEY VALUE in pairs; blanks stand in quotation marks")
    pairs = list(zip(argv[::2], argv[1::2], strict=True))
    terminal.print("Checking the whole configuration with it ...")
    changes = box.config_editor.propose(pairs)
    terminal.print(*(f"{change.key}: {change.old} -> {change.new}" for change in changes))
    agent_restarts = box.config_editor.begin(changes, box.technician, minutes)
    terminal.print(
        "The agent restarts with it now." if agent_restarts else "The agent does not run just now.",
        f"On trial for {minutes:g} minutes. See that it works, then type: config confirm",
        "Else it is undone by itself, also after a logout, a reboot or a power cut.",
    )


def _parse_minutes(text: str) -> float:
    is_valid = text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= MAX_MINUTES
    if not is_valid:
        raise UserError(f"for {text}: allowed: 1 to {MAX_MINUTES:.0f} minutes")
    return float(text)
