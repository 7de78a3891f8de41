"""The command line: one file for each command, and no logic.

Each offers `add_parser(commands)`, which binds `run(args) -> int`.
"""

import importlib

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


def add_parsers(commands: Commands, asked: str | None) -> None:
    """Add the command that is asked for, or every one where none of them is.

    The others stay unloaded: on a box `run` does not carry what the office's commands import.
    """
    for name in (asked,) if asked in COMMANDS else COMMANDS:
        module = importlib.import_module(f"agent.cli.{name.replace('-', '_')}")
        module.add_parser(commands)
