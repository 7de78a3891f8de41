"""File names of segments, which make the file tree the only index.

    0000000042_1f155cfd_000000083215_20261125T013215.250Z.mp4

The counter, the boot (the first eight digits of the kernel's boot id), milliseconds since that
boot, and UTC. The counter comes first and is one more than the highest in the folder and its
quarantine, across boots: alphabetical order is the order of recording, also on a box that booted
without a clock or whose clock was stepped. UTC is an estimate; `_unsynced` follows it if the clock was not disciplined.

A sealed segment has a file next to it that ends in `.mp4.keys`. It is created before the segment and
deleted with it.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

PART_SUFFIX = ".part"
"""Suffix of a file that is still being written."""

KEYS_SUFFIX = ".keys"
"""Suffix, after the segment's name, of the file with the wrapped keys of a sealed segment."""

_NAME_PATTERN = re.compile(
    r"(?P<counter>\d{10})_(?P<boot>[0-9a-f]{8})_(?P<begin_ms>\d{12})"
    r"_(?P<utc>\d{8}T\d{6}\.\d{3})Z(?P<unsynced>_unsynced)?\.mp4",
    re.ASCII,
)
_FILE_PATTERN = re.compile(
    rf"{_NAME_PATTERN.pattern}(?:{re.escape(PART_SUFFIX)})?", _NAME_PATTERN.flags
)

BOOT_LABEL = slice(11, 19)
"""The boot in a segment's name."""

UTC_LABEL = slice(33, 52)
"""UTC in a segment's name. In this form it sorts as time."""


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
    counter, boot, begin_ms, utc_label, unsynced = match.groups()
    try:
        utc = datetime.fromisoformat(utc_label + "Z")
    except ValueError:
        return None
    return SegmentName(
        counter=int(counter),
        boot=boot,
        begin_ms=int(begin_ms),
        utc=utc,
        synced=unsynced is None,
    )


def filter_segment_files(file_names: Iterable[str]) -> list[str]:
    """Return the names of segments' files, closed or open, in their order.

    Their labels can be compared without parsing them, which costs more than all else that a list of a folder does.
    """
    return list(filter(_FILE_PATTERN.fullmatch, file_names))


def format_utc_label(utc: datetime) -> str:
    """Format UTC like UTC_LABEL, to the microsecond.

    It sorts after the label of its millisecond.
    """
    timestamp = utc.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    return timestamp.replace("-", "").replace(":", "")
