"""A machine of files: `proc` and `sys` of a board below a folder, to be changed by a test."""

import os
from pathlib import Path

MEMORY_KB = 4_000_000


class MachineTree:
    """A Raspberry Pi of four cores that is well: cool, idle, its supply good, on an eMMC."""

    def __init__(self, root: Path, state: Path) -> None:
        self.root = root
        self.set("proc/loadavg", "0.40 0.30 0.20 1/300 1234")
        self.memory(MEMORY_KB // 2)
        self.set("proc/self/status", "Name:\tvigie\nVmRSS:\t  150000 kB")
        for what in ("cpu", "memory", "io"):
            self.pressure(what, 0.0)
        self.set("sys/devices/system/cpu/online", "0-3")
        self.set("sys/devices/platform/soc/soc:firmware/get_throttled", "0")
        self.set("sys/class/hwmon/hwmon0/name", "cpu_thermal")
        self.set("sys/class/hwmon/hwmon1/name", "rpi_volt")
        self.set("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0")
        self.celsius(48.3)
        self._disk(state)
        self.set("proc/net/route", _ROUTE)
        self.set("sys/class/net/wwan0/operstate", "up")

    def set(self, path: str, text: str) -> None:
        """What a file says. As the kernel's files, it is never seen half written."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f".{file.name}")
        fresh.write_text(text + "\n")
        fresh.replace(file)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def celsius(self, value: float) -> None:
        self.set("sys/class/thermal/thermal_zone0/temp", str(round(value * 1000)))

    def memory(self, available_kb: int) -> None:
        self.set("proc/meminfo", f"MemTotal:  {MEMORY_KB} kB\nMemAvailable:    {available_kb} kB")

    def pressure(self, what: str, percent: float) -> None:
        some = f"some avg10={percent:.2f} avg60=0.00 avg300=0.00 total=0"
        self.set(f"proc/pressure/{what}", f"{some}\n{some.replace('some', 'full')}")

    def written(self, sectors: int) -> None:
        self.set(f"{self.disk}/stat", f"1 0 8 9 5 0 {sectors} 7 0 0 0 0 0 0 0 0 0")

    def _disk(self, state: Path) -> None:
        """An eMMC with one partition, which the state folder is on."""
        self.disk = "sys/devices/platform/emmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0"
        card = self.disk.removesuffix("/block/mmcblk0")
        self.written(0)
        self.set(f"{self.disk}/size", str(32_000_000_000 // 512))
        self.set(f"{self.disk}/mmcblk0p2/partition", "2")
        self.set(f"{card}/cid", "150100424a544434520776e9e5b16700")
        self.set(f"{card}/life_time", "0x01 0x02")
        self.set(f"{card}/pre_eol_info", "0x01")
        (self.root / self.disk / "device").symlink_to(self.root / card)
        number = state.stat().st_dev
        block = self.root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}"
        block.parent.mkdir(parents=True)
        block.symlink_to(self.root / self.disk / "mmcblk0p2")


_ROUTE = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "wwan0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0"
)
