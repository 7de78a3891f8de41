"""What a segment's file name says, so that the file tree alone is the index.

    0000000042_1f155cfd_000000083215_20261125T013215.250Z.mp4

The counter, the boot (the first eight digits of the kernel's boot id), milliseconds since that
boot, and UTC. The counter comes first and is one more than the highest in the folder, across
boots: names in alphabetical order are footage in the order of recording, on a box that booted
without a clock, and after one whose clock was stepped, alike. UTC only says when it seems to
have been; `_unsynced` follows it where the clock was not disciplined then.

A sealed segment has a file beside it that ends in `.mp4.keys`. It belongs to the segment: it is
there before the segment is, and goes with it.
"""

import re
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

PART_SUFFIX = ".part"
"""Follows the name of a file that is still written to."""

KEYS_SUFFIX = ".keys"
"""Follows a segment's name in that of the file with its wrapped keys, where it is sealed."""

_NAME_PATTERN = re.compile(
    r"(?P<counter>\d{10})_(?P<boot>[0-9a-f]{8})_(?P<begin_ms>\d{12})"
    r"_(?P<utc>\d{8}T\d{6}\.\d{3})Z(?P<unsynced>_unsynced)?\.mp4"
)


class SegmentName(msgspec.Struct, frozen=True, kw_only=True):
    """The name's parts. `begin_ms` is of CLOCK_BOOTTIME in the boot `boot`."""

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


def parse_segment_name(text: str) -> SegmentName | None:
    """The parts of a file name (without `.part`), or None where it is no segment's."""
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
"""Of a name's parts the boot and the UTC as they stand there. UTC in this form sorts as time."""


def parse_label(text: str) -> BootUtcLabel | None:
    """The label of a file name (without `.part`), or None where it is no segment's.

    It costs a fraction of all the parts, and folders hold many names.
    """
    match = _NAME_PATTERN.fullmatch(text)
    return None if match is None else (match["boot"], match["utc"])


def format_utc_label(utc: datetime) -> str:
    """UTC as a label has it, but to the microsecond: it sorts after the label of its millisecond."""
    timestamp = utc.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    return timestamp.replace("-", "").replace(":", "")
