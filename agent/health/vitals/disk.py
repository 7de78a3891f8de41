"""Disk of the state folder: its device, write volume and wear; free space there and of the footage."""

import logging
import os
from pathlib import Path

import msgspec

from agent.base.health_model import DiskHealth
from agent.base.state_file import StateFile
from agent.health.vitals import parse
from agent.health.vitals.disk_wear import WearCounter, WearReading, WearRecord, forecast
from agent.health.vitals.procfs import ProcFs

log = logging.getLogger(__name__)

WEAR_FILE = "disk-wear.json"
SAVE_INTERVAL_NS = 3600 * 1_000_000_000


class DiskSpace(msgspec.Struct, frozen=True, kw_only=True):
    """Free and total bytes of a file system."""

    free_bytes: int
    total_bytes: int


def read_space(folder: Path) -> DiskSpace | None:
    """Return the space of a folder's file system, or None if the folder is missing."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return DiskSpace(
        free_bytes=found.f_bavail * found.f_frsize, total_bytes=found.f_blocks * found.f_frsize
    )


def read_footage_space(footage_dir: Path, state_space: DiskSpace | None) -> DiskSpace | None:
    """Return the space of the footage: that of the state folder unless it has a file system of its own.

    Two readings of one file system would differ, because the agent writes in between.
    """
    try:
        is_mounted = footage_dir.stat().st_dev != footage_dir.parent.stat().st_dev
    except OSError:
        return state_space
    return read_space(footage_dir) if is_mounted else state_space


class DiskMonitor:
    """Reads the disk of the state folder and counts its writes.

    The wear record is stored hourly and at the end: a power cut loses an hour of counting.
    """

    def __init__(self, state_dir: Path, procfs: ProcFs) -> None:
        self._procfs = procfs
        self._wear_file = StateFile(state_dir / WEAR_FILE, WearRecord)
        self._wear_counter = WearCounter(self._wear_file.load())
        self._saved_ns: int | None = None
        self._device_dir = _find_block_dir(state_dir, procfs)

    def read(self, t_ns: int) -> DiskHealth:
        """Read the disk. `write_ms` is left None: the flight recorder measures it."""
        device_dir = self._device_dir
        if device_dir is None:
            return DiskHealth()
        life_used = parse.life_used(self._procfs.read(f"{device_dir}/device/life_time"))
        written = parse.sectors_written_bytes(self._procfs.read(f"{device_dir}/stat"))
        sectors = parse.unsigned(self._procfs.read(f"{device_dir}/size"))
        size_bytes = None if sectors is None else sectors * parse.SECTOR_BYTES
        reading = WearReading(
            disk=self._identity(device_dir, sectors),
            t_ns=t_ns,
            boot_written_bytes=written,
            life_used=life_used,
        )
        record = self._wear_counter.update(reading)
        self._save_if_due(t_ns)
        wear_forecast = forecast(record, life_used, size_bytes)
        return DiskHealth(
            device=device_dir.rpartition("/")[2],
            written_bytes=None if written is None else record.written_bytes,
            written_bytes_per_day=wear_forecast.written_bytes_per_day,
            life_used=life_used,
            reserve=parse.reserve(self._procfs.read(f"{device_dir}/device/pre_eol_info")),
            days_left=wear_forecast.days_left,
            days_left_basis=wear_forecast.days_left_basis,
        )

    def close(self) -> None:
        """Store the wear record."""
        self._save()

    def _identity(self, folder: str, sectors: int | None) -> str:
        """Return the card's serial number, or its model, with the size."""
        for file in ("cid", "serial", "wwid", "model"):
            identifier = parse.decode(self._procfs.read(f"{folder}/device/{file}"))
            if identifier:
                return f"{identifier} {sectors or 0}"
        return f"{folder.rpartition('/')[2]} {sectors or 0}"

    def _save_if_due(self, t_ns: int) -> None:
        if self._saved_ns is None:
            self._saved_ns = t_ns
        elif t_ns - self._saved_ns >= SAVE_INTERVAL_NS:
            self._saved_ns = t_ns
            self._save()

    def _save(self) -> None:
        record = self._wear_counter.record
        if record is None:
            return
        try:
            self._wear_file.write(record)
        except OSError as error:
            log.warning("%s: not stored: %s", self._wear_file.path, error)


def _find_block_dir(folder: Path, procfs: ProcFs) -> str | None:
    """Return the whole disk's folder in sysfs, such as `sys/devices/.../block/mmcblk0`."""
    try:
        device = folder.stat().st_dev
    except OSError:
        return None
    resolved = procfs.resolve(f"sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if resolved is None:
        return None
    if (resolved / "partition").exists():
        resolved = resolved.parent
    try:
        return str(resolved.relative_to(procfs.root.resolve()))
    except ValueError:
        return None
