"""Network link to the broker: the adapter of the default route and its signal."""

from agent.base.health_model import LinkHealth
from agent.health.vitals import parse
from agent.health.vitals.network_port import read_ports
from agent.health.vitals.polled_command import PolledCommand
from agent.health.vitals.procfs import ProcFs

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
