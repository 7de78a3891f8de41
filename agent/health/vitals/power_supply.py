"""Volts, amperes and battery time of supplies that report them: sysfs-class-power, and power monitors of sysfs-class-hwmon.

A PoE HAT, a UPS HAT and a battery are a power supply of the kernel; an INA2xx on the supply's line is a hwmon chip with
`in1_input` and `curr1_input`.
"""

from agent.base.health_model import SupplyHealth
from agent.health.vitals import parse
from agent.health.vitals.procfs import ProcFs


def read_supplies(procfs: ProcFs) -> tuple[SupplyHealth, ...]:
    """Return the supplies that report a reading, those of the kernel first."""
    supplies = [
        _read_supply(procfs, folder) for folder in procfs.list_paths("sys/class/power_supply", "")
    ]
    monitors = [
        _read_monitor(procfs, folder) for folder in procfs.list_paths("sys/class/hwmon", "hwmon")
    ]
    found = (*supplies, *(monitor for monitor in monitors if monitor.amperes is not None))
    return tuple(one for one in found if one != SupplyHealth(name=one.name))


def _read_supply(procfs: ProcFs, folder: str) -> SupplyHealth:
    def read_file(name: str) -> bytes | None:
        return procfs.read(f"{folder}/{name}")

    return SupplyHealth(
        name=folder.rpartition("/")[2],
        is_online=parse.alarm(read_file("online")),
        status=parse.decode(read_file("status")) or None,
        health=parse.decode(read_file("health")) or None,
        volts=parse.scaled(read_file("voltage_now"), 1e6),
        amperes=parse.scaled(read_file("current_now"), 1e6),
        charge_percent=parse.unsigned(read_file("capacity")),
        time_to_empty_s=parse.unsigned(read_file("time_to_empty_now")),
    )


def _read_monitor(procfs: ProcFs, folder: str) -> SupplyHealth:
    name = parse.decode(procfs.read(f"{folder}/name"))
    return SupplyHealth(
        name=name or folder.rpartition("/")[2],
        volts=parse.scaled(procfs.read(f"{folder}/in1_input"), 1e3),
        amperes=parse.scaled(procfs.read(f"{folder}/curr1_input"), 1e3),
    )
