"""After a kill or a power cut: what of a camera's folder is footage.

A `.part` becomes its longest prefix of whole fragments, under its own name. One in which nothing of a
picture was written is deleted. A file of wrapped keys stays with its segment, or with what is left of
it; keys of nothing are deleted. All else is no footage and set aside in a folder, for the keeper to
let go of in time. All can be cut short themselves and done again.
"""

import logging
import os
from collections.abc import Callable, Container
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.base.atomic_file import fsync_dir
from agent.recording.segment_name import KEYS, PART, SegmentName, parse_segment_name

log = logging.getLogger(__name__)

SET_ASIDE = "set-aside"

_HEADER_BYTES = 8
_LARGE_HEADER_BYTES = 16
_SECTOR_BYTES = 512
_LEAST_ZEROS = 16
_HEAD = (b"ftyp", b"moov")
_FOLLOWS: dict[bytes, tuple[bytes, ...]] = {
    b"": (b"ftyp",),
    b"ftyp": (b"moov",),
    b"moov": (b"moof",),
    b"moof": (b"mdat",),
    b"mdat": (b"moof", b"mfra"),
    b"mfra": (),
}
"""Which boxes may come after which in a file of ours."""


class StoredSegment(msgspec.Struct, frozen=True, kw_only=True):
    """One closed footage file as it lies in the folder."""

    name: SegmentName
    size_bytes: int


def recover(
    folder: Path, before_rename: Callable[[SegmentName, Path], None] = lambda _name, _part: None
) -> list[StoredSegment]:
    """Make the folder whole and list its footage, in the order of recording.

    `before_rename` is told of each file that was mended, when its bytes are durable and it does
    not have the segment's name yet: what it does is done whenever the power goes.
    The folder is made where it is missing. Raises OSError where the disk does not let us.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: list[StoredSegment] = []
    keys: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name == SET_ASIDE:
            continue
        if path.name.endswith(KEYS):
            keys.append(path)
            continue
        name = parse_segment_name(path.name.removesuffix(PART))
        if name is None or path.is_symlink() or not path.is_file():
            _no_footage(path)
            continue
        if path.name.endswith(PART):
            if not _mend(path):
                continue
            before_rename(name, path)
            path.rename(folder / str(name))
        size_bytes = (folder / str(name)).stat().st_size
        found.append(StoredSegment(name=name, size_bytes=size_bytes))
    segments = {str(segment.name) for segment in found}
    for path in keys:
        _sort_out_keys(path, segments)
    fsync_dir(folder)
    return sorted(found, key=lambda segment: segment.name.counter)


def remove_segment(folder: Path, name: SegmentName) -> None:
    """Delete a segment, and before it the keys that open it: a cut between the two leaves footage
    that nobody can read, and no keys that belong to nothing. Raises OSError.
    """
    (folder / (str(name) + KEYS)).unlink(missing_ok=True)
    (folder / str(name)).unlink(missing_ok=True)


def whole_prefix_bytes(file: BinaryIO, size_bytes: int) -> int:
    """How far a fragmented MP4 file is whole: its head, then fragments, each `moof` and `mdat`,
    and at last the index (ISO/IEC 14496-12, 8.8). 0 where not even one fragment is whole.

    A file system may have made a file's length durable before its bytes, which then are zeros
    (ext4 does, data=ordered or not): a fragment with a sector of them is not whole. No codec and
    no cipher writes such a sector.
    """
    at = whole = 0
    before = b""
    while (box := _box_at(file, at, size_bytes)) is not None:
        begin, (kind, at) = at, box
        if kind not in _FOLLOWS[before]:
            break
        if kind == b"mdat" and _has_lost_sector(file, begin, at):
            break
        if kind in (b"mdat", b"mfra"):
            whole = at
        before = kind
    return whole


def _box_at(file: BinaryIO, at: int, size_bytes: int) -> tuple[bytes, int] | None:
    """Type and end of the box at a place; None where there is no whole one."""
    file.seek(at)
    header = file.read(_LARGE_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return None
    length = int.from_bytes(header[:4], "big")
    least = _HEADER_BYTES
    if length == 1:  # a 64-bit length follows
        length, least = int.from_bytes(header[8:], "big"), _LARGE_HEADER_BYTES
    if length < least or at + length > size_bytes:
        return None
    return header[4:8], at + length


def _has_lost_sector(file: BinaryIO, begin: int, end: int) -> bool:
    """Whether the file's bytes from `begin` to `end` have a sector, or a piece of one, of zeros."""
    file.seek(begin)
    data = file.read(end - begin)
    if bytes(_LEAST_ZEROS) not in data:
        return False
    at = 0
    while at < len(data):
        sector_end = min(len(data), at + _SECTOR_BYTES - (begin + at) % _SECTOR_BYTES)
        if sector_end - at >= _LEAST_ZEROS and not any(data[at:sector_end]):
            return True
        at = sector_end
    return False


def _mend(part: Path) -> bool:
    """Cut a file that was left open to what is whole; False where no picture in it is."""
    size_bytes = part.stat().st_size
    with part.open("r+b") as file:
        whole_bytes = whole_prefix_bytes(file, size_bytes)
        if whole_bytes:
            file.truncate(whole_bytes)
            os.fsync(file.fileno())
        is_head_alone = not whole_bytes and _is_head_alone(file, size_bytes)
    if is_head_alone:
        log.warning("%s: nothing was written to it: deleted", part.name)
        part.unlink()
        return False
    if not whole_bytes:
        _no_footage(part)
        return False
    log.warning("%s: recovered %d of %d bytes", part.name, whole_bytes, size_bytes)
    return True


def _is_head_alone(file: BinaryIO, size_bytes: int) -> bool:
    """Whether a file ends before the first fragment begins."""
    at = 0
    while at < size_bytes:
        box = _box_at(file, at, size_bytes)
        if box is None:
            file.seek(at + 4)
            kind = file.read(4)
            return any(name.startswith(kind) for name in _HEAD)
        if box[0] not in _HEAD:
            return False
        at = box[1]
    return True


def _sort_out_keys(path: Path, segments: Container[str]) -> None:
    """A disk that takes keys and then no file would else fill up with them."""
    text = path.name.removesuffix(KEYS)
    if path.is_symlink() or not path.is_file() or parse_segment_name(text) is None:
        _no_footage(path)
    elif text in segments:
        return
    elif (path.parent / SET_ASIDE / (text + PART)).exists():
        _no_footage(path)
    else:
        log.warning("%s: keys of nothing: deleted", path.name)
        path.unlink()


def _no_footage(path: Path) -> None:
    target = set_aside(path)
    # A stranger's name may be no text.
    log.warning("%a: no footage, set aside as %a", path.name, target.name)


def set_aside(path: Path) -> Path:
    """Move a file that is not what its name says out of the way, under a name that is free: its new
    place. Raises OSError.
    """
    aside = path.parent / SET_ASIDE
    aside.mkdir(exist_ok=True)
    target = aside / path.name
    number = 0
    while target.exists() or target.is_symlink():
        number += 1
        target = aside / f"{path.name}.{number}"
    path.rename(target)
    return target
