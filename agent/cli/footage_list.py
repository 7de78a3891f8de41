"""`vigie footage list`. Apart from the other subcommands: it imports none of what they need."""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import msgspec

from agent.base.clock import SystemClock, rfc3339
from agent.base.time_argument import parse_time
from agent.cli.output import escape_unprintable
from agent.recording.catalogue import FootageEntry
from agent.recording.footage_listing import FootageListing
from agent.recording.recorded_span import RecordedSpan, is_sealed, merge_segments

_Row: TypeAlias = tuple[str, str, str, str, str, str]
_HEADINGS: _Row = ("camera", "from", "to", "segments", "MB", "remarks")
_NUMBERS = ("segments", "MB")


def list_footage(args: argparse.Namespace) -> int:
    """Print the footage as spans, or as JSON each segment. Return 1 if there is none."""
    clock = SystemClock()
    listing = (
        FootageListing.from_state_dir(args.state, clock)
        if args.config is None
        else FootageListing.from_config(args.config, clock)
    )
    begin = None if args.begin is None else parse_time(args.begin, listing.now(), "--from")
    end = None if args.end is None else parse_time(args.end, listing.now(), "--to")
    entries = listing.find_segments(args.camera, begin, end)
    if not entries:
        print("vigie: no footage found", file=sys.stderr)
        return 1
    if args.json:
        for entry in entries:
            sys.stdout.buffer.write(msgspec.json.encode(_entry_json(entry)) + b"\n")
        return 0
    _print_table([_HEADINGS, *map(_format_span, merge_segments(entries))])
    return 0


def _print_table(rows: Sequence[_Row]) -> None:
    # Not one of rich, whose import takes a third of the start, and which folds times in a pipe.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if heading in _NUMBERS else cell.ljust(width)
            for heading, cell, width in zip(_HEADINGS, row, widths, strict=True)
        )
        print("  ".join(cells).rstrip())


def _format_span(span: RecordedSpan) -> _Row:
    remarks = ["sealed" if span.sealed else "plain"]
    if not span.clock_synced:
        remarks.append("clock not synced")
    if not span.has_receipts:
        remarks.append("no receipts")
    return (
        escape_unprintable(span.camera),
        _format_time(span.begin),
        "now" if span.end is None else _format_time(span.end),
        str(span.segment_count),
        f"{span.size_bytes / 1e6:.1f}",
        ", ".join(remarks),
    )


def _format_time(utc: datetime) -> str:
    return f"{utc:%Y-%m-%d %H:%M:%S}Z"


def _entry_json(entry: FootageEntry) -> dict[str, object]:
    closed = entry.closed
    return {
        "camera": entry.camera,
        "segment": entry.segment_name,
        "begin_time": rfc3339(entry.begin),
        "end_time": None if entry.end is None else rfc3339(entry.end),
        "size_bytes": entry.size_bytes,
        "clock_synced": entry.name.synced,
        "sealed": is_sealed(entry),
        "writing": entry.is_being_written,
        "sha256": None if closed is None else closed.sha256,
    }
