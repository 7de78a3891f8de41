"""The command line: one file for each command, and no logic.

Each offers `add_parser(commands)`, which binds `run(args) -> int`.
"""

import importlib
import importlib.util

from agent.cli.commands import Commands

COMMANDS = (
    "demo",
    "run",
    "check-config",
    "replay",
    "detect",
    "watch",
    "footage",
    "probe",
    "ptz",
    "console",
    "console-code",
    "selftest",
    "bundle",
    "commission",
    "faults",
    "boot-good",
    "provision",
    "update",
    "flash",
)
"""In the order in which a newcomer meets them."""

CENTRE_COMMANDS = frozenset({"demo", "replay", "detect", "watch", "console-code", "flash"})
"""Commands of `centre.cli`, which a box does not have."""


def add_parsers(commands: Commands, requested: str | None) -> None:
    """Add the command that is asked for, or every one where none of them is.

    The others stay unloaded: on a box `run` does not carry what the office's commands import.
    """
    for name in (requested,) if requested in COMMANDS else COMMANDS:
        if (module := _module_name(name)) is not None:
            importlib.import_module(module).add_parser(commands)


def _module_name(name: str) -> str | None:
    """The module of one command, or None if this machine has no `centre/`."""
    file = name.replace("-", "_")
    if name not in CENTRE_COMMANDS:
        return f"agent.cli.{file}"
    return f"centre.cli.{file}" if importlib.util.find_spec("centre") else None
