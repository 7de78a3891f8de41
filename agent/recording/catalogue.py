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
from agent.recording.custody.chain_files import read_blocks_backwards
from agent.recording.custody.receipts import (
    FootageEvicted,
    SegmentClosed,
    SegmentOpened,
    UtcText,
)
from agent.recording.segment_age import BootTimeline
from agent.recording.segment_name import (
    BOOT_LABEL,
    PART_SUFFIX,
    UTC_LABEL,
    SegmentName,
    filter_segment_files,
    format_utc_label,
    max_length_ms,
    parse_segment_name,
)

MAX_SEGMENT_DURATION = timedelta(minutes=7)
"""Upper bound: five minutes by the configuration, and a minute of an open group of pictures."""
_MAX_SEGMENT_MS = MAX_SEGMENT_DURATION // timedelta(milliseconds=1)

_MAX_CLOCK_ERROR = timedelta(days=1)
"""A clock that was further ahead, and set right since, ends a search for missing files early. A day of receipts is
read in some milliseconds.
"""

_CLOSED_KIND = b'"kind":"closed"'
_EVICTED_KIND = b'"kind":"evicted"'
_SEGMENT_KEY = b'"segment":"'
"""Members of receipts as they are encoded. JSON text has its quotes escaped, so that none contains one of these."""

_LAST_LABEL = "~"
"""Sorts after the label of any time."""


class _ReceiptExcerpt(msgspec.Struct):
    """The fields of a receipt that this module reads."""

    seq: int
    body: SegmentOpened | SegmentClosed | FootageEvicted


class _ClockExcerpt(msgspec.Struct):
    synced: bool


class _TimeExcerpt(msgspec.Struct):
    """When a receipt was signed."""

    time: UtcText
    clock: _ClockExcerpt


_EXCERPT_DECODER = JsonDecoder(_ReceiptExcerpt)
_TIME_DECODER = JsonDecoder(_TimeExcerpt)


SegmentId: TypeAlias = tuple[str, str]
"""A camera and the name of one of its segments."""

SegmentFile: TypeAlias = tuple[str, str, SegmentName, int | None, bool]
"""A segment's file: its name, that of the segment, the parsed name, the bytes of an open one, and True if it overlaps
the span by names alone.
"""


class FootageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A segment on the disk.

    `segment_name` is its name in receipts, `file_name` that of its file. `closed` is its receipt,
    or None if the chain has none. `size_bytes` is that of the receipt, or of the file without one.
    `evicted`: the chain has the receipt of its eviction, and the file still exists.
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

    def size_on_disk_bytes(self) -> int | None:
        """Return the size of its file now, or None if it was deleted since. Raises OSError."""
        sizes_bytes = map(_size_bytes, self.candidate_paths)
        return next((size_bytes for size_bytes in sizes_bytes if size_bytes is not None), None)

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
        {(camera, segment_name) for camera, _, _, segment_name, _, _, _ in found},
        is_valid_line,
    )
    entries = []
    for camera, folder, file_name, segment_name, name, open_bytes, may_overlap in found:
        closed = closed_receipts.get((camera, segment_name))
        size_bytes = open_bytes
        if closed is not None:
            size_bytes = closed.size_bytes
        elif size_bytes is None:
            size_bytes = _size_bytes(folder / file_name)
            if size_bytes is None:
                continue  # deleted since the folder was read
        entry = FootageEntry(
            camera=camera,
            name=name,
            segment_name=segment_name,
            file_name=file_name,
            folder=folder,
            size_bytes=size_bytes,
            closed=closed,
            evicted=(camera, segment_name) in evicted,
        )
        if begin is not None and name.utc <= begin:
            entry_end = entry.end
            if not (may_overlap if entry_end is None else entry_end > begin):
                continue
        entries.append(entry)
    return entries


