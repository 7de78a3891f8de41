"""Disks of this machine and their users, from sysfs and procfs."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from agent.health.vitals.procfs import ProcFs

_SYS_BLOCK = "sys/class/block"
_SECTOR_BYTES = 512
_USB = re.compile(r"/usb\d+/")
_ATA = re.compile(r"/ata\d+/")
_MAX_MODEL_CHARS = 60
_MAX_STACK_DEPTH = 8
_MAX_DIGITS = 18
_MIN_MOUNTINFO_FIELDS = 10


class DiskUser(msgspec.Struct, frozen=True, kw_only=True):
    """A use of a disk, or of a partition or stacked device on it (`device`)."""

    device: str
    kind: str
    """`mounted`, `swap` or `held`."""
    used_by: str = ""
    """The mount point, or the name of the device that holds it."""


class BlockDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A block device."""

    name: str
    size_bytes: int
    model: str
    bus: str
    """`usb`, `sd`, `emmc`, `nvme`, `sata`, `virtual` or `built in`."""
    kernel_removable: bool
    """The kernel's flag, which is false for most card slots."""
    read_only: bool
    sector_bytes: int = _SECTOR_BYTES
    parent: str | None
    """The whole disk, if this is a partition."""
    users: tuple[DiskUser, ...]
    diskseq: str = ""
    """The kernel's sequence number of this medium, unique until the next boot; empty before Linux 5.15:
    ABI/testing/sysfs-block, diskseq."""

    @property
    def path(self) -> str:
        """The device file."""
        return f"/dev/{self.name}"

    @property
    def is_removable(self) -> bool:
        """Whether it is a card, a USB disk, or a board on a USB cable."""
        return self.kernel_removable or self.bus in ("usb", "sd")

    def is_same_disk(self, other: "BlockDevice") -> bool:
        """Return whether this is the same medium, not another card in the same slot."""
        mine, others = (
            (device.name, device.diskseq, device.size_bytes, device.model)
            for device in (self, other)
        )
        return mine == others

    def __str__(self) -> str:
        facts = (self.model, format_size(self.size_bytes), self.bus)
        return f"{self.path} ({', '.join(fact for fact in facts if fact)})"


