"""The disks of this machine, as the kernel tells of them: what each is, and who uses it."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from agent.health.vitals.procfs import ProcFs

_BLOCK = "sys/class/block"
_SECTOR = 512
_USB = re.compile(r"/usb\d+/")
_ATA = re.compile(r"/ata\d+/")
_LONGEST = 60
_DEEPEST = 8
_MOST_DIGITS = 18
_MOUNTINFO_LEAST = 10


class DiskUser(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody has a disk, or a part of it, which is `node`."""

    node: str
    how: str
    """`mounted`, `swap` or `held`."""
    where: str = ""
    """The mount point, or the name of who holds it."""


class BlockDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A block device."""

    name: str
    size_bytes: int
    model: str
    attached: str
    """`usb`, `sd`, `emmc`, `nvme`, `sata`, `virtual` or `built in`."""
    removable: bool
    """As the kernel says it; it says no of most card slots."""
    read_only: bool
    sector_bytes: int = _SECTOR
    part_of: str | None
    """The whole disk, where this is a partition."""
    uses: tuple[DiskUser, ...]
    sequence: str = ""
    """The kernel's number of this disk or card, which none has again until it starts anew; empty before
    Linux 5.15: ABI/testing/sysfs-block, diskseq."""

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/dev/{self.name}"

    @property
    def can_be_taken_out(self) -> bool:
        """Whether it is a card, a stick, or a board on a cable."""
        return self.removable or self.attached in ("usb", "sd")

    def is_same(self, other: "BlockDevice") -> bool:
        """Whether this is still the other one, and no other card in its place."""
        mine, others = (
            (one.name, one.sequence, one.size_bytes, one.model) for one in (self, other)
        )
        return mine == others

    def __str__(self) -> str:
        facts = (self.model, size_words(self.size_bytes), self.attached)
        return f"{self.path} ({', '.join(fact for fact in facts if fact)})"


def size_words(size_bytes: int) -> str:
    """A size as it stands on a card's label."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"  # noqa: PLR2004 - a GB


def disk(name: str, tree: ProcFs) -> BlockDevice | None:
    """The block device of this name, None where there is none. Raises OSError."""
    folder = f"{_BLOCK}/{name}"
    sectors = _number(_text(tree, f"{folder}/size"))
    if sectors is None:
        return None
    real = tree.real(folder)
    is_part = tree.is_there(f"{folder}/partition")
    return BlockDevice(
        name=name,
        size_bytes=sectors * _SECTOR,
        model=_model(tree, folder),
        attached=_attached(str(real or ""), _text(tree, f"{folder}/device/type")),
        removable=_text(tree, f"{folder}/removable") == "1",
        read_only=_text(tree, f"{folder}/ro") == "1",
        sector_bytes=_number(_text(tree, f"{folder}/queue/logical_block_size")) or _SECTOR,
        part_of=real.parent.name if is_part and real is not None else None,
        uses=tuple(_uses(name, tree)),
        sequence=_text(tree, f"{folder}/diskseq"),
    )


def disks(tree: ProcFs) -> tuple[BlockDevice, ...]:
    """All whole disks that hold something, in order. Raises OSError."""
    names = (path.rpartition("/")[2] for path in tree.names(_BLOCK, ""))
    found = (disk(name, tree) for name in names)
    return tuple(one for one in found if one is not None and one.size_bytes and not one.part_of)


def _uses(name: str, tree: ProcFs) -> Iterator[DiskUser]:
    points, swaps = _mounts(tree), _swaps(tree)
    for node in _stack(name, tree):
        number = _text(tree, f"{_BLOCK}/{node}/dev")
        names = {f"/dev/{node}", f"/dev/mapper/{_text(tree, f'{_BLOCK}/{node}/dm/name')}"}
        for source, at, point in points:
            if (number and number == at) or source in names:
                yield DiskUser(node=node, how="mounted", where=point)
        if names & swaps:
            yield DiskUser(node=node, how="swap")
        for holder in tree.names(f"{_BLOCK}/{node}/holders", ""):
            held = holder.rpartition("/")[2]
            mapped = _text(tree, f"{_BLOCK}/{held}/dm/name")
            yield DiskUser(node=node, how="held", where=mapped or held)


def _stack(name: str, tree: ProcFs) -> list[str]:
    """The device, its partitions, and what stands upon them."""
    found = [name]
    level = [name]
    for _ in range(_DEEPEST):
        above = [
            one.rpartition("/")[2]
            for below in level
            for one in (
                *_partitions(below, tree),
                *tree.names(f"{_BLOCK}/{below}/holders", ""),
            )
        ]
        level = [one for one in dict.fromkeys(above) if one not in found]
        found += level
    return found


def _partitions(name: str, tree: ProcFs) -> tuple[str, ...]:
    inside = tree.names(f"{_BLOCK}/{name}", name)
    return tuple(one for one in inside if tree.is_there(f"{one}/partition"))


def _mounts(tree: ProcFs) -> list[tuple[str, str, str]]:
    """Of each mount the source, the device's numbers and the mount point: proc(5), mountinfo."""
    found = []
    for line in _lines(tree, "proc/self/mountinfo"):
        words = line.split(" ")
        if len(words) < _MOUNTINFO_LEAST or "-" not in words[6:]:
            continue
        after = words[words.index("-", 6) + 1 :]
        source = _plain(after[1]) if len(after) > 1 else ""
        found.append((source, words[2], _plain(words[4])))
    return found


def _swaps(tree: ProcFs) -> set[str]:
    return {_plain(line.split()[0]) for line in _lines(tree, "proc/swaps")[1:] if line.split()}


def _plain(word: str) -> str:
    """Blanks and their like are written in octal."""
    return re.sub(r"\\([0-3][0-7]{2})", lambda found: chr(int(found[1], 8)), word)


def _model(tree: ProcFs, folder: str) -> str:
    words = [_text(tree, f"{folder}/device/{name}") for name in ("vendor", "model", "name")]
    # Virtual disks have a vendor's number alone, which tells nobody anything.
    named = " ".join(word for word in words if word and not word.startswith("0x"))
    behind = _text(tree, f"{folder}/loop/backing_file")
    return " ".join((named or behind).split())[:_LONGEST]


_CARDS: Mapping[str, str] = {"SD": "sd", "MMC": "emmc"}


def _attached(real: str, kind: str) -> str:
    if _USB.search(real):
        return "usb"
    if "/mmc_host/" in real:
        return _CARDS.get(kind, "emmc")
    if "/nvme" in real:
        return "nvme"
    if _ATA.search(real):
        return "sata"
    if "/virtual/" in real:
        return "virtual"
    return "built in"


def _lines(tree: ProcFs, path: str) -> list[str]:
    """A whole file of /proc, however long; who cannot read it does not know what is in use."""
    return (tree.root / path).read_bytes().decode(errors="replace").split("\n")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


def _text(tree: ProcFs, path: str) -> str:
    """A file's words, printable and in one line."""
    text = (tree.read(path) or b"").decode(errors="replace")
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
