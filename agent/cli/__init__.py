"""The command line: one module for each command, and no logic.

Each module has `add_parser(commands)`, which sets `run(args) -> int` as the parser's default.
"""

import importlib
import importlib.util

from agent.base.errors import UserError
from agent.cli.commands import Commands

COMMANDS = (
    "demo",
    "run",
    "check-config",
    "replay",
    "scene",
    "detect",
    "watch",
    "send",
    "incident",
    "configure",
    "key",
    "footage",
    "probe",
    "ptz",
    "console",
    "console-code",
    "selftest",
    "bundle",
    "declare",
    "commission",
    "faults",
    "boot-good",
    "provision",
    "update",
    "flash",
)
"""All commands, in the order in which a newcomer needs them."""

CENTRE_COMMANDS = frozenset(
    {
        "demo",
        "replay",
        "scene",
        "detect",
        "watch",
        "send",
        "configure",
        "incident",
        "key",
        "console-code",
        "flash",
    }
)
"""Commands in `centre.cli`, a package that is not installed on a box."""

_EXTENDED_COMMANDS = frozenset({"provision"})
"""Commands of a box to which `centre.cli` adds what the office needs."""

_BOX_COMMANDS = tuple(name for name in COMMANDS if name not in CENTRE_COMMANDS)


def add_parsers(commands: Commands, requested: str | None) -> None:
    """Add the requested command, or all commands of this machine if none is requested.

    The other commands are not imported: `run` must not load what only the centre needs.
    Raises: UserError if the requested command is not installed on this machine.
    """
    installed = COMMANDS if has_centre() else _BOX_COMMANDS
    if requested in COMMANDS and requested not in installed:
        raise UserError(
            f"{requested}: a command of the centre, and centre/ is not installed on this machine; "
            f"allowed: {', '.join(installed)}"
        )
    for name in (requested,) if requested in installed else installed:
        is_centres = name in CENTRE_COMMANDS or (name in _EXTENDED_COMMANDS and has_centre())
        package = "centre.cli" if is_centres else "agent.cli"
        module = importlib.import_module(f"{package}.{name.replace('-', '_')}")
        module.add_parser(commands)


def has_centre() -> bool:
    """Return whether the commands of the centre are installed on this machine."""
    return importlib.util.find_spec("centre") is not None
