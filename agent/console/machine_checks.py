"""What the board, the disk and the chain of custody say of themselves, without the agent."""

import os
from collections.abc import Iterator
from pathlib import Path

from agent.console.format import bytes_told
from agent.console.results import CheckResult
from agent.health.vitals import parse
from agent.health.vitals.machine import FIRMWARE, soc_celsius
from agent.health.vitals.procfs import ROOT, ProcFs
from agent.recording.custody.custody_log import CustodyLog

HOT_CELSIUS = 80.0
LITTLE_MEMORY = 0.05
LOADED = 2.0
"""Runnable programs for each core."""
NEARLY_FULL_BYTES = 200_000_000


def board(root: Path = ROOT) -> Iterator[CheckResult]:
    """Supply, heat, memory, load. What is not there to be read is told as unknown."""
    tree = ProcFs(root)
    yield _supply(tree)
    celsius = soc_celsius(root)
    if celsius is None:
        yield CheckResult(what="heat", good=None, said="no sensor tells")
    else:
        yield _judged("heat", celsius < HOT_CELSIUS, f"{celsius:.0f} C", "SYS-02")
    memory = tree.read("proc/meminfo")
    free, total = parse.kilobytes(memory, "MemAvailable"), parse.kilobytes(memory, "MemTotal")
    if free is None or not total:
        yield CheckResult(what="memory", good=None, said="unknown")
    else:
        said = f"{bytes_told(free)} of {bytes_told(total)} free"
        yield _judged("memory", free > total * LITTLE_MEMORY, said, "SYS-04")
    load = parse.load(tree.read("proc/loadavg"))
    cores = parse.cores(tree.read("sys/devices/system/cpu/online"))
    if load is None or not cores:
        yield CheckResult(what="load", good=None, said="unknown")
    else:
        said = f"{load:.1f} on {cores} cores"
        yield _judged("load", load < cores * LOADED, said, "SYS-05")


def _supply(tree: ProcFs) -> CheckResult:
    told = parse.throttling(tree.read(FIRMWARE))
    if told is None:
        return CheckResult(what="supply", good=None, said="the board does not tell")
    if told.under_voltage or told.throttled:
        said = "too little voltage now" if told.under_voltage else "slowed down now"
        return _judged("supply", False, said, "SYS-03")
    was = ", but it was not always since the boot" if told.under_voltage_since_boot else ""
    return CheckResult(what="supply", good=True, said=f"good now{was}")


def _judged(what: str, good: bool, said: str, code: str) -> CheckResult:  # noqa: FBT001 - a verdict
    return CheckResult(what=what, good=good, said=said, code=None if good else code)


def disk(state: Path) -> CheckResult:
    """A small file is written, synced and removed."""
    what = f"disk of {state}"
    probe = state / ".console-probe"
    try:
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, b"0" * 4096)
            os.fsync(handle)
        finally:
            os.close(handle)
            probe.unlink()
        room = os.statvfs(state)
    except OSError as error:
        said = f"cannot be written: {error.strerror or error}"
        return CheckResult(what=what, good=False, said=said, code="STO-02")
    free, total = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    said = f"can be written, {bytes_told(free)} of {bytes_told(total)} free"
    return _judged(what, free > NEARLY_FULL_BYTES, said, "STO-05")


def chain(custody: CustodyLog | None, problem: str | None) -> CheckResult:
    """Whether it can be read and written: that this check was asked for stands in it by now."""
    if custody is None:
        said = problem or "there is none yet"
        return CheckResult(what="receipts", good=False, said=said, code="CUS-01")
    try:
        head = custody.head()
    except OSError as error:
        return CheckResult(what="receipts", good=False, said=str(error), code="CUS-01")
    return CheckResult(what="receipts", good=True, said=f"{head.seq}, the newest of {head.time}")
