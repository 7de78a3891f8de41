"""What is plugged into the box beside cameras: serial ports and pins."""

import os

from agent.base.health_model import PinHealth
from agent.config.configuration import Config
from agent.config.pins import Pin, switchable
from agent.console.results import PinInfo, PortInfo
from drivers.serial_ports import find_ports


def ports(config: Config | None) -> tuple[PortInfo, ...]:
    """Serial ports; those of the configuration that are not there too. Nothing is sent."""
    heads = () if config is None else config.head
    wanted = {str(one.options["port"]): one.name for one in heads if "port" in one.options}
    by_real = {os.path.realpath(port): name for port, name in wanted.items()}
    told = []
    for port in find_ports():
        head = by_real.pop(os.path.realpath(port.path), None)
        what = port.description or "serial port"
        told.append(
            PortInfo(
                path=port.best_path,
                what=f"{what}{', the kernel talks here' if port.console else ''}",
                state=f"{port.state}{f': {port.why}' if port.why else ''}",
                used_by=None if head is None else f"head {head}",
            )
        )
    told += [
        PortInfo(
            path=path,
            what="of the configuration",
            state="not among the ports that the kernel has",
            used_by=f"head {name}",
        )
        for path, name in by_real.items()
    ]
    return tuple(told)


def pins(config: Config | None, health: PinHealth | None) -> tuple[PinInfo, ...]:
    """The pins of the configuration, as the agent's health tells of them."""
    if config is None:
        return ()
    may = switchable(config.pin)
    return tuple(
        PinInfo(
            name=pin.name,
            kind=str(type(pin).__struct_config__.tag),
            pin=pin.pin,
            switchable=may[pin.name],
            level=_level(pin, health),
        )
        for pin in config.pin
    )


def _level(pin: Pin, health: PinHealth | None) -> bool | None:
    if health is None:
        return None
    kind = type(pin).__struct_config__.tag
    known = {
        "door": health.door_open,
        "power_good": health.mains,
        "ups_low": health.battery_low,
        "fan": health.fan,
        "heater": health.heater,
    }
    if kind in ("siren", "beacon"):
        return pin.name in health.relays_on
    return known.get(str(kind))
