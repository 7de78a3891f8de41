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

FOR_S = 5.0
_LEVELS = {True: "on", False: "off", None: "unknown"}


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Show, or switch."""
    if not words:
        pins = box.pins()
        terminal.table(
            [
                (
                    pin.name,
                    pin.kind,
                    f"pin {pin.pin}",
                    _LEVELS[pin.level],
                    "may be switched" if pin.switchable else "",
                )
                for pin in pins
            ]
        )
        if not pins:
            terminal.print("No pins are configured.")
        return
    args = _args(words)
    run_agent_command(box, "gpio", args)
    terminal.print(f"{args['pin']} is {words[1]}.")


def _args(words: Sequence[str]) -> dict[str, object]:
    match list(words):
        case [name, "off"]:
            return {"pin": name, "active": False}
        case [name, "on"]:
            return {"pin": name, "active": True, "for_s": FOR_S}
        case [name, "on", text] if text.isascii() and text.isdecimal() and int(text[:5]) > 0:
            return {"pin": name, "active": True, "for_s": float(text[:5])}
    raise UserError(f"gpio {' '.join(words)}: allowed: NAME on [SECONDS], NAME off, or nothing")
