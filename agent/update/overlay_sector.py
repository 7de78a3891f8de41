"""The sector of config.txt with the device tree overlays of a box, and the record of those that were tried.

Each slot's boot partition has one, at a place of its own within config.txt, and it is written in place: a power cut
leaves it old or new.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.base.atomic_file import sync
from agent.base.sha256 import Sha256, sha256_hex
from agent.base.state_file import StateFile
from agent.update.errors import UpdateError

SECTOR_BYTES = 512
MARKER = b"# The overlays of this box, by vigie.\n"
WANTED_FILE = Path("run/vigie-board/overlays")
"""The lines of the settings, written by `vigie provision` at each boot."""
RECORD_FILE = Path("state/rauc/board-overlays.json")
LINE_PREFIX = "dtoverlay="
MAX_LINE_CHARS = 98
"""The firmware ignores what is behind it."""
_CHUNK_BYTES = 1 << 22


class NoOverlaySector(UpdateError):
    """This boot partition has no place for overlays, or not one."""


class OverlayRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The overlays that were tried last, by the hash of their sector."""

    tried_sha256: Sha256
    has_asked_again: bool = False
    """A power cut came before the reboot that was to be the trial, and another one was asked for."""


def encode_sector(overlays: Sequence[str]) -> bytes:
    """Return the sector of config.txt with these overlays. Raises: ValueError if they do not fit."""
    lines = "".join(f"{LINE_PREFIX}{overlay}\n" for overlay in overlays)
    data = MARKER + b"[all]\n" + lines.encode("ascii")
    if len(data) > SECTOR_BYTES:
        raise ValueError(
            f"{len(data)} bytes with the lines' prefix; allowed: {SECTOR_BYTES} or fewer"
        )
    return data.ljust(SECTOR_BYTES, b"\n")


def find_sector(device: Path) -> int:
    """Return the offset of the sector. Raises: NoOverlaySector, OSError.

    The partition is searched, not parsed: the sector is recognised by its first line, and is there once.
    """
    offsets: list[int] = []
    with device.open("rb") as file:
        for base, chunk in _iter_chunks(file):
            at = chunk.find(MARKER)
            while at >= 0:
                if at % SECTOR_BYTES == 0:
                    offsets.append(base + at)
                at = chunk.find(MARKER, at + 1)
    if len(offsets) != 1:
        raise NoOverlaySector(
            f"{device}: {len(offsets)} sectors for the overlays of a box; allowed: one"
        )
    return offsets[0]


def read_sector(device: Path) -> bytes:
    """Return the sector of a boot partition. Raises: NoOverlaySector, OSError."""
    offset = find_sector(device)
    with device.open("rb", buffering=0) as file:
        file.seek(offset)
        return file.read(SECTOR_BYTES)


def write_sector(device: Path, sector: bytes) -> None:
    """Write the sector in place, durably. Raises: NoOverlaySector, OSError."""
    offset = find_sector(device)
    with device.open("r+b", buffering=0) as file:
        file.seek(offset)
        file.write(sector)
        sync(file.fileno())


def copy_partition(source: Path, target: Path) -> None:
    """Copy a partition over another one, durably. Raises: OSError."""
    with source.open("rb") as reader, target.open("r+b") as writer:
        for _base, chunk in _iter_chunks(reader):
            writer.write(chunk)
        writer.flush()
        sync(writer.fileno())


def _iter_chunks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield offset and content of each chunk."""
    base = 0
    while chunk := file.read(_CHUNK_BYTES):
        yield base, chunk
        base += len(chunk)


def was_tried(root: Path, sector: bytes) -> bool:
    """Return whether these overlays are the ones that were tried last."""
    record = record_file(root).read()
    return record is not None and record.tried_sha256 == sha256_hex(sector)


def record_file(root: Path) -> StateFile[OverlayRecord]:
    """Return the record of the machine whose files begin at `root`."""
    return StateFile(root / RECORD_FILE, OverlayRecord, shared=True)