def format_size(size_bytes: int) -> str:
    """Return a size in decimal units, as on a card's label."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"  # noqa: PLR2004 - a GB


def read_disk(name: str, procfs: ProcFs) -> BlockDevice | None:
    """Return the block device of this name, or None if there is none. Raises: OSError."""
    folder = f"{_SYS_BLOCK}/{name}"
    sectors = _parse_number(_read_text(procfs, f"{folder}/size"))
    if sectors is None:
        return None
    sysfs_path = procfs.resolve(folder)
    is_partition = procfs.exists(f"{folder}/partition")
    return BlockDevice(
        name=name,
        size_bytes=sectors * _SECTOR_BYTES,
        model=_read_model(procfs, folder),
        bus=_bus_of(str(sysfs_path or ""), _read_text(procfs, f"{folder}/device/type")),
        kernel_removable=_read_text(procfs, f"{folder}/removable") == "1",
        read_only=_read_text(procfs, f"{folder}/ro") == "1",
        sector_bytes=_parse_number(_read_text(procfs, f"{folder}/queue/logical_block_size"))
        or _SECTOR_BYTES,
        parent=sysfs_path.parent.name if is_partition and sysfs_path is not None else None,
        users=tuple(_find_users(name, procfs)),
        diskseq=_read_text(procfs, f"{folder}/diskseq"),
    )


def list_disks(procfs: ProcFs) -> tuple[BlockDevice, ...]:
    """Return all whole disks with a medium, in order. Raises: OSError."""
    names = (path.rpartition("/")[2] for path in procfs.list_paths(_SYS_BLOCK, ""))
    found = (read_disk(name, procfs) for name in names)
    return tuple(
        device for device in found if device is not None and device.size_bytes and not device.parent
    )


def _find_users(name: str, procfs: ProcFs) -> Iterator[DiskUser]:
    mounts, swaps = _read_mounts(procfs), _read_swaps(procfs)
    for device in _stacked_devices(name, procfs):
        device_number = _read_text(procfs, f"{_SYS_BLOCK}/{device}/dev")
        names = {
            f"/dev/{device}",
            f"/dev/mapper/{_read_text(procfs, f'{_SYS_BLOCK}/{device}/dm/name')}",
        }
        for source, mount_number, mount_point in mounts:
            if (device_number and device_number == mount_number) or source in names:
                yield DiskUser(device=device, kind="mounted", used_by=mount_point)
        if names & swaps:
            yield DiskUser(device=device, kind="swap")
        for holder in procfs.list_paths(f"{_SYS_BLOCK}/{device}/holders", ""):
            holder_name = holder.rpartition("/")[2]
            mapper_name = _read_text(procfs, f"{_SYS_BLOCK}/{holder_name}/dm/name")
            yield DiskUser(device=device, kind="held", used_by=mapper_name or holder_name)


def _stacked_devices(name: str, procfs: ProcFs) -> list[str]:
    """Return the device, its partitions, and the devices that are stacked on them."""
    found = [name]
    level = [name]
    for _ in range(_MAX_STACK_DEPTH):
        above = [
            path.rpartition("/")[2]
            for lower in level
            for path in (
                *_partitions(lower, procfs),
                *procfs.list_paths(f"{_SYS_BLOCK}/{lower}/holders", ""),
            )
        ]
        level = [device for device in dict.fromkeys(above) if device not in found]
        found += level
    return found


def _partitions(name: str, procfs: ProcFs) -> tuple[str, ...]:
    paths = procfs.list_paths(f"{_SYS_BLOCK}/{name}", name)
    return tuple(path for path in paths if procfs.exists(f"{path}/partition"))


def _read_mounts(procfs: ProcFs) -> list[tuple[str, str, str]]:
    """Return source, device number and mount point of each mount: proc(5), mountinfo."""
    found = []
    for line in _read_lines(procfs, "proc/self/mountinfo"):
        fields = line.split(" ")
        if len(fields) < _MIN_MOUNTINFO_FIELDS or "-" not in fields[6:]:
            continue
        tail = fields[fields.index("-", 6) + 1 :]
        source = _unescape_octal(tail[1]) if len(tail) > 1 else ""
        found.append((source, fields[2], _unescape_octal(fields[4])))
    return found


def _read_swaps(procfs: ProcFs) -> set[str]:
    return {
        _unescape_octal(line.split()[0])
        for line in _read_lines(procfs, "proc/swaps")[1:]
        if line.split()
    }


def _unescape_octal(word: str) -> str:
    """Decode the octal escapes of blanks in mountinfo and swaps."""
    return re.sub(r"\\([0-3][0-7]{2})", lambda match: chr(int(match[1], 8)), word)


def _read_model(procfs: ProcFs, folder: str) -> str:
    parts = [_read_text(procfs, f"{folder}/device/{name}") for name in ("vendor", "model", "name")]
    # Virtual disks have a numeric vendor id and no name.
    named = " ".join(word for word in parts if word and not word.startswith("0x"))
    backing_file = _read_text(procfs, f"{folder}/loop/backing_file")
    return " ".join((named or backing_file).split())[:_MAX_MODEL_CHARS]


_CARD_BUSES: Mapping[str, str] = {"SD": "sd", "MMC": "emmc"}


def _bus_of(sysfs_path: str, card_type: str) -> str:
    if _USB.search(sysfs_path):
        return "usb"
    if "/mmc_host/" in sysfs_path:
        return _CARD_BUSES.get(card_type, "emmc")
    if "/nvme" in sysfs_path:
        return "nvme"
    if _ATA.search(sysfs_path):
        return "sata"
    if "/virtual/" in sysfs_path:
        return "virtual"
    return "built in"


def _read_lines(procfs: ProcFs, path: str) -> list[str]:
    """Return the lines of a whole file. Raises: OSError, because unknown users would be ignored."""
    return (procfs.root / path).read_bytes().decode(errors="replace").split("\n")


def _parse_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def _read_text(procfs: ProcFs, path: str) -> str:
    """Return a file's printable text on one line, or an empty string."""
    text = (procfs.read(path) or b"").decode(errors="replace")
    return " ".join(
        "".join(character if character.isprintable() else " " for character in text).split()
    )
