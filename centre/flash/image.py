"""An image: looked at before anything is written, and then read to its end."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from agent.base.errors import UserError
from centre.flash import gpt, select_partition
from centre.flash.decompress import KINDS, PACKED, CorruptImage, check_tools, is_named_so, unpacked
from centre.flash.select_partition import BadPartition, BootFirmwareKind

Told = Callable[[int, int], None]
"""Is told how much is done, and of how much."""

LABELS = ("select", "boot_a", "boot_b", "root_a", "root_b", "state")
"""The partitions that every image of Vigie has; one that was started has `data` too."""

CHUNK_BYTES = 4 << 20
_LARGEST_SELECT = 512 << 20
_ALLOWED = f"allowed: an image of Vigie, {' or '.join(KINDS)}, also with {', '.join(PACKED)}"


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image that can be written."""

    path: Path
    head: bytes
    table: gpt.Table
    select: bytes
    """The whole partition `select`."""
    firmware: BootFirmwareKind
    checked: bool
    """Whether its checksum was there, and right."""

    @property
    def size_bytes(self) -> int:
        """Unpacked."""
        return self.table.disk_bytes


def look_at(path: Path, told: Told, *, without_checksum: bool) -> Image:
    """An image that is whole and one of Vigie. Raises BadInput."""
    if not is_named_so(path.name):
        raise UserError(f"{path}: {_ALLOWED}")
    select_partition.check_tools()
    check_tools(path)
    try:
        checked = _check_sum(path, told, without_checksum=without_checksum)
        with unpacked(path) as stream:
            head = stream.read(gpt.HEAD_BYTES)
            table = _table(path, head)
            part = table.partition(select_partition.LABEL)
            if part.begin < len(head) or part.begin + part.size > _LARGEST_SELECT:
                raise UserError(f"{path}: no image of Vigie: its select partition; {_ALLOWED}")
            stream.read(part.begin - len(head))
            select = stream.read(part.size)
        if len(select) != part.size:
            raise UserError(f"{path}: ends too early; allowed: the whole image")
        select_partition.check_fat(select)
        firmware = select_partition.firmware(select)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except CorruptImage as error:
        raise UserError(f"{path}: damaged: {error}; allowed: the whole image") from error
    except BadPartition as error:
        raise UserError(f"{path}: no box starts from it: {error}; {_ALLOWED}") from error
    if firmware is None:
        raise UserError(f"{path}: no box starts from it: nothing is there to start; {_ALLOWED}")
    return Image(
        path=path, head=head, table=table, select=select, firmware=firmware, checked=checked
    )


def chunks(image: Image) -> Iterator[bytes]:
    """All of it, unpacked, in equal parts but for the last. Raises Damaged, OSError."""
    left = image.size_bytes
    with unpacked(image.path) as stream:
        while left:
            data = stream.read(min(CHUNK_BYTES, left))
            if not data:
                raise CorruptImage("it ends too early")
            left -= len(data)
            yield data
        if stream.read(1):
            raise CorruptImage("it goes on behind its end")


def _check_sum(path: Path, told: Told, *, without_checksum: bool) -> bool:
    """Whether there is one; it is right then. Raises BadInput, OSError."""
    beside = path.with_name(f"{path.name}.sha256")
    try:
        words = beside.read_text(encoding="ascii", errors="replace").split()
    except FileNotFoundError:
        if without_checksum:
            return False
        raise UserError(
            f"{beside}: not there, so nobody knows whether the image is whole; allowed: the file "
            "that was made with the image, or --even-without-checksum"
        ) from None
    if not words or len(words[0]) != hashlib.sha256().digest_size * 2:
        raise UserError(f"{beside}: no checksum; allowed: what sha256sum writes")
    if _sha256(path, told) != words[0].lower():
        raise UserError(
            f"{path}: damaged: its checksum is not the one in {beside.name}; allowed: fetch it again"
        )
    return True


def _sha256(path: Path, told: Told) -> str:
    hashed = hashlib.sha256()
    total = path.stat().st_size
    done = 0
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            hashed.update(data)
            done += len(data)
            told(done, total)
    return hashed.hexdigest()


def _table(path: Path, head: bytes) -> gpt.Table:
    try:
        table = gpt.read(head)
    except gpt.NoTable as error:
        raise UserError(f"{path}: no image of Vigie: {error}; {_ALLOWED}") from error
    missing = [label for label in LABELS if table.labels.count(label) != 1]
    if missing:
        there = ", ".join(map(repr, table.labels)) or "none"
        raise UserError(
            f"{path}: no image of Vigie: its partitions are {there}; allowed: {', '.join(LABELS)}"
        )
    return table
