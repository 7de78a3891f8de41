"""File names of segments, which make the file tree the only index.

    0000000042_1f155cfd_000000083215_20261125T013215.250Z.mp4

The counter, the boot (the first eight digits of the kernel's boot id), milliseconds since that
boot, and UTC. The counter comes first and is one more than the highest in the folder, across
boots: alphabetical order is the order of recording, also on a box that booted without a clock or
whose clock was stepped. UTC is an estimate; `_unsynced` follows it if the clock was not disciplined.

A sealed segment has a file next to it that ends in `.mp4.keys`. It is created before the segment and
deleted with it.
"""

import re
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

PART_SUFFIX = ".part"
"""Suffix of a file that is still being written."""

KEYS_SUFFIX = ".keys"
"""Suffix, after the segment's name, of the file with the wrapped keys of a sealed segment."""

_NAME_PATTERN = re.compile(
    r"(?P<counter>\d{10})_(?P<boot>[0-9a-f]{8})_(?P<begin_ms>\d{12})"
    r"_(?P<utc>\d{8}T\d{6}\.\d{3})Z(?P<unsynced>_unsynced)?\.mp4"
)


class SegmentName(msgspec.Struct, frozen=True, kw_only=True):
    """Parsed name of a segment. `begin_ms` is CLOCK_BOOTTIME of the boot `boot`."""

    counter: int
    boot: str
    begin_ms: int
    utc: datetime
    synced: bool

    def __str__(self) -> str:
        utc = self.utc.astimezone(UTC)
        timestamp = f"{utc:%Y%m%dT%H%M%S}.{utc.microsecond // 1000:03d}Z"
        unsynced_mark = "" if self.synced else "_unsynced"
        return (
            f"{self.counter:010d}_{self.boot}_{self.begin_ms:012d}_{timestamp}{unsynced_mark}.mp4"
        )


def max_length_ms(name: SegmentName, next_name: SegmentName | None, limit_ms: int) -> int:
    """Return the longest possible duration of a segment, by names alone.

    It lasts up to the next one of its boot, and never longer than `limit_ms`.
    """
    if next_name is None or next_name.boot != name.boot or next_name.begin_ms < name.begin_ms:
        return limit_ms
    return min(limit_ms, next_name.begin_ms - name.begin_ms)


def parse_segment_name(text: str) -> SegmentName | None:
    """Parse a file name without `.part`. Returns None if it is not a segment's."""
    match = _NAME_PATTERN.fullmatch(text)
    if match is None:
        return None
    try:
        utc = datetime.fromisoformat(match["utc"] + "+00:00")
    except ValueError:
        return None
    return SegmentName(
        counter=int(match["counter"]),
        boot=match["boot"],
        begin_ms=int(match["begin_ms"]),
        utc=utc,
        synced=match["unsynced"] is None,
    )


BootUtcLabel: TypeAlias = tuple[str, str]
"""Boot and UTC of a name, as text. UTC in this form sorts as time."""


def parse_label(text: str) -> BootUtcLabel | None:
    """Parse the label of a file name without `.part`.

    Returns None if it is not a segment's. Much cheaper than `parse_segment_name`, and folders have
    many names.
    """
    match = _NAME_PATTERN.fullmatch(text)
    return None if match is None else (match["boot"], match["utc"])


def format_utc_label(utc: datetime) -> str:
    """Format UTC like a label, to the microsecond.

    It sorts after the label of its millisecond.
    """
    timestamp = utc.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    return timestamp.replace("-", "").replace(":", "")
