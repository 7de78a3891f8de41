"""A machine of files: `proc` and `sys` of a board below a folder, to be changed by a test."""

import os
from pathlib import Path

MEMORY_KB = 4_000_000


class FakeProcFs:
    """A Raspberry Pi of four cores that is well: cool, idle, its supply good, on an eMMC."""

    def __init__(self, root: Path, state: Path) -> None:
        self.root = root
        self.write_file("proc/cmdline", "quiet root=/dev/mmcblk0p2")
        self.write_file("proc/loadavg", "0.40 0.30 0.20 1/300 1234")
        self.set_memory(MEMORY_KB // 2)
        self.write_file("proc/self/status", "Name:\tvigie\nVmRSS:\t  150000 kB")
        for resource in ("cpu", "memory", "io"):
            self.set_pressure(resource, 0.0)
        self.write_file("sys/devices/system/cpu/online", "0-3")
        self.write_file("sys/devices/platform/soc/soc:firmware/get_throttled", "0")
        self.write_file("sys/class/hwmon/hwmon0/name", "cpu_thermal")
        self.write_file("sys/class/hwmon/hwmon1/name", "rpi_volt")
        self.write_file("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0")
        self.set_celsius(48.3)
        self._write_disk(state)
        self.write_file("proc/net/route", _ROUTE)
        self.write_file("sys/class/net/wwan0/operstate", "up")

    def write_file(self, path: str, text: str) -> None:
        """Write a file. Like the kernel's files, it is never half written."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}")
        unfinished.write_text(text + "\n")
        unfinished.replace(file)

    def remove_file(self, path: str) -> None:
        (self.root / path).unlink()

    def set_celsius(self, value: float) -> None:
        self.write_file("sys/class/thermal/thermal_zone0/temp", str(round(value * 1000)))

    def set_memory(self, available_kb: int) -> None:
        self.write_file(
            "proc/meminfo", f"MemTotal:  {MEMORY_KB} kB\nMemAvailable:    {available_kb} kB"
        )

    def set_pressure(self, resource: str, percent: float) -> None:
        some = f"some avg10={percent:.2f} avg60=0.00 avg300=0.00 total=0"
        self.write_file(f"proc/pressure/{resource}", f"{some}\n{some.replace('some', 'full')}")

    def set_written_sectors(self, sectors: int) -> None:
        self.write_file(f"{self.disk}/stat", f"1 0 8 9 5 0 {sectors} 7 0 0 0 0 0 0 0 0 0")

    def _write_disk(self, state: Path) -> None:
        """An eMMC with one partition, which the state folder is on."""
        self.disk = "sys/devices/platform/emmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0"
        card = self.disk.removesuffix("/block/mmcblk0")
        self.set_written_sectors(0)
        self.write_file(f"{self.disk}/size", str(32_000_000_000 // 512))
        self.write_file(f"{self.disk}/mmcblk0p2/partition", "2")
        self.write_file(f"{card}/cid", "150100424a544434520776e9e5b16700")
        self.write_file(f"{card}/life_time", "0x01 0x02")
        self.write_file(f"{card}/pre_eol_info", "0x01")
        (self.root / self.disk / "device").symlink_to(self.root / card)
        number = state.stat().st_dev
        block = self.root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}"
        block.parent.mkdir(parents=True)
        block.symlink_to(self.root / self.disk / "mmcblk0p2")


_ROUTE = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "wwan0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0"
)
