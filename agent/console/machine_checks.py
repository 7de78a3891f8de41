"""Checks of the board, the disk and the custody log that need no agent."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.base.atomic_file import sync
from agent.base.health_model import SupplyHealth
from agent.base.message import Message, Text, join_phrases
from agent.console.check_result import (
    CheckResult,
    failed,
    not_applicable,
    passed,
    passed_if,
    unknown,
)
from agent.console.text_format import format_bytes, format_duration
from agent.health.degradation import space_ratio
from agent.health.machine_faults import (
    DISK_SUBJECT,
    MAX_LOAD_PER_CORE,
    MAX_SOC_CELSIUS,
    MIN_MEMORY_FREE_RATIO,
    STATE_DISK_SUBJECT,
)
from agent.health.vitals import parse
from agent.health.vitals.disk import DiskSpace, read_footage_space, read_space
from agent.health.vitals.machine import THROTTLED_FILE, soc_celsius
from agent.health.vitals.power_supply import read_supplies
from agent.health.vitals.procfs import DEFAULT_ROOT, ProcFs
from agent.recording.custody.custody_log import CustodyLog
from agent.update.bootloader import find_firmware_problem

LARGEST_ENTRIES = 4
MIN_BATTERY_S, MIN_BATTERY_PERCENT = 600, 10
"""Below either a battery that discharges fails its check."""
_SUPPLY_ADVICE = Message(
    "Measure the supply at the box with its load. Check its plug, then replace the supply."
)
_BATTERY_ADVICE = Message(
    "The mains is away and the battery is nearly empty: restore the mains first."
)
_ONLINE_WORDS = {True: Message("on"), False: Message("off")}
_STATUS_WORDS: Mapping[str, Text] = {
    "Charging": Message("charging"),
    "Discharging": Message("discharging"),
    "Not charging": Message("not charging"),
    "Full": Message("full"),
}
"""Of power_supply_core.c."""


def check_board(root: Path = DEFAULT_ROOT) -> Iterator[CheckResult]:
    """Check supplies, temperature, memory, load and boot loader; a reading that is missing is unknown."""
    procfs = ProcFs(root)
    yield _check_supply(procfs)
    yield from map(_check_power_supply, read_supplies(procfs))
    celsius = soc_celsius(root)
    if celsius is None:
        yield unknown(Message("heat"), Message("the board has no sensor"))
    else:
        yield passed_if(
            Message("heat"),
            Message("{celsius:.0f} C", celsius=celsius),
            ok=celsius < MAX_SOC_CELSIUS,
            code="SYS-02",
        )
    memory = procfs.read("proc/meminfo")
    free, total = (
        parse.kilobyte_field(memory, "MemAvailable"),
        parse.kilobyte_field(memory, "MemTotal"),
    )
    if free is None or not total:
        yield unknown(Message("memory"), Message("unknown"))
    else:
        message = Message(
            "{free} of {total} free", free=format_bytes(free), total=format_bytes(total)
        )
        is_enough = free >= total * MIN_MEMORY_FREE_RATIO
        yield passed_if(Message("memory"), message, ok=is_enough, code="SYS-04")
    load = parse.load_average(procfs.read("proc/loadavg"))
    cores = parse.cores(procfs.read("sys/devices/system/cpu/online"))
    if load is None or not cores:
        yield unknown(Message("load"), Message("unknown"))
    else:
        message = Message("{load:.1f} on {cores} cores", load=load, cores=cores)
        yield passed_if(
            Message("load"), message, ok=load < cores * MAX_LOAD_PER_CORE, code="SYS-05"
        )
    device_tree = root / "proc/device-tree"
    if (device_tree / "chosen/bootloader").is_dir():
        problem = find_firmware_problem(device_tree)
        yield (
            passed(Message("boot loader"), Message("can try a slot"))
            if problem is None
            else failed(Message("boot loader"), problem)
        )


def _check_supply(procfs: ProcFs) -> CheckResult:
    throttling = parse.throttling(procfs.read(THROTTLED_FILE))
    if throttling is None:
        return unknown(Message("supply"), Message("the board does not report it"))
    if throttling.under_voltage or throttling.throttled:
        message = (
            Message("under-voltage now") if throttling.under_voltage else Message("throttled now")
        )
        return passed_if(Message("supply"), message, ok=False, code="SYS-03")
    message = (
        Message("good now, but under-voltage since the boot")
        if throttling.under_voltage_since_boot
        else Message("good now")
    )
    return passed_if(Message("supply"), message, ok=True, code="SYS-03")


def _check_power_supply(supply: SupplyHealth) -> CheckResult:
    subject, readings = Message("supply {name}", name=supply.name), describe_supply(supply)
    if supply.health not in (None, "Good", "Unknown"):
        return failed(subject, readings, advice=_SUPPLY_ADVICE)
    if supply.status == "Discharging" and (
        _is_below(supply.time_to_empty_s, MIN_BATTERY_S)
        or _is_below(supply.charge_percent, MIN_BATTERY_PERCENT)
    ):
        return failed(subject, readings, advice=_BATTERY_ADVICE)
    if supply.is_online is False:
        return not_applicable(subject, readings)
    return passed(subject, readings)


def _is_below(reading: int | None, minimum: int) -> bool:
    return reading is not None and reading < minimum


def describe_supply(supply: SupplyHealth) -> Text:
    """Return the readings of a supply, as far as it reports them."""
    return join_phrases(
        None if supply.is_online is None else _ONLINE_WORDS[supply.is_online],
        None if supply.status is None else _STATUS_WORDS.get(supply.status, supply.status),
        None
        if supply.health in (None, "Good", "Unknown")
        else Message("reports {health}", health=supply.health),
        None if supply.volts is None else Message("{volts:.2f} V", volts=supply.volts),
        None if supply.amperes is None else Message("{amperes:.2f} A", amperes=supply.amperes),
        None
        if supply.charge_percent is None
        else Message("{percent} % charged", percent=supply.charge_percent),
        None
        if supply.time_to_empty_s is None
        else Message("{duration} left", duration=format_duration(supply.time_to_empty_s)),
    )


def check_disks(state_dir: Path, footage_dir: Path) -> Iterator[CheckResult]:
    """Check the file system of the state folder, and that of the footage if it is another."""
    state = read_space(state_dir)
    footage = read_footage_space(footage_dir, state)
    if footage is state:
        yield _check_disk(state_dir, state, DISK_SUBJECT)
    else:
        yield _check_disk(state_dir, state, STATE_DISK_SUBJECT)
        yield _check_disk(footage_dir, footage, DISK_SUBJECT)


def _check_disk(folder: Path, space: DiskSpace | None, fault_subject: str) -> CheckResult:
    """Write, flush and remove a small file, and check the free space."""
    subject = Message("disk of {folder}", folder=str(folder))
    probe = folder / ".console-probe"
    try:
        probe_fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(probe_fd, b"0" * 4096)
            sync(probe_fd)
        finally:
            os.close(probe_fd)
            probe.unlink()
    except OSError as error:
        reason = str(error.strerror or error)
        return failed(subject, Message("cannot be written: {reason}", reason=reason), "STO-02")
    if space is None:
        return unknown(subject, Message("can be written, its free space is unknown"))
    message = Message(
        "can be written, {free} of {total} free",
        free=format_bytes(space.free_bytes),
        total=format_bytes(space.total_bytes),
    )
    ratio = space_ratio(space.free_bytes, space.total_bytes)
    if ratio is not None and ratio < 1:
        message = Message(
            "{finding}; the largest: {folders}",
            finding=message,
            folders=", ".join(_largest_entries(folder)),
        )
    return passed_if(
        subject,
        message,
        ok=ratio is None or ratio >= 1,
        code="STO-05",
        fault_subject=fault_subject,
    )


def _largest_entries(folder: Path) -> list[str]:
    """Return the largest files and folders of a folder, with their sizes."""
    sizes = sorted(((_tree_bytes(entry), entry.name) for entry in folder.iterdir()), reverse=True)
    return [f"{name} {format_bytes(size)}" for size, name in sizes[:LARGEST_ENTRIES]]


def _tree_bytes(path: Path) -> int:
    """Return the size of a file, or of all files below a folder; what cannot be read counts as 0."""
    try:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            return status.st_blocks * 512
        return sum(_tree_bytes(child) for child in path.iterdir())
    except OSError:
        return 0


def check_custody_log(custody: CustodyLog) -> CheckResult:
    """Read the head of the custody log; the receipt of this very check has been written by now."""
    try:
        head = custody.head()
    except OSError as error:
        return failed(Message("receipts"), str(error), "CUS-01")
    message = Message("{seq}, the newest of {time}", seq=head.seq, time=head.time)
    return passed(Message("receipts"), message)