def find_misdated(folder: Path, begin: datetime, end: datetime) -> dict[str, str]:
    """Return segments of the span whose names have another time, with the reason.

    Their boot's clock was set after they were recorded.
    """
    parsed = map(parse_segment_name, _list_file_names(folder))
    names = [name for name in parsed if name is not None]
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


def find_missing(
    footage_dir: Path,
    custody_dir: Path,
    camera: str,
    entries: Iterable[FootageEntry],
    begin: datetime,
    end: datetime,
    is_valid_line: Callable[[bytes], bool],
) -> list[str]:
    """Return the segments of the span that were closed and not evicted, and have no file. Raises OSError.

    `entries` are those that `find_segments` returned before: a file that is evicted has its receipt first. The custody
    log is read up to the closes of these, and on to a disciplined clock of a day before the span.
    """
    listed, unseen = set(), set()
    for entry in entries:
        listed.add(entry.segment_name)
        if entry.closed is not None:
            unseen.add(entry.segment_name)
    wanted: set[SegmentId] = set()
    for data in read_blocks_backwards(custody_dir):
        for _, receipt in _iter_receipts(data, _CLOSED_KIND):
            body = receipt.body
            if isinstance(body, SegmentClosed) and body.camera == camera:
                unseen.discard(body.segment)
                if body.segment not in listed and _overlaps(body, begin, end):
                    wanted.add((camera, body.segment))
        if not unseen and _begins_before(data, begin, is_valid_line):
            break
    closed_receipts, evicted = _find_close_and_evict_receipts(custody_dir, wanted, is_valid_line)
    return sorted(
        name
        for (_, name), closed in closed_receipts.items()
        if (camera, name) not in evicted
        and _overlaps(closed, begin, end)
        # One that was begun since the folder was read has a file.
        and _size_bytes(footage_dir / camera / (name + PART_SUFFIX)) is None
        and _size_bytes(footage_dir / camera / name) is None
    )


