"""Catalogue of the footage on the disk, read while the recorder may be writing.

Names are from the folders, durations and sums from the chain of receipts.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent.base.clock import rfc3339, unix_ms
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.recording.custody.chain_files import read_files_backwards
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import FootageEvicted, SegmentClosed, SegmentOpened
from agent.recording.retention.segment_age import BootTimeline
from agent.recording.segment_name import (
    PART_SUFFIX,
    SegmentName,
    format_utc_label,
    max_length_ms,
    parse_label,
    parse_segment_name,
)

MAX_SEGMENT_DURATION = timedelta(minutes=7)
"""Upper bound: five minutes by the configuration, and a minute of an open group of pictures."""
_MAX_SEGMENT_MS = MAX_SEGMENT_DURATION // timedelta(milliseconds=1)

_CLOSED_MARK = b'"kind":"closed"'
_EVICTED_MARK = b'"kind":"evicted"'
_SEGMENT_MARK = b'"segment":"'
"""In the receipts of a segment's opening and close."""
_JSON_OFFSET = 89
"""Offset of the JSON in a line, after the signature and a space."""


class _ReceiptExcerpt(msgspec.Struct):
    """The fields of a receipt that this module reads."""

    seq: int
    body: SegmentOpened | SegmentClosed | FootageEvicted


_EXCERPT_DECODER = JsonDecoder(_ReceiptExcerpt)


SegmentFile: TypeAlias = tuple[str, SegmentName, int, bool]
"""A segment's file: its name, the parsed name, its bytes, and True if it overlaps the span by names
alone.
"""


class FootageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A segment on the disk.

    `segment_name` is its name in receipts, `file_name` that of its file. `closed` is its receipt,
    or None if the chain has none. `evicted`: the chain has the receipt of its eviction, and the
    file still exists.
    """

    camera: str
    name: SegmentName
    segment_name: str
    file_name: str
    folder: Path
    size_bytes: int
    closed: SegmentClosed | None
    evicted: bool = False

    @property
    def is_being_written(self) -> bool:
        """True while it is open. A closed file has its receipt before it is renamed."""
        return self.file_name != self.segment_name and self.closed is None

    @property
    def path(self) -> Path:
        """Its path when it was listed."""
        return self.folder / self.file_name

    @property
    def candidate_paths(self) -> tuple[Path, ...]:
        """Its possible paths now: it may have been renamed since."""
        return tuple(dict.fromkeys((self.path, self.folder / self.segment_name)))

    @property
    def begin(self) -> datetime:
        """UTC of its first frame."""
        return self.name.utc

    @property
    def end(self) -> datetime | None:
        """UTC of its end, or None if its duration is unknown."""
        if self.closed is None:
            return None
        try:
            return self.begin + timedelta(microseconds=self.closed.duration_ns // 1000)
        except OverflowError:
            return None  # a damaged receipt, or a name of the year 9999


def list_cameras(footage_dir: Path) -> list[str]:
    """List the cameras that have a folder. Raises OSError."""
    if not footage_dir.is_dir():
        return []
    return sorted(path.name for path in footage_dir.iterdir() if path.is_dir())


def find_segments(
    footage_dir: Path,
    custody_dir: Path,
    cameras: Iterable[str],
    begin: datetime | None,
    end: datetime | None,
    is_valid_line: Callable[[bytes], bool] | None = None,
) -> list[FootageEntry]:
    """Return the segments that overlap the span, in the order of recording.

    The duration is that of its receipt, which a verifier reads too; without a receipt a segment is
    assumed to last until the next one. `is_valid_line` may check signatures: of each segment two, which is
    too slow for a list of the whole archive. Raises OSError.
    """
    found = [
        (camera, folder, *segment_file)
        for camera, folder in [(camera, footage_dir / camera) for camera in cameras]
        for segment_file in _iter_segment_files(folder, begin, end)
    ]
    closed_receipts, evicted = _find_close_and_evict_receipts(
        custody_dir,
        {(camera, file_name.removesuffix(PART_SUFFIX)) for camera, _, file_name, _, _, _ in found},
        is_valid_line,
    )
    entries = []
    for camera, folder, file_name, name, size_bytes, may_overlap in found:
        segment_name = file_name.removesuffix(PART_SUFFIX)
        entry = FootageEntry(
            camera=camera,
            name=name,
            segment_name=segment_name,
            file_name=file_name,
            folder=folder,
            size_bytes=size_bytes,
            closed=closed_receipts.get((camera, segment_name)),
            evicted=(camera, segment_name) in evicted,
        )
        if begin is not None:
            entry_end = entry.end
            if not (may_overlap if entry_end is None else entry_end > begin):
                continue
        entries.append(entry)
    return entries


def find_misdated(folder: Path, begin: datetime, end: datetime) -> dict[str, str]:
    """Return segments of the span whose names have another time, with the reason.

    Their boot's clock was set after they were recorded.
    """
    files = _list_file_names(folder) if folder.is_dir() else []
    names = [name for name in map(parse_segment_name, files) if name is not None]
    boot_epochs_ms = BootTimeline(names).boot_epochs()
    begin_ms, end_ms = unix_ms(begin), unix_ms(end)
    found = []
    for name, next_name in zip_longest(names, names[1:]):
        if name.synced or name.boot not in boot_epochs_ms or begin_ms <= unix_ms(name.utc) < end_ms:
            continue
        length_ms = max_length_ms(name, next_name, _MAX_SEGMENT_MS)
        actual_begin_ms = boot_epochs_ms[name.boot] + name.begin_ms
        if actual_begin_ms < end_ms and actual_begin_ms + length_ms > begin_ms:
            found.append(name)
    if not found:
        return {}
    reason = (
        "recorded before the clock was set, and stored under the times from "
        f"{rfc3339(found[0].utc)} to {rfc3339(found[-1].utc)}: export those too"
    )
    return {str(name): reason for name in found}


def first_receipt_seq(custody: CustodyLog, entries: Iterable[FootageEntry]) -> int:
    """Return the number of the first valid receipt of these segments, or 0. Raises OSError.

    An export begins with it: a damaged receipt of an opening may stay outside.
    """
    unopened = {(entry.camera, entry.segment_name) for entry in entries}
    encoded_names = frozenset(entry.segment_name.encode() for entry in entries)
    first = 0
    for data in read_files_backwards(custody.folder):
        for offset, receipt in _iter_segment_receipts(data, _SEGMENT_MARK, encoded_names):
            body = receipt.body
            if isinstance(body, FootageEvicted) or (body.camera, body.segment) not in unopened:
                continue
            if not custody.is_own_line(_line_at(data, offset)):
                continue
            first = receipt.seq
            if isinstance(body, SegmentOpened):
                unopened.discard((body.camera, body.segment))
                if not unopened:
                    return first
    return first


def _iter_segment_files(
    folder: Path, begin: datetime | None, end: datetime | None
) -> Iterator[SegmentFile]:
    """Yield the segments of a folder that may overlap the span, in order."""
    try:
        folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        previous = None
        for file_name, may_overlap in _filter_by_span(_list_file_names(folder_fd), begin, end):
            name = parse_segment_name(file_name.removesuffix(PART_SUFFIX))
            if name is None or name == previous or (end is not None and name.utc >= end):
                continue
            # An open file may have been closed and renamed since the folder was read; a file that
            # exists under neither name is evicted.
            previous = name
            for candidate in (file_name, file_name.removesuffix(PART_SUFFIX)):
                size_bytes = _size_bytes(candidate, folder_fd)
                if size_bytes is not None:
                    yield candidate, name, size_bytes, may_overlap
                    break
    finally:
        os.close(folder_fd)


def _list_file_names(folder: Path | int) -> list[str]:
    """List names only: a Path or a DirEntry costs more than all other work on a name."""
    return sorted(os.listdir(folder))  # noqa: PTH208


def _size_bytes(file_name: str, folder_fd: int) -> int | None:
    try:
        return os.stat(file_name, dir_fd=folder_fd).st_size
    except FileNotFoundError:
        return None


def _filter_by_span(
    file_names: Iterable[str], begin: datetime | None, end: datetime | None
) -> Iterator[tuple[str, bool]]:
    """Yield the segments that may overlap the span, by their labels alone.

    The flag is True if one overlaps when its duration is unknown. The UTC of the next name is not the
    end of a segment: the clock may have been set back between them, and network delay may make a
    segment end shortly after the next one's begin.
    """
    begin_label = None if begin is None else format_utc_label(begin)
    earliest_label = None if begin is None else _utc_label_before(begin, MAX_SEGMENT_DURATION)
    end_label = None if end is None else format_utc_label(end)
    labelled_or_none = (
        (file_name, parse_label(file_name.removesuffix(PART_SUFFIX))) for file_name in file_names
    )
    labelled = [(file_name, label) for file_name, label in labelled_or_none if label is not None]
    for (file_name, (boot, utc)), next_labelled in zip_longest(labelled, labelled[1:]):
        if end_label is not None and utc > end_label:
            continue
        if begin is None or begin_label is None or earliest_label is None or next_labelled is None:
            yield file_name, True
            continue
        next_file_name, (next_boot, next_utc) = next_labelled
        if next_boot != boot or next_utc > begin_label:
            yield file_name, True
        elif utc > earliest_label:
            yield file_name, _ends_after(file_name, next_file_name, begin)


def _utc_label_before(utc: datetime, duration: timedelta) -> str:
    try:
        return format_utc_label(utc - duration)
    except OverflowError:
        return ""


def _ends_after(file_name: str, next_file_name: str, utc: datetime) -> bool:
    """Return True if a segment ends after `utc`, by boot time up to the next one."""
    name, next_name = (
        parse_segment_name(each.removesuffix(PART_SUFFIX)) for each in (file_name, next_file_name)
    )
    if name is None or next_name is None:
        return False
    length_ms = max_length_ms(name, next_name, _MAX_SEGMENT_MS)
    return timedelta(milliseconds=length_ms) > utc - name.utc


_SegmentId: TypeAlias = tuple[str, str]
"""A camera and the name of one of its segments."""


def _find_close_and_evict_receipts(
    custody_dir: Path, wanted: set[_SegmentId], is_valid_line: Callable[[bytes], bool] | None
) -> tuple[dict[_SegmentId, SegmentClosed], set[_SegmentId]]:
    """Return the `closed` receipts of these segments, and the evicted ones among them.

    A segment is evicted after its close: the search ends once all closes are found.
    """
    closed: dict[_SegmentId, SegmentClosed] = {}
    evicted: set[_SegmentId] = set()
    if not wanted:
        return closed, evicted
    encoded_names = frozenset(text.encode() for _, text in wanted)
    for data in read_files_backwards(custody_dir):
        for offset in _iter_marks_backwards(data, _EVICTED_MARK):
            receipt = _decode_receipt_at(data, offset)
            if receipt is not None and isinstance(receipt.body, FootageEvicted):
                names = {(receipt.body.camera, text) for text in receipt.body.segments} & wanted
                if names and (is_valid_line is None or is_valid_line(_line_at(data, offset))):
                    evicted |= names
        for offset, closed_receipt in _iter_segment_receipts(data, _CLOSED_MARK, encoded_names):
            body = closed_receipt.body
            if (
                isinstance(body, SegmentClosed)
                and (body.camera, body.segment) in wanted
                and (is_valid_line is None or is_valid_line(_line_at(data, offset)))
            ):
                closed.setdefault((body.camera, body.segment), body)
                if len(closed) == len(wanted):
                    return closed, evicted
    return closed, evicted


def _iter_segment_receipts(
    data: bytes, mark: bytes, encoded_names: frozenset[bytes]
) -> Iterator[tuple[int, _ReceiptExcerpt]]:
    """Yield receipts with the mark that may be of these segments, and an offset in each, the newest first."""
    for offset in _iter_marks_backwards(data, mark):
        begin = data.find(_SEGMENT_MARK, offset) + len(_SEGMENT_MARK)
        if data[begin : data.find(b'"', begin)] in encoded_names:
            receipt = _decode_receipt_at(data, offset)
            if receipt is not None:
                yield offset, receipt


def _iter_marks_backwards(data: bytes, mark: bytes) -> Iterator[int]:
    offset = len(data)
    while (offset := data.rfind(mark, 0, offset)) >= 0:
        yield offset


def _line_at(data: bytes, offset: int) -> bytes:
    """Return the line around an offset, without its newline."""
    end = data.find(b"\n", offset)
    return data[data.rfind(b"\n", 0, offset) + 1 : end if end >= 0 else len(data)]


def _decode_receipt_at(data: bytes, offset: int) -> _ReceiptExcerpt | None:
    """Decode the receipt around an offset, or None if it is damaged.

    Its signature is not checked.
    """
    try:
        return _EXCERPT_DECODER.decode(_line_at(data, offset)[_JSON_OFFSET:])
    except MalformedJson:
        return None
