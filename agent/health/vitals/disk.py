"""The disk under a folder: which one it is, how full, and how worn."""

import logging
import os
from pathlib import Path

import msgspec

from agent.base.health_model import DiskHealth
from agent.health.vitals import parse
from agent.health.vitals.disk_wear import Count, Seen, WearRecord, forecast
from agent.health.vitals.procfs import ProcFs

log = logging.getLogger(__name__)

BOOK = "disk-wear.json"
KEEP_EVERY_NS = 3600 * 1_000_000_000
_BOOK = msgspec.json.Decoder(WearRecord)


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """Of the file system that a folder is on."""

    free_bytes: int
    total_bytes: int


def space(folder: Path) -> Space | None:
    """How full it is; None where the folder is not there."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return Space(
        free_bytes=found.f_bavail * found.f_frsize, total_bytes=found.f_blocks * found.f_frsize
    )


class DiskMonitor:
    """The disk that the state folder is on. It keeps its book there, once an hour and at the end: a
    power cut loses an hour of counting.
    """

    def __init__(self, state: Path, tree: ProcFs) -> None:
        self._state = state
        self._tree = tree
        self._count = Count(_kept(state / BOOK))
        self._kept_ns: int | None = None
        self._folder = _block_folder(state, tree)

    def read(self, t_ns: int) -> DiskHealth:
        """How it is now. Time for a write is somebody else's to tell."""
        folder = self._folder
        if folder is None:
            return DiskHealth()
        used = parse.life_used(self._tree.read(f"{folder}/device/life_time"))
        written = parse.sectors_written_bytes(self._tree.read(f"{folder}/stat"))
        sectors = parse.count(self._tree.read(f"{folder}/size"))
        size_bytes = None if sectors is None else sectors * parse.SECTOR_BYTES
        seen = Seen(
            disk=self._identity(folder, sectors), t_ns=t_ns, boot_written_bytes=written, used=used
        )
        book = self._count.look(seen)
        self._keep_when_due(t_ns)
        ahead = forecast(book, used, size_bytes)
        return DiskHealth(
            device=folder.rpartition("/")[2],
            written_bytes=None if written is None else book.written_bytes,
            written_bytes_per_day=ahead.written_bytes_per_day,
            life_used=used,
            reserve=parse.reserve(self._tree.read(f"{folder}/device/pre_eol_info")),
            days_left=ahead.days_left,
            days_left_by=ahead.days_left_by,
        )

    def close(self) -> None:
        """Keep the book."""
        self._keep()

    def _identity(self, folder: str, sectors: int | None) -> str:
        """The card's own number where it has one, else its model and size."""
        for file in ("cid", "serial", "wwid", "model"):
            named = parse.decode(self._tree.read(f"{folder}/device/{file}"))
            if named:
                return f"{named} {sectors or 0}"
        return f"{folder.rpartition('/')[2]} {sectors or 0}"

    def _keep_when_due(self, t_ns: int) -> None:
        if self._kept_ns is None:
            self._kept_ns = t_ns
        elif t_ns - self._kept_ns >= KEEP_EVERY_NS:
            self._kept_ns = t_ns
            self._keep()

    def _keep(self) -> None:
        book = self._count.book
        if book is None:
            return
        fresh = self._state / f".{BOOK}.new"
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(book))
                file.flush()
                os.fdatasync(file.fileno())
            fresh.replace(self._state / BOOK)
        except OSError as error:
            log.warning("%s: not kept: %s", BOOK, error)


def _kept(file: Path) -> WearRecord | None:
    try:
        return _BOOK.decode(file.read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _block_folder(folder: Path, tree: ProcFs) -> str | None:
    """The whole disk's folder below /sys, such as `sys/devices/.../block/mmcblk0`."""
    try:
        device = folder.stat().st_dev
    except OSError:
        return None
    real = tree.real(f"sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if real is None:
        return None
    if (real / "partition").exists():
        real = real.parent
    try:
        return str(real.relative_to(tree.root.resolve()))
    except ValueError:
        return None