def _overlaps(closed: SegmentClosed, begin: datetime, end: datetime) -> bool:
    """Return True if a segment overlaps the span, as a verifier computes it."""
    utc = datetime.fromisoformat(closed.begin_time)
    return utc < end and begin - utc < timedelta(microseconds=closed.duration_ns // 1000)


def _begins_before(data: bytes, utc: datetime, is_valid_line: Callable[[bytes], bool]) -> bool:
    """Return True if the first line of a block, and so each line before it, is older than `utc`."""
    line = data[: data.find(b"\n") + 1]
    try:
        excerpt = _TIME_DECODER.decode(line.partition(b" ")[2])
    except MalformedJson:
        return False
    return (
        excerpt.clock.synced
        and utc - datetime.fromisoformat(excerpt.time) > _MAX_CLOCK_ERROR
        and is_valid_line(line)
    )


def first_receipt_seq(
    custody_dir: Path, segments: Iterable[SegmentId], is_valid_line: Callable[[bytes], bool]
) -> int:
    """Return the number of the first valid receipt of these segments, or 0. Raises OSError.

    An export begins with it: a damaged receipt of an opening may stay outside.
    """
    unopened = set(segments)
    encoded_names = _encode_names(unopened)
    first = 0
    for data in read_blocks_backwards(custody_dir):
        for line, receipt in _iter_receipts(data, _SEGMENT_KEY, encoded_names):
            body = receipt.body
            if isinstance(body, FootageEvicted) or (body.camera, body.segment) not in unopened:
                continue
            if not is_valid_line(line):
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
    previous = None
    for file_name, may_overlap in _filter_by_span(_list_file_names(folder), begin, end):
        segment_name = file_name.removesuffix(PART_SUFFIX)
        if segment_name == previous:
            continue
        name = parse_segment_name(segment_name)
        if name is None or (end is not None and name.utc >= end):
            continue
        previous = segment_name
        if file_name == segment_name:
            yield file_name, segment_name, name, None, may_overlap
            continue
        # An open file may have been closed and renamed since the folder was read; its receipt was written before. A
        # file that exists under neither name is evicted.
        for candidate in (file_name, segment_name):
            size_bytes = _size_bytes(folder / candidate)
            if size_bytes is not None:
                yield candidate, segment_name, name, size_bytes, may_overlap
                break


def _list_file_names(folder: Path) -> list[str]:
    """List names only: a Path or a DirEntry costs more than all other work on a name."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except FileNotFoundError:
        return []


def _size_bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
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
    names = filter_segment_files(file_names)
    boots = [name[BOOT_LABEL] for name in names]
    utcs = [name[UTC_LABEL] for name in names]
    begin_label = "" if begin is None else format_utc_label(begin)
    earliest_label = "" if begin is None else _utc_label_before(begin, MAX_SEGMENT_DURATION)
    end_label = _LAST_LABEL if end is None else format_utc_label(end)
    # After the last one comes the empty text, which is no boot.
    for name, boot, utc, next_name, next_boot, next_utc in zip_longest(
        names, boots, utcs, names[1:], boots[1:], utcs[1:], fillvalue=""
    ):
        if utc > end_label:
            continue
        if next_boot != boot or next_utc > begin_label:
            yield name, True
        elif begin is not None and utc > earliest_label:
            yield name, _ends_after(name, next_name, begin)


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


def _find_close_and_evict_receipts(
    custody_dir: Path, wanted: set[SegmentId], is_valid_line: Callable[[bytes], bool] | None
) -> tuple[dict[SegmentId, SegmentClosed], set[SegmentId]]:
    """Return the `closed` receipts of these segments, and the evicted ones among them.

    A segment is evicted after its close: the search ends once all closes are found.
    """
    closed: dict[SegmentId, SegmentClosed] = {}
    evicted: set[SegmentId] = set()
    if not wanted:
        return closed, evicted
    encoded_names = _encode_names(wanted)
    for data in read_blocks_backwards(custody_dir):
        for line, receipt in _iter_receipts(data, _EVICTED_KIND):
            if isinstance(receipt.body, FootageEvicted):
                names = {(receipt.body.camera, text) for text in receipt.body.segments} & wanted
                if names and (is_valid_line is None or is_valid_line(line)):
                    evicted |= names
        for line, receipt in _iter_receipts(data, _CLOSED_KIND, encoded_names):
            body = receipt.body
            if (
                isinstance(body, SegmentClosed)
                and (body.camera, body.segment) in wanted
                and (is_valid_line is None or is_valid_line(line))
            ):
                closed.setdefault((body.camera, body.segment), body)
                if len(closed) == len(wanted):
                    return closed, evicted
    return closed, evicted


def _encode_names(segments: Iterable[SegmentId]) -> frozenset[bytes]:
    return frozenset(name.encode() for _, name in segments)


def _iter_receipts(
    data: bytes, member: bytes, encoded_names: frozenset[bytes] | None = None
) -> Iterator[tuple[bytes, _ReceiptExcerpt]]:
    """Yield the lines of a block that have a member, with their receipts, the newest first.

    With `encoded_names`, only those about one of these segments. Damaged lines are skipped, and signatures are not
    checked. Decoding each of 100,000 lines takes 0.09 s of CPU on x86, this search 0.04 s; a
    test compares the two.
    """
    offset = len(data)
    while (offset := data.rfind(member, 0, offset)) >= 0:
        if encoded_names is not None:
            begin = data.find(_SEGMENT_KEY, offset) + len(_SEGMENT_KEY)
            if data[begin : data.find(b'"', begin)] not in encoded_names:
                continue
        end = data.find(b"\n", offset)
        line = data[data.rfind(b"\n", 0, offset) + 1 : end if end >= 0 else len(data)]
        try:
            receipt = _EXCERPT_DECODER.decode(line.partition(b" ")[2])
        except MalformedJson:
            continue
        yield line, receipt
