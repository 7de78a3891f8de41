"""Files of devices under /dev: their stable links, and the processes that have them open, as far as this user may see them."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

PROC = Path("/proc")

DeviceHolders = Mapping[int, tuple[str, ...]]
"""Processes such as `process 812 (vigie)` by the number (`st_rdev`) of the device they have open."""


def find_holders(proc: Path = PROC) -> DeviceHolders:
    """Return the processes that have devices open, without this one. No device is opened."""
    found: dict[int, set[str]] = {}
    for process in proc.iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it ended, or is another user's
            for device in _open_devices(process):
                found.setdefault(device, set()).add(
                    f"process {process.name} ({_process_name(process)})"
                )
    return {device: tuple(sorted(names)) for device, names in found.items()}


def _open_devices(process: Path) -> set[int]:
    devices = set()
    for link in (process / "fd").iterdir():
        with contextlib.suppress(OSError):
            # Only files in /dev: stat of a file on a dead server would hang.
            if str(link.readlink()).startswith("/dev/"):
                devices.add(link.stat().st_rdev)
    return devices


def _process_name(process: Path) -> str:
    return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()


def stable_names(folder: Path) -> Mapping[str, str]:
    """Return the links of a folder by their target; of two with one target, the first."""
    with contextlib.suppress(OSError):
        return {
            os.path.realpath(link): str(link) for link in sorted(folder.iterdir(), reverse=True)
        }
    return {}
