"""What the board, the disk and the chain of custody say of themselves, without the agent."""

import os
from collections.abc import Iterator
from pathlib import Path

from agent.console.format import format_bytes
from agent.console.results import CheckResult
from agent.health.vitals import parse
from agent.health.vitals.machine import THROTTLED_FILE, soc_celsius
from agent.health.vitals.procfs import DEFAULT_ROOT, ProcFs
from agent.recording.custody.custody_log import CustodyLog

MAX_SOC_CELSIUS = 80.0
MIN_FREE_MEMORY_RATIO = 0.05
MAX_LOAD_PER_CORE = 2.0
"""Runnable programs for each core."""
MIN_FREE_DISK_BYTES = 200_000_000


def check_board(root: Path = DEFAULT_ROOT) -> Iterator[CheckResult]:
    """Supply, heat, memory, load. What is not there to be read is told as unknown."""
    procfs = ProcFs(root)
    yield _check_supply(procfs)
    celsius = soc_celsius(root)
    if celsius is None:
        yield CheckResult(subject="heat", ok=None, message="no sensor tells")
    else:
        yield _make_result("heat", celsius < MAX_SOC_CELSIUS, f"{celsius:.0f} C", "SYS-02")
    memory = procfs.read("proc/meminfo")
    free, total = (
        parse.kilobyte_field(memory, "MemAvailable"),
        parse.kilobyte_field(memory, "MemTotal"),
    )
    if free is None or not total:
        yield CheckResult(subject="memory", ok=None, message="unknown")
    else:
        message = f"{format_bytes(free)} of {format_bytes(total)} free"
        yield _make_result("memory", free > total * MIN_FREE_MEMORY_RATIO, message, "SYS-04")
    load = parse.load_average(procfs.read("proc/loadavg"))
    cores = parse.cores(procfs.read("sys/devices/system/cpu/online"))
    if load is None or not cores:
        yield CheckResult(subject="load", ok=None, message="unknown")
    else:
        message = f"{load:.1f} on {cores} cores"
        yield _make_result("load", load < cores * MAX_LOAD_PER_CORE, message, "SYS-05")


def _check_supply(procfs: ProcFs) -> CheckResult:
    throttling = parse.throttling(procfs.read(THROTTLED_FILE))
    if throttling is None:
        return CheckResult(subject="supply", ok=None, message="the board does not tell")
    if throttling.under_voltage or throttling.throttled:
        message = "too little voltage now" if throttling.under_voltage else "slowed down now"
        return _make_result("supply", False, message, "SYS-03")
    past_note = (
        ", but it was not always since the boot" if throttling.under_voltage_since_boot else ""
    )
    return CheckResult(subject="supply", ok=True, message=f"good now{past_note}")


def _make_result(subject: str, ok: bool, message: str, code: str) -> CheckResult:  # noqa: FBT001 - a verdict
    return CheckResult(subject=subject, ok=ok, message=message, code=None if ok else code)


def check_disk(state_dir: Path) -> CheckResult:
    """A small file is written, synced and removed."""
    subject = f"disk of {state_dir}"
    probe = state_dir / ".console-probe"
    try:
        probe_fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(probe_fd, b"0" * 4096)
            os.fsync(probe_fd)
        finally:
            os.close(probe_fd)
            probe.unlink()
        stats = os.statvfs(state_dir)
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        return CheckResult(subject=subject, ok=False, message=message, code="STO-02")
    free, total = stats.f_bavail * stats.f_frsize, stats.f_blocks * stats.f_frsize
    message = f"can be written, {format_bytes(free)} of {format_bytes(total)} free"
    return _make_result(subject, free > MIN_FREE_DISK_BYTES, message, "STO-05")


def check_custody_log(custody: CustodyLog | None, problem: str | None) -> CheckResult:
    """Whether it can be read and written: that this check was asked for stands in it by now."""
    if custody is None:
        message = problem or "there is none yet"
        return CheckResult(subject="receipts", ok=False, message=message, code="CUS-01")
    try:
        head = custody.head()
    except OSError as error:
        return CheckResult(subject="receipts", ok=False, message=str(error), code="CUS-01")
    return CheckResult(
        subject="receipts", ok=True, message=f"{head.seq}, the newest of {head.time}"
    )
