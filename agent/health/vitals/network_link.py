"""Network link to the broker: the adapter of the default route and its signal.

Speed, duplex and error counters of wired ports are those of sysfs-class-net(5).
"""

from typing import Literal

from agent.base.health_model import LinkHealth, PortHealth
from agent.health.vitals import parse
from agent.health.vitals.polled_command import PolledCommand
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


MODEM_COMMAND = ("mmcli", "--modem=any", "--output-json")


class NetworkLink:
    """Reads the default route's adapter and the wired ports. A modem is queried through ModemManager, if installed."""

    def __init__(self, procfs: ProcFs, search_path: str | None = None) -> None:
        """`search_path` lists the folders of programs, as PATH does."""
        self._procfs = procfs
        self._modem = PolledCommand(MODEM_COMMAND, search_path)

    def read(self, t_ns: int) -> LinkHealth:
        """Read the link's state. `round_trip_ms` is left None: the MQTT session measures it."""
        name = parse.default_route(self._procfs.read("proc/net/route"))
        ports = read_ports(self._procfs)
        if name is None:
            return LinkHealth(ports=ports)
        folder = f"sys/class/net/{name}"
        kind = parse.link_kind(name, wireless=self._procfs.exists(f"{folder}/wireless"))
        modem = parse.modem(self._modem.read(t_ns)) if kind == "modem" else None
        signal = None if modem is None else parse.modem_signal(modem)
        state = parse.decode(self._procfs.read(f"{folder}/operstate"))
        # A modem's driver does not know: `unknown` of sysfs-class-net counts as no answer.
        up = {"up": True, "down": False, "lowerlayerdown": False, "dormant": False}.get(state)
        return LinkHealth(
            adapter=name,
            kind=kind,
            up=up,
            signal_dbm=parse.wireless_dbm(self._procfs.read("proc/net/wireless"), name),
            signal=signal.signal if signal else None,
            technology=signal.technology if signal else None,
            ports=ports,
        )

    def close(self) -> None:
        """Kill a query that is still running."""
        self._modem.close()
