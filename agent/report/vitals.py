"""The machine's own condition, from proc(5), sysfs and statvfs(3). Unknown is None, never zero."""

import os
from pathlib import Path

from agent.model import Vitals

ROOT = Path("/")


def read(state_folder: Path, root: Path = ROOT) -> Vitals:
    """The machine as it is now. `root` is where `proc` and `sys` are looked for.

    Space is that of the file system that `state_folder` is on.
    """
    disk = _disk(state_folder)
    return Vitals(
        soc_celsius=soc_celsius(root),
        load_1min=_first_float(root / "proc/loadavg"),
        memory_available_bytes=_kilobytes(root / "proc/meminfo", "MemAvailable"),
        agent_rss_bytes=_kilobytes(root / "proc/self/status", "VmRSS"),
        disk_free_bytes=None if disk is None else disk.f_bavail * disk.f_frsize,
        disk_total_bytes=None if disk is None else disk.f_blocks * disk.f_frsize,
    )


def soc_celsius(root: Path = ROOT) -> float | None:
    """How warm the hottest part of the processor is."""
    return _hottest_celsius(root / "sys/class/thermal")


def _disk(folder: Path) -> os.statvfs_result | None:
    try:
        return os.statvfs(folder)
    except OSError:
        return None


def _text(file: Path) -> str:
    """A file's text; empty where it is not there or not text, as a broken sensor gives it."""
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _first_float(file: Path) -> float | None:
    words = _text(file).split()
    try:
        return float(words[0]) if words else None
    except ValueError:
        return None


def _hottest_celsius(zones: Path) -> float | None:
    """Of all zones that answer; each gives thousandths of a degree (sysfs-class-thermal)."""
    readings = [_first_float(zone / "temp") for zone in sorted(zones.glob("thermal_zone*"))]
    known = [reading / 1000 for reading in readings if reading is not None]
    return max(known) if known else None


def _kilobytes(file: Path, key: str) -> int | None:
    """A line such as `VmRSS:     5812 kB`, in bytes."""
    for line in _text(file).splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if name == key and len(words) == 2 and words[0].isdigit() and words[1] == "kB":  # noqa: PLR2004 number and unit
            return int(words[0]) * 1024
    return None
