"""What is plugged into the box beside cameras: serial ports and pins."""

import os

from agent.base.health_model import PinHealth
from agent.config.configuration import Config
from agent.config.pins import Pin, switchable_by_name
from agent.console.results import PinInfo, PortInfo
from drivers.serial_ports import find_ports


def list_serial_ports(config: Config | None) -> tuple[PortInfo, ...]:
    """Serial ports; those of the configuration that are not there too. Nothing is sent."""
    heads = () if config is None else config.head
    head_by_port = {
        str(head.options["port"]): head.name for head in heads if "port" in head.options
    }
    head_by_realpath = {os.path.realpath(port): name for port, name in head_by_port.items()}
    infos = []
    for port in find_ports():
        head = head_by_realpath.pop(os.path.realpath(port.path), None)
        description = port.description or "serial port"
        infos.append(
            PortInfo(
                path=port.best_path,
                description=f"{description}{', the kernel talks here' if port.console else ''}",
                state=f"{port.state}{f': {port.why}' if port.why else ''}",
                used_by=None if head is None else f"head {head}",
            )
        )
    infos += [
        PortInfo(
            path=path,
            description="of the configuration",
            state="not among the ports that the kernel has",
            used_by=f"head {name}",
        )
        for path, name in head_by_realpath.items()
    ]
    return tuple(infos)


def list_pins(config: Config | None, health: PinHealth | None) -> tuple[PinInfo, ...]:
    """The pins of the configuration, as the agent's health tells of them."""
    if config is None:
        return ()
    switchable_pins = switchable_by_name(config.pin)
    return tuple(
        PinInfo(
            name=pin.name,
            kind=str(type(pin).__struct_config__.tag),
            number=pin.pin,
            switchable=switchable_pins[pin.name],
            level=_level(pin, health),
        )
        for pin in config.pin
    )


def _level(pin: Pin, health: PinHealth | None) -> bool | None:
    if health is None:
        return None
    kind = type(pin).__struct_config__.tag
    level_by_kind = {
        "door": health.door_open,
        "power_good": health.mains,
        "ups_low": health.battery_low,
        "fan": health.fan,
        "heater": health.heater,
    }
    if kind in ("siren", "beacon"):
        return pin.name in health.relays_on
    return level_by_kind.get(str(kind))
