"""Vitals of the machine, once a second, from proc(5), sysfs and statvfs(3)."""

from pathlib import Path

from agent.base.health_model import DiskHealth, LinkHealth, SupplyHealth, Vitals
from agent.config.recording import FOOTAGE_DIR
from agent.health.vitals import parse
from agent.health.vitals.disk import DiskMonitor, read_footage_space, read_space
from agent.health.vitals.network_link import NetworkLink
from agent.health.vitals.parse import Throttling
from agent.health.vitals.polled_command import PolledCommand
from agent.health.vitals.power_supply import read_supplies
from agent.health.vitals.procfs import DEFAULT_ROOT, ProcFs
from agent.runtime.pause import Pause

SLOW_INTERVAL_S = 10.0
"""The interval of readings that change slowly or cost more: disk, link, and the search for an alarm."""

THROTTLED_FILE = "sys/devices/platform/soc/soc:firmware/get_throttled"
THROTTLED_COMMAND = ("vcgencmd", "get_throttled")


def soc_celsius(root: Path = DEFAULT_ROOT) -> float | None:
    """Return the temperature of the processor's hottest zone, or None without a sensor."""
    return _read_hottest(ProcFs(root))


class MachineMonitor:
    """Reads the machine. `read` is called by one thread; the attributes may be read from any.

    `root` contains `proc` and `sys`; `search_path` lists the folders of programs, as PATH does.
    """

    def __init__(
        self, state_dir: Path, root: Path = DEFAULT_ROOT, search_path: str | None = None
    ) -> None:
        self._state_dir = state_dir
        self._procfs = ProcFs(root)
        self._disk_monitor = DiskMonitor(state_dir, self._procfs)
        self._network_link = NetworkLink(self._procfs, search_path)
        self._vcgencmd = PolledCommand(THROTTLED_COMMAND, search_path)
        self._alarm_path = self._find_alarm()
        self._cores = parse.cores(self._procfs.read("sys/devices/system/cpu/online"))
        self._supplies: tuple[SupplyHealth, ...] = ()
        self._slow_read_pause = Pause()
        self.vitals = Vitals(
            soc_celsius=None,
            load_1min=None,
            memory_available_bytes=None,
            agent_rss_bytes=None,
            state_free_bytes=None,
            state_total_bytes=None,
            footage_free_bytes=None,
            footage_total_bytes=None,
        )
        self.disk = DiskHealth()
        self.link = LinkHealth()

    def read(self, t_ns: int) -> Vitals:
        """Read the vitals, and every ten seconds the disk, the link and the supplies too."""
        if self._slow_read_pause.is_over(t_ns):
            self._slow_read_pause.begin(t_ns, SLOW_INTERVAL_S)
            self.disk = self._disk_monitor.read(t_ns)
            self.link = self._network_link.read(t_ns)
            self._supplies = read_supplies(self._procfs)
            self._alarm_path = self._alarm_path or self._find_alarm()
        read_file = self._procfs.read
        memory = read_file("proc/meminfo")
        state = read_space(self._state_dir)
        footage = read_footage_space(self._state_dir / FOOTAGE_DIR, state)
        throttling = self._throttling(t_ns)
        under_voltage = (
            None if self._alarm_path is None else parse.alarm(read_file(self._alarm_path))
        )
        if throttling is not None:
            under_voltage = throttling.under_voltage or bool(under_voltage)
        self.vitals = Vitals(
            soc_celsius=_read_hottest(self._procfs),
            load_1min=parse.load_average(read_file("proc/loadavg")),
            memory_available_bytes=parse.kilobyte_field(memory, "MemAvailable"),
            agent_rss_bytes=parse.kilobyte_field(read_file("proc/self/status"), "VmRSS"),
            state_free_bytes=None if state is None else state.free_bytes,
            state_total_bytes=None if state is None else state.total_bytes,
            footage_free_bytes=None if footage is None else footage.free_bytes,
            footage_total_bytes=None if footage is None else footage.total_bytes,
            cores=self._cores,
            memory_total_bytes=parse.kilobyte_field(memory, "MemTotal"),
            cpu_pressure=parse.pressure(read_file("proc/pressure/cpu"), "some"),
            memory_pressure=parse.pressure(read_file("proc/pressure/memory"), "full"),
            disk_pressure=parse.pressure(read_file("proc/pressure/io"), "full"),
            under_voltage=under_voltage,
            throttled=throttling.throttled if throttling else None,
            under_voltage_since_boot=throttling.under_voltage_since_boot if throttling else None,
            throttled_since_boot=throttling.throttled_since_boot if throttling else None,
            supplies=self._supplies,
        )
        return self.vitals

    def close(self) -> None:
        """Store the disk's wear record."""
        self._disk_monitor.close()
        self._network_link.close()
        self._vcgencmd.close()

    def _throttling(self, t_ns: int) -> Throttling | None:
        """Read the firmware's file, or run its program if the kernel has no such file."""
        file = self._procfs.read(THROTTLED_FILE)
        return parse.throttling(self._vcgencmd.read(t_ns) if file is None else file)

    def _find_alarm(self) -> str | None:
        """Return the path of the firmware's under-voltage alarm, of the driver rpi_volt."""
        for folder in self._procfs.list_paths("sys/class/hwmon", "hwmon"):
            if parse.decode(self._procfs.read(f"{folder}/name")) == "rpi_volt":
                return f"{folder}/in0_lcrit_alarm"
        return None


def _read_hottest(procfs: ProcFs) -> float | None:
    """Return the highest temperature of the zones that can be read."""
    zones = procfs.list_paths("sys/class/thermal", "thermal_zone")
    readings = [parse.celsius(procfs.read(f"{zone}/temp")) for zone in zones]
    return max((reading for reading in readings if reading is not None), default=None)
