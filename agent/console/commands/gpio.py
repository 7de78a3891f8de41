"""`gpio`: how the contacts and relays of the box stand, and switching those that may be."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.agent_client import run_agent_command
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "gpio"
HELP = "contacts and relays: how they stand; switch those that may be"
USAGE = (
    "gpio                     all pins of the configuration",
    "gpio NAME on [SECONDS]   switch one on, for so long at the most (5)",
    "gpio NAME off            and off",
)

DEFAULT_ON_S = 5.0
_LEVEL_NAMES = {True: "on", False: "off", None: "unknown"}


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Show, or switch."""
    if not argv:
        pins = box.list_pins()
        terminal.table(
            [
                (
                    pin.name,
                    pin.kind,
                    f"pin {pin.number}",
                    _LEVEL_NAMES[pin.level],
                    "may be switched" if pin.switchable else "",
                )
                for pin in pins
            ]
        )
        if not pins:
            terminal.print("No pins are configured.")
        return
    args = _parse_args(argv)
    run_agent_command(box, "gpio", args)
    terminal.print(f"{args['pin']} is {argv[1]}.")


def _parse_args(argv: Sequence[str]) -> dict[str, object]:
    match list(argv):
        case [name, "off"]:
            return {"pin": name, "active": False}
        case [name, "on"]:
            return {"pin": name, "active": True, "for_s": DEFAULT_ON_S}
        case [name, "on", text] if text.isascii() and text.isdecimal() and int(text[:5]) > 0:
            return {"pin": name, "active": True, "for_s": float(text[:5])}
    raise UserError(f"gpio {' '.join(argv)}: allowed: NAME on [SECONDS], NAME off, or nothing")
