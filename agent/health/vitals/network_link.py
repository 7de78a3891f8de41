"""The interface that leads to the broker, and how well it hears."""

from agent.base.health_model import LinkHealth
from agent.health.vitals import parse
from agent.health.vitals.polled_command import PolledCommand
from agent.health.vitals.procfs import ProcFs

MODEM_COMMAND = ("mmcli", "--modem=any", "--output-json")


class NetworkLink:
    """That of the default route. A modem is asked through ModemManager where that is there."""

    def __init__(self, procfs: ProcFs, search_path: str | None = None) -> None:
        """`path` is where programs are looked for, as in PATH."""
        self._procfs = procfs
        self._modem = PolledCommand(MODEM_COMMAND, search_path)

    def read(self, t_ns: int) -> LinkHealth:
        """How it is now; the round trip is somebody else's to tell."""
        name = parse.default_route(self._procfs.read("proc/net/route"))
        if name is None:
            return LinkHealth()
        folder = f"sys/class/net/{name}"
        kind = parse.link_kind(name, wireless=self._procfs.exists(f"{folder}/wireless"))
        modem = parse.modem(self._modem.read(t_ns)) if kind == "modem" else None
        state = parse.decode(self._procfs.read(f"{folder}/operstate"))
        # A modem's driver does not know: `unknown` of sysfs-class-net is no answer.
        up = {"up": True, "down": False, "lowerlayerdown": False, "dormant": False}.get(state)
        return LinkHealth(
            adapter=name,
            kind=kind,
            up=up,
            signal_dbm=parse.wireless_dbm(self._procfs.read("proc/net/wireless"), name),
            signal=modem.signal if modem else None,
            technology=modem.technology if modem else None,
        )

    def close(self) -> None:
        """End what was asked."""
        self._modem.close()
