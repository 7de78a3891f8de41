"""Recovery of a camera's folder after a kill or a power cut.

A `.part` file is truncated to its longest prefix of whole fragments and renamed; it is deleted if no
frame was written. A sector that the disk cannot read ends the prefix: a power cut during a write may
leave one. A key file stays with its segment, or with the quarantined rest of it; otherwise it is
deleted. Everything else is moved to the quarantine. Recovery may itself be interrupted and repeated.
"""

import contextlib
import errno
import logging
from collections.abc import Callable, Container
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.base.atomic_file import fsync_dir, sync
from agent.recording.gop import MAX_GOP_BYTES
from agent.recording.mp4_reader import LARGE_HEADER_BYTES, DamagedFootage, read_box_header
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
"""The MP4 boxes that may follow each other in a file of the muxer."""


_MAX_BOX_BYTES = 2 * MAX_GOP_BYTES
"""A box is read whole. The muxer writes none that is larger than a group and its index; a damaged size may state any."""


class _BadSector(Exception):
    """The disk cannot read a byte of an open file."""


class StoredSegment(msgspec.Struct, frozen=True, kw_only=True):
    """One closed segment in the folder."""

    name: SegmentName
    size_bytes: int


def recover_folder(
    folder: Path,
    before_rename: Callable[[SegmentName, Path], None] = lambda _name, _part: None,
    before_quarantine: Callable[[Path], None] = lambda _target: None,
) -> list[StoredSegment]:
    """Create or repair the folder and list its footage in the order of recording.

    `before_rename` is called for each repaired file, when its bytes are durable and it still has its
    `.part` name: its effect precedes the rename even if the power fails. So does that of
    `before_quarantine`, which is called with the new path of each file that is to be moved to the quarantine;
    if the recovery is interrupted in between it is called again. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    quarantine = partial(_quarantine_with_warning, before_rename=before_quarantine)
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
            quarantine(path)
            continue
        if path.name.endswith(PART_SUFFIX):
            if not _truncate_to_valid(path, quarantine):
                continue
            before_rename(name, path)
            path.rename(folder / str(name))
        size_bytes = (folder / str(name)).stat().st_size
        stored_segments.append(StoredSegment(name=name, size_bytes=size_bytes))
    segment_names = {str(segment.name) for segment in stored_segments}
    for path in keys_files:
        _clean_up_keys_file(path, segment_names, quarantine)
    fsync_dir(folder)
    return sorted(stored_segments, key=lambda segment: segment.name.counter)


def delete_segment(folder: Path, name: SegmentName) -> None:
    """Delete the key file of a segment, then the segment. Raises OSError.

    A power cut between the two leaves unreadable footage, but no orphaned key file.
    """
    (folder / (str(name) + KEYS_SUFFIX)).unlink(missing_ok=True)
    (folder / str(name)).unlink(missing_ok=True)


def valid_prefix_bytes(file: BinaryIO, size_bytes: int) -> int:
    """Return the length of the valid prefix of a fragmented MP4 file, or 0.

    It has a header, then fragments of `moof` and `mdat`, and the index last (ISO/IEC 14496-12, 8.8). A
    file system may make a file's length durable before its bytes, which are zeros then (ext4 does, with
    data=ordered or not): a fragment with a zeroed sector is not whole. No codec and no cipher writes one.
    Each box is read to its end: the disk can read the prefix.
    """
    offset = valid_bytes = 0
    previous_kind = b""
    with contextlib.suppress(_BadSector):
        while (box := _read_box(file, offset, size_bytes)) is not None:
            begin, (kind, offset) = offset, box
            if kind not in _ALLOWED_NEXT_BOXES[previous_kind] or offset - begin > _MAX_BOX_BYTES:
                break
            data = _read_span(file, begin, offset)
            if kind == b"mdat" and _has_zeroed_sector(data, begin):
                break
            if kind in (b"mdat", b"mfra"):
                valid_bytes = offset
            previous_kind = kind
    return valid_bytes


def _read_box(file: BinaryIO, offset: int, size_bytes: int) -> tuple[bytes, int] | None:
    """Return type and end of the MP4 box at an offset, or None if it is not whole."""
    header = _read_span(file, offset, offset + LARGE_HEADER_BYTES)
    try:
        box = read_box_header(header, 0, size_bytes - offset)
    except DamagedFootage:
        return None
    return box.kind, offset + box.end


def _read_span(file: BinaryIO, begin: int, end: int) -> bytes:
    """Read the bytes up to `end`, or to the end of the file.

    Raises: _BadSector if the disk cannot read one of them. If the whole disk fails, the sync of the repaired
    file, or of the folder, raises OSError after this.
    """
    file.seek(begin)
    try:
        return file.read(end - begin)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise _BadSector from error


def _has_zeroed_sector(data: bytes, begin: int) -> bool:
    """Return True if the bytes at the offset `begin` of a file have a zeroed sector, or part of one."""
    if bytes(_MIN_ZERO_RUN_BYTES) not in data:
        return False
    offset = 0
    while offset < len(data):
        sector_end = min(len(data), offset + _SECTOR_BYTES - (begin + offset) % _SECTOR_BYTES)
        if sector_end - offset >= _MIN_ZERO_RUN_BYTES and not any(data[offset:sector_end]):
            return True
        offset = sector_end
    return False


def _truncate_to_valid(part: Path, quarantine: Callable[[Path], None]) -> bool:
    """Truncate an open file to its valid prefix.

    Returns False if it has no whole frame, and was deleted or quarantined.
    """
    size_bytes = part.stat().st_size
    with part.open("r+b") as file:
        valid_bytes = valid_prefix_bytes(file, size_bytes)
        if valid_bytes:
            file.truncate(valid_bytes)
            sync(file.fileno())
        has_only_headers = not valid_bytes and _has_only_headers(file, size_bytes)
    if has_only_headers:
        log.warning("%s: has no frame: deleted", part.name)
        part.unlink()
        return False
    if not valid_bytes:
        quarantine(part)
        return False
    log.warning("%s: recovered %d of %d bytes", part.name, valid_bytes, size_bytes)
    return True


def _has_only_headers(file: BinaryIO, size_bytes: int) -> bool:
    """Return True if a file ends before its first fragment, and False if that cannot be read."""
    offset = 0
    try:
        while offset < size_bytes:
            box = _read_box(file, offset, size_bytes)
            if box is None:
                kind = _read_span(file, offset + 4, offset + 8)
                return any(name.startswith(kind) for name in _HEADER_BOXES)
            if box[0] not in _HEADER_BOXES:
                return False
            offset = box[1]
    except _BadSector:
        return False
    return True


def _clean_up_keys_file(
    path: Path, segment_names: Container[str], quarantine: Callable[[Path], None]
) -> None:
    """Delete or quarantine an orphaned key file: a failing disk may create many."""
    segment_name = path.name.removesuffix(KEYS_SUFFIX)
    if path.is_symlink() or not path.is_file() or parse_segment_name(segment_name) is None:
        quarantine(path)
    elif segment_name in segment_names:
        return
    elif (path.parent / QUARANTINE_DIR / (segment_name + PART_SUFFIX)).exists():
        quarantine(path)
    else:
        log.warning("%s: key file without a segment: deleted", path.name)
        path.unlink()


def _quarantine_with_warning(path: Path, before_rename: Callable[[Path], None]) -> None:
    target = quarantine_file(path, before_rename)
    # %a: a foreign file's name may not be text.
    log.warning("%a: not footage, quarantined as %a", path.name, target.name)
