"""`gpio`: levels of the configured pins, and switching the outputs that may be switched."""

from collections.abc import Sequence

from agent.base.health_model import PinHealth
from agent.base.message import Message
from agent.config.pins import Pin, switchable_by_name
from agent.console.arguments import parse_int, usage_error
from agent.console.console_command import ConsoleCommand, always
from agent.console.context import ConsoleContext
from agent.console.terminal import Terminal
from agent.gpio.gpio_command import GpioResult

DEFAULT_ON_S, MAX_ON_S = 5, 86_400
_LEVEL_NAMES = {True: Message("on"), False: Message("off"), None: Message("unknown")}


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Print the pins, or switch one."""
    if not argv:
        _print_pins(terminal, context)
        return
    args = _parse_args(argv)
    context.run_agent_command("gpio", args, GpioResult)
    terminal.print(
        Message("{pin} is on.", pin=args["pin"])
        if args["active"]
        else Message("{pin} is off.", pin=args["pin"])
    )


def _parse_args(argv: Sequence[str]) -> dict[str, object]:
    match list(argv):
        case [name, "off"]:
            return {"pin": name, "active": False}
        case [name, "on"]:
            return {"pin": name, "active": True, "for_s": float(DEFAULT_ON_S)}
        case [name, "on", text] if (seconds := parse_int(text, 1, MAX_ON_S)) is not None:
            return {"pin": name, "active": True, "for_s": float(seconds)}
    raise usage_error(
        ("gpio", *argv),
        Message("NAME on [SECONDS, 1 to {max_s}], NAME off, or nothing", max_s=MAX_ON_S),
    )


def _print_pins(terminal: Terminal, context: ConsoleContext) -> None:
    pins = () if context.config is None else context.config.pin
    switchable_pins = switchable_by_name(pins)
    report = context.live_report()
    health = None if report is None else report.pins
    terminal.table(
        [
            (
                pin.name,
                _kind(pin),
                Message("pin {name}", name=pin.pin),
                _LEVEL_NAMES[_level(pin, health)],
                Message("may be switched") if switchable_pins[pin.name] else "",
            )
            for pin in pins
        ]
    )
    if not pins:
        terminal.print(Message("No pins are configured."))


def _kind(pin: Pin) -> str:
    return str(type(pin).__struct_config__.tag)


def _level(pin: Pin, health: PinHealth | None) -> bool | None:
    """Return the level in the agent's report; None if that does not have it."""
    if health is None:
        return None
    kind = _kind(pin)
    if kind in ("siren", "beacon"):
        return pin.name in health.relays_on
    return {
        "door": health.door_open,
        "power_good": health.mains,
        "ups_low": health.battery_low,
        "fan": health.fan,
        "heater": health.heater,
    }.get(kind)


GPIO = ConsoleCommand(
    name="gpio",
    help=Message("contacts and relays: their levels; switch those that may be"),
    usage=(
        ("gpio", Message("all configured pins")),
        (
            "gpio NAME on [SECONDS]",
            Message(
                "switch one on, for at most this time (default {default_s})", default_s=DEFAULT_ON_S
            ),
        ),
        ("gpio NAME off", Message("switch it off")),
    ),
    run=run,
    needs_receipt=always,
)
