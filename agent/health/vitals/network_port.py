"""Speed, duplex and error counters of the box's wired network ports, from sysfs-class-net(5)."""

from typing import Literal

from agent.base.health_model import PortHealth
from agent.health.vitals import parse
from agent.health.vitals.procfs import ProcFs


def read_ports(procfs: ProcFs) -> tuple[PortHealth, ...]:
    """Return the wired ports of the board and of its adapters that have a carrier, sorted by name."""
    folders = procfs.list_paths("sys/class/net", "")
    return tuple(_read_port(procfs, folder) for folder in folders if _is_port(procfs, folder))


def _is_port(procfs: ProcFs, folder: str) -> bool:
    """True for a device with a carrier: bridges, tunnels and the loopback have no `device`."""
    name = folder.rpartition("/")[2]
    return (
        parse.link_kind(name, wireless=procfs.exists(f"{folder}/wireless")) == "wired"
        and procfs.exists(f"{folder}/device")
        and parse.decode(procfs.read(f"{folder}/carrier")) == "1"
    )


def _read_port(procfs: ProcFs, folder: str) -> PortHealth:
    def read_count(name: str) -> int | None:
        return parse.unsigned(procfs.read(f"{folder}/{name}"))

    rx_dropped, tx_dropped = (
        read_count("statistics/rx_dropped"),
        read_count("statistics/tx_dropped"),
    )
    duplexes: dict[str, Literal["full", "half"]] = {"full": "full", "half": "half"}
    return PortHealth(
        name=folder.rpartition("/")[2],
        # -1 if the driver does not know it.
        speed_mbit_s=read_count("speed"),
        duplex=duplexes.get(parse.decode(procfs.read(f"{folder}/duplex"))),
        carrier_changes=read_count("carrier_changes"),
        rx_errors=read_count("statistics/rx_errors"),
        tx_errors=read_count("statistics/tx_errors"),
        rx_crc_errors=read_count("statistics/rx_crc_errors"),
        dropped=None if rx_dropped is None or tx_dropped is None else rx_dropped + tx_dropped,
    )
