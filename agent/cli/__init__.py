"""The command line: one module for each command, and no logic.

Each module has `add_arguments(parser)`, which sets `run(args) -> int` as the parser's default.
"""

import importlib
import importlib.util
from types import ModuleType

from agent.base.errors import UserError
from agent.cli.commands import Commands

COMMANDS = {
    "demo": "play a video of a street through the complete agent",
    "run": "run the agent of a box, as systemd does",
    "check-config": "check a configuration without running it",
    "replay": "evaluate a video against a scene, to tune the scene",
    "count": "count road users in many films, and write tables",
    "validate": "count labelled films and compare the counts with the labels",
    "scene": "draw a scene on a picture, in a browser",
    "detect": "detect road users in still images",
    "model": "list, measure and add detection models",
    "watch": "show the boxes of a broker, live",
    "send": "send a signed command to a box, and show its progress",
    "incident": "order an incident at many boxes, extend or end it",
    "configure": "publish the configuration that a box is to have, and show what becomes of it",
    "key": "make the keys and certificates of the people who may command boxes",
    "heads": "print the chain heads of a box that the centre has stored, to verify its exports",
    "footage": "list, export, verify, hold and unseal footage",
    "probe": "list the connected cameras, serial ports, heads, pins and accelerators",
    "ptz": "show and move the heads of this box",
    "console": "run the technician's console, here or on a serial port",
    "console-code": "answer the challenge of a box's console, or make a secret",
    "selftest": "send a test pattern through all parts of the box",
    "bundle": "write a signed support bundle of this box, without secrets",
    "declare": "the public declaration of a box: JSON, or a page in French, Arabic and English",
    "commission": "commission a box, or compare it with its commissioning",
    "faults": "explain a fault code",
    "boot-good": "wait until cameras, footage and broker work, then mark the update good",
    "provision": "set up a box from the settings file on its card, or check such a file",
    "update": "show, install, mark and roll back updates of the system",
    "flash": "write an image and the settings of a box to a card",
}
"""All commands with their help, in the order in which a newcomer needs them. The help needs no import."""

CENTRE_COMMANDS = frozenset(
    {
        "demo",
        "replay",
        "count",
        "validate",
        "scene",
        "detect",
        "model",
        "watch",
        "send",
        "configure",
        "incident",
        "key",
        "heads",
        "console-code",
        "flash",
    }
)
"""Commands in `centre.cli`, a package that is not installed on a box."""

_EXTENDED_COMMANDS = frozenset({"provision"})
"""Commands of a box to which `centre.cli` adds what the office needs."""

_BOX_COMMANDS = tuple(name for name in COMMANDS if name not in CENTRE_COMMANDS)


def add_parsers(commands: Commands, requested: str | None) -> None:
    """Add all commands of this machine; the requested one alone has its arguments.

    The module of another command is not imported: `run` must not load what only the centre needs.
    Raises: UserError if the requested command is not installed on this machine.
    """
    installed = COMMANDS if has_centre() else _BOX_COMMANDS
    if requested in COMMANDS and requested not in installed:
        raise UserError(
            f"{requested}: a command of the centre, and centre/ is not installed on this machine; "
            f"allowed: {', '.join(installed)}"
        )
    for name in installed:
        parser = commands.add_parser(name, help=COMMANDS[name])
        if name == requested:
            _import_command(name).add_arguments(parser)


def _import_command(name: str) -> ModuleType:
    is_centres = name in CENTRE_COMMANDS or (name in _EXTENDED_COMMANDS and has_centre())
    package = "centre.cli" if is_centres else "agent.cli"
    return importlib.import_module(f"{package}.{name.replace('-', '_')}")


def has_centre() -> bool:
    """Return whether the commands of the centre are installed on this machine."""
    return importlib.util.find_spec("centre") is not None
