"""Recorded spans: contiguous segments of one camera, merged for a list."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

import msgspec

from agent.recording.catalogue import FootageEntry
from agent.recording.segment_name import KEYS_SUFFIX

_MAX_JOIN_GAP = timedelta(seconds=2)

_Kind: TypeAlias = tuple[str, bool, bool, bool]
"""The properties that all segments of a span share: camera, `clock_synced`, `sealed`, `has_receipts`."""


class RecordedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Uniform footage of one camera without a gap.

    `end` is None while it is being written.
    """

    camera: str
    begin: datetime
    end: datetime | None
    segment_count: int
    size_bytes: int
    clock_synced: bool
    sealed: bool
    has_receipts: bool


def merge_segments(entries: Sequence[FootageEntry]) -> Iterator[RecordedSpan]:
    """Merge contiguous segments into spans."""
    first = 0
    kind: _Kind | None = None
    end: datetime | None = None
    for index, entry in enumerate(entries):
        has_receipts = entry.closed is not None or entry.is_being_written
        entry_kind = (entry.camera, entry.name.synced, is_sealed(entry), has_receipts)
        if entry_kind != kind or end is None or abs(entry.begin - end) >= _MAX_JOIN_GAP:
            if kind is not None:
                yield _span(entries[first:index], kind, end)
            first, kind = index, entry_kind
        end = _end_of(entry, entries[index + 1] if index + 1 < len(entries) else None)
    if kind is not None:
        yield _span(entries[first:], kind, end)


def is_sealed(entry: FootageEntry) -> bool:
    """Return True if a segment is sealed."""
    if entry.closed is not None:
        return entry.closed.sealed
    return entry.path.with_name(entry.segment_name + KEYS_SUFFIX).exists()


def _end_of(entry: FootageEntry, next_entry: FootageEntry | None) -> datetime | None:
    """Return the end of a segment; without a receipt it is the begin of the camera's next one."""
    end = entry.end
    if end is None and not entry.is_being_written and next_entry is not None:
        return next_entry.begin if next_entry.camera == entry.camera else None
    return end


def _span(entries: Sequence[FootageEntry], kind: _Kind, end: datetime | None) -> RecordedSpan:
    camera, clock_synced, sealed, has_receipts = kind
    return RecordedSpan(
        camera=camera,
        begin=entries[0].begin,
        end=end,
        segment_count=len(entries),
        size_bytes=sum(entry.size_bytes for entry in entries),
        clock_synced=clock_synced,
        sealed=sealed,
        has_receipts=has_receipts,
    )
