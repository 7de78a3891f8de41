"""The machine's condition, once a second, from proc(5), sysfs and statvfs(3)."""

from pathlib import Path

from agent.base.health_model import DiskHealth, LinkHealth, Vitals
from agent.health.vitals import parse
from agent.health.vitals.disk import DiskMonitor, space
from agent.health.vitals.network_link import NetworkLink
from agent.health.vitals.parse import Throttling
from agent.health.vitals.polled_command import PolledCommand
from agent.health.vitals.procfs import ROOT, ProcFs

SLOW_NS = 10_000_000_000
"""What changes slowly, or costs more to read, is looked at so often."""

FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
VCGENCMD = ("vcgencmd", "get_throttled")


def soc_celsius(root: Path = ROOT) -> float | None:
    """How warm the hottest part of the processor is."""
    return _hottest(ProcFs(root))


class MachineMonitor:
    """Reads the machine. One thread; what it found last may be read from any.

    `root` is where `proc` and `sys` are looked for, `path` where programs are, as in PATH.
    """

    def __init__(self, state: Path, root: Path = ROOT, path: str | None = None) -> None:
        self._state = state
        self._tree = ProcFs(root)
        self._disk = DiskMonitor(state, self._tree)
        self._link = NetworkLink(self._tree, path)
        self._vcgencmd = PolledCommand(VCGENCMD, path)
        self._alarm = self._find_alarm()
        self._cores = parse.cores(self._tree.read("sys/devices/system/cpu/online"))
        self._slow_ns: int | None = None
        self.vitals = Vitals(
            soc_celsius=None,
            load_1min=None,
            memory_available_bytes=None,
            agent_rss_bytes=None,
            disk_free_bytes=None,
            disk_total_bytes=None,
        )
        self.disk = DiskHealth()
        self.link = LinkHealth()

    def read(self, t_ns: int) -> Vitals:
        """How it is now."""
        if self._slow_ns is None or t_ns - self._slow_ns >= SLOW_NS:
            self._slow_ns = t_ns
            self.disk = self._disk.read(t_ns)
            self.link = self._link.read(t_ns)
            self._alarm = self._alarm or self._find_alarm()
        read = self._tree.read
        memory = read("proc/meminfo")
        room = space(self._state)
        told = self._throttling(t_ns)
        low = None if self._alarm is None else parse.alarm(read(self._alarm))
        if told is not None:
            low = told.under_voltage or bool(low)
        self.vitals = Vitals(
            soc_celsius=_hottest(self._tree),
            load_1min=parse.load(read("proc/loadavg")),
            memory_available_bytes=parse.kilobytes(memory, "MemAvailable"),
            agent_rss_bytes=parse.kilobytes(read("proc/self/status"), "VmRSS"),
            disk_free_bytes=None if room is None else room.free_bytes,
            disk_total_bytes=None if room is None else room.total_bytes,
            cores=self._cores,
            memory_total_bytes=parse.kilobytes(memory, "MemTotal"),
            cpu_pressure=parse.pressure(read("proc/pressure/cpu"), "some"),
            memory_pressure=parse.pressure(read("proc/pressure/memory"), "full"),
            disk_pressure=parse.pressure(read("proc/pressure/io"), "full"),
            under_voltage=low,
            throttled=told.throttled if told else None,
            under_voltage_since_boot=told.under_voltage_since_boot if told else None,
            throttled_since_boot=told.throttled_since_boot if told else None,
        )
        return self.vitals

    def close(self) -> None:
        """Keep what was counted."""
        self._disk.close()
        self._link.close()
        self._vcgencmd.close()

    def _throttling(self, t_ns: int) -> Throttling | None:
        """Of the firmware's file, or of its program where the kernel has no such file."""
        file = self._tree.read(FIRMWARE)
        return parse.throttling(self._vcgencmd.read(t_ns) if file is None else file)

    def _find_alarm(self) -> str | None:
        """The firmware's under-voltage alarm, of the driver rpi_volt."""
        for folder in self._tree.names("sys/class/hwmon", "hwmon"):
            if parse.decode(self._tree.read(f"{folder}/name")) == "rpi_volt":
                return f"{folder}/in0_lcrit_alarm"
        return None


def _hottest(tree: ProcFs) -> float | None:
    """Of all zones that answer."""
    zones = tree.names("sys/class/thermal", "thermal_zone")
    readings = [parse.celsius(tree.read(f"{zone}/temp")) for zone in zones]
    return max((reading for reading in readings if reading is not None), default=None)
