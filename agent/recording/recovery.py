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
from agent.recording.export.mp4_reader import LARGE_HEADER_BYTES, DamagedFootage, read_box_header
from agent.recording.quarantine import QUARANTINE_DIR, quarantine_file
from agent.recording.segment_name import KEYS_SUFFIX, PART_SUFFIX, SegmentName, parse_segment_name

log = logging.getLogger(__name__)

_SECTOR_BYTES = 512
_MIN_ZERO_RUN_BYTES = 16
_HEADER_BOXES = (b"ftyp", b"moov")
_ALLOWED_NEXT_BOXES: dict[bytes, tuple[bytes, ...]] = {
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


def recover_folder(
    folder: Path, before_rename: Callable[[SegmentName, Path], None] = lambda _name, _part: None
) -> list[StoredSegment]:
    """Make the folder whole and list its footage, in the order of recording.

    `before_rename` is told of each file that was mended, when its bytes are durable and it does
    not have the segment's name yet: what it does is done whenever the power goes.
    The folder is made where it is missing. Raises OSError where the disk does not let us.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored_segments: list[StoredSegment] = []
    keys_files: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name == QUARANTINE_DIR:
            continue
        if path.name.endswith(KEYS_SUFFIX):
            keys_files.append(path)
            continue
        name = parse_segment_name(path.name.removesuffix(PART_SUFFIX))
        if name is None or path.is_symlink() or not path.is_file():
            _quarantine_with_warning(path)
            continue
        if path.name.endswith(PART_SUFFIX):
            if not _truncate_to_valid(path):
                continue
            before_rename(name, path)
            path.rename(folder / str(name))
        size_bytes = (folder / str(name)).stat().st_size
        stored_segments.append(StoredSegment(name=name, size_bytes=size_bytes))
    segment_names = {str(segment.name) for segment in stored_segments}
    for path in keys_files:
        _clean_up_keys_file(path, segment_names)
    fsync_dir(folder)
    return sorted(stored_segments, key=lambda segment: segment.name.counter)


def delete_segment(folder: Path, name: SegmentName) -> None:
    """Delete a segment, and before it the keys that open it: a cut between the two leaves footage
    that nobody can read, and no keys that belong to nothing. Raises OSError.
    """
    (folder / (str(name) + KEYS_SUFFIX)).unlink(missing_ok=True)
    (folder / str(name)).unlink(missing_ok=True)


def valid_prefix_bytes(file: BinaryIO, size_bytes: int) -> int:
    """How far a fragmented MP4 file is whole: its head, then fragments, each `moof` and `mdat`,
    and at last the index (ISO/IEC 14496-12, 8.8). 0 where not even one fragment is whole.

    A file system may have made a file's length durable before its bytes, which then are zeros
    (ext4 does, data=ordered or not): a fragment with a sector of them is not whole. No codec and
    no cipher writes such a sector.
    """
    offset = valid_bytes = 0
    previous_kind = b""
    while (box := _read_box(file, offset, size_bytes)) is not None:
        begin, (kind, offset) = offset, box
        if kind not in _ALLOWED_NEXT_BOXES[previous_kind]:
            break
        if kind == b"mdat" and _has_zeroed_sector(file, begin, offset):
            break
        if kind in (b"mdat", b"mfra"):
            valid_bytes = offset
        previous_kind = kind
    return valid_bytes


def _read_box(file: BinaryIO, offset: int, size_bytes: int) -> tuple[bytes, int] | None:
    """Type and end of the box at a place; None where there is no whole one."""
    file.seek(offset)
    try:
        box = read_box_header(file.read(LARGE_HEADER_BYTES), 0, size_bytes - offset)
    except DamagedFootage:
        return None
    return box.kind, offset + box.end


def _has_zeroed_sector(file: BinaryIO, begin: int, end: int) -> bool:
    """Whether the file's bytes from `begin` to `end` have a sector, or a piece of one, of zeros."""
    file.seek(begin)
    data = file.read(end - begin)
    if bytes(_MIN_ZERO_RUN_BYTES) not in data:
        return False
    offset = 0
    while offset < len(data):
        sector_end = min(len(data), offset + _SECTOR_BYTES - (begin + offset) % _SECTOR_BYTES)
        if sector_end - offset >= _MIN_ZERO_RUN_BYTES and not any(data[offset:sector_end]):
            return True
        offset = sector_end
    return False


def _truncate_to_valid(part: Path) -> bool:
    """Cut a file that was left open to what is whole; False where no picture in it is."""
    size_bytes = part.stat().st_size
    with part.open("r+b") as file:
        valid_bytes = valid_prefix_bytes(file, size_bytes)
        if valid_bytes:
            file.truncate(valid_bytes)
            os.fsync(file.fileno())
        has_only_headers = not valid_bytes and _has_only_headers(file, size_bytes)
    if has_only_headers:
        log.warning("%s: nothing was written to it: deleted", part.name)
        part.unlink()
        return False
    if not valid_bytes:
        _quarantine_with_warning(part)
        return False
    log.warning("%s: recovered %d of %d bytes", part.name, valid_bytes, size_bytes)
    return True


def _has_only_headers(file: BinaryIO, size_bytes: int) -> bool:
    """Whether a file ends before the first fragment begins."""
    offset = 0
    while offset < size_bytes:
        box = _read_box(file, offset, size_bytes)
        if box is None:
            file.seek(offset + 4)
            kind = file.read(4)
            return any(name.startswith(kind) for name in _HEADER_BOXES)
        if box[0] not in _HEADER_BOXES:
            return False
        offset = box[1]
    return True


def _clean_up_keys_file(path: Path, segment_names: Container[str]) -> None:
    """A disk that takes keys and then no file would else fill up with them."""
    segment_name = path.name.removesuffix(KEYS_SUFFIX)
    if path.is_symlink() or not path.is_file() or parse_segment_name(segment_name) is None:
        _quarantine_with_warning(path)
    elif segment_name in segment_names:
        return
    elif (path.parent / QUARANTINE_DIR / (segment_name + PART_SUFFIX)).exists():
        _quarantine_with_warning(path)
    else:
        log.warning("%s: keys of nothing: deleted", path.name)
        path.unlink()


def _quarantine_with_warning(path: Path) -> None:
    target = quarantine_file(path)
    # A stranger's name may be no text.
    log.warning("%a: no footage, set aside as %a", path.name, target.name)
