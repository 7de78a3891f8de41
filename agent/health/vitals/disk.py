"""The disk under a folder: which one it is, how full, and how worn."""

import logging
import os
from pathlib import Path

import msgspec

from agent.base.health_model import DiskHealth
from agent.health.vitals import parse
from agent.health.vitals.disk_wear import WearCounter, WearReading, WearRecord, forecast
from agent.health.vitals.procfs import ProcFs

log = logging.getLogger(__name__)

WEAR_FILE = "disk-wear.json"
SAVE_INTERVAL_NS = 3600 * 1_000_000_000
_WEAR_DECODER = msgspec.json.Decoder(WearRecord)


class DiskSpace(msgspec.Struct, frozen=True, kw_only=True):
    """Of the file system that a folder is on."""

    free_bytes: int
    total_bytes: int


def read_space(folder: Path) -> DiskSpace | None:
    """How full it is; None where the folder is not there."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return DiskSpace(
        free_bytes=found.f_bavail * found.f_frsize, total_bytes=found.f_blocks * found.f_frsize
    )


class DiskMonitor:
    """The disk that the state folder is on. It keeps its book there, once an hour and at the end: a
    power cut loses an hour of counting.
    """

    def __init__(self, state_dir: Path, procfs: ProcFs) -> None:
        self._state_dir = state_dir
        self._procfs = procfs
        self._wear_counter = WearCounter(_load_record(state_dir / WEAR_FILE))
        self._saved_ns: int | None = None
        self._device_dir = _find_block_dir(state_dir, procfs)

    def read(self, t_ns: int) -> DiskHealth:
        """How it is now. Time for a write is somebody else's to tell."""
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
        """Keep the book."""
        self._save()

    def _identity(self, folder: str, sectors: int | None) -> str:
        """The card's own number where it has one, else its model and size."""
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
        temp_path = self._state_dir / f".{WEAR_FILE}.new"
        try:
            with temp_path.open("wb") as file:
                file.write(msgspec.json.encode(record))
                file.flush()
                os.fdatasync(file.fileno())
            temp_path.replace(self._state_dir / WEAR_FILE)
        except OSError as error:
            log.warning("%s: not kept: %s", WEAR_FILE, error)


def _load_record(file: Path) -> WearRecord | None:
    try:
        return _WEAR_DECODER.decode(file.read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _find_block_dir(folder: Path, procfs: ProcFs) -> str | None:
    """The whole disk's folder below /sys, such as `sys/devices/.../block/mmcblk0`."""
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
