"""`vigie footage` on a box: list, export, attest, hold, release, holds."""

import argparse
import sys
from datetime import datetime
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.base.clock import SystemClock, rfc3339
from agent.base.time_argument import parse_time
from agent.cli.output import escape_unprintable, parse_text, print_json, progress_bar
from agent.recording.archive import FootageArchive, RecordedSpan, is_sealed, merge_segments
from agent.recording.catalogue import FootageEntry
from agent.recording.encryption import keys
from agent.recording.export.export_request import ExportRequest


def list_footage(args: argparse.Namespace) -> int:
    """Print the footage as spans, or as JSON each segment. Return 1 if there is none."""
    archive = _open_archive(args)
    begin = None if args.begin is None else _parse_time(args.begin, archive, "--from")
    end = None if args.end is None else _parse_time(args.end, archive, "--to")
    entries = archive.find_segments(args.camera, begin, end)
    if not entries:
        print("vigie: no footage found", file=sys.stderr)
        return 1
    if args.json:
        for entry in entries:
            print_json(_entry_json(entry))
        return 0
    console = Console()
    table = Table()
    for heading in ("camera", "from", "to", "segments", "MB", "remarks"):
        justify: Literal["right", "left"] = "right" if heading in ("segments", "MB") else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for span in merge_segments(entries):
        table.add_row(
            Text(span.camera),
            _format_time(span.begin),
            "now" if span.end is None else _format_time(span.end),
            str(span.segment_count),
            f"{span.size_bytes / 1e6:.1f}",
            _format_remarks(span),
        )
    console.print(table)
    return 0


def export(args: argparse.Namespace) -> int:
    """Export a time span."""
    archive = _open_archive(args)
    request = ExportRequest(
        camera=args.camera,
        begin=_parse_time(args.begin, archive, "--from"),
        end=_parse_time(args.end, archive, "--to"),
        by=parse_text(args.by, "--by"),
        purpose=parse_text(args.purpose, "--purpose"),
        out=args.out,
        unmasked=args.unmasked,
    )
    key = None if args.key is None else keys.read_private_key(args.key)
    with progress_bar("exporting") as progress:
        result = archive.export(request, key, progress)
    receipt = {"seq": result.receipt.seq}
    if args.json:
        print_json(
            {
                "folder": str(result.folder),
                "segments": result.segments,
                "withheld": result.withheld,
                "size_bytes": result.size_bytes,
                "clip": result.clip,
                "no_clip_reason": result.no_clip_reason,
                "excluded": result.excluded,
                "receipt": receipt,
            }
        )
        return 0
    print(f"{result.folder}: {len(result.segments)} segments, {result.size_bytes / 1e6:.1f} MB")
    if result.clip is not None:
        print(f"  clip.mp4: {result.clip.duration_ns / 1e9:.1f} s from {result.clip.begin_time}")
    else:
        print(f"  no clip: {result.no_clip_reason}")
    if result.withheld:
        print(
            f"  {len(result.withheld)} segments withheld, which show what the masks hide: --unmasked"
        )
    for name, reason in result.excluded.items():
        print(f"  left out: {name}: {reason}")
    print(f"  in the box's custody chain as receipt {result.receipt.seq}")
    print(f"  verify it: vigie footage verify {result.folder}, or open verify.html in a browser")
    return 0


def hold(args: argparse.Namespace) -> int:
    """Place a hold on a time span."""
    archive = _open_archive(args)
    hold = archive.place_hold(
        args.camera,
        _parse_time(args.begin, archive, "--from"),
        _parse_time(args.end, archive, "--to"),
        owner=parse_text(args.by, "--by"),
        reason=parse_text(args.reason, "--reason"),
        days=args.days,
        case=None if args.case is None else parse_text(args.case, "--case"),
    )
    if args.json:
        print_json(hold)
    else:
        print(f"{hold.id}: {hold.camera} {hold.begin_time} to {hold.end_time}")
        print(f"  held until {hold.expires}")
    return 0


def attest(args: argparse.Namespace) -> int:
    """Add a receipt about the existing footage of each camera."""
    for attestation in _open_archive(args).attest():
        if args.json:
            print_json(attestation)
        else:
            since = f" since {attestation.oldest_time}" if attestation.oldest_time else ""
            print(
                f"{attestation.camera}: {attestation.segment_count} segments{since}, {attestation.size_bytes / 1e6:.1f} MB"
            )
    return 0


def release(args: argparse.Namespace) -> int:
    """Release a hold."""
    hold = _open_archive(args).release_hold(
        args.hold, by=parse_text(args.by, "--by"), reason=parse_text(args.reason, "--reason")
    )
    if args.json:
        print_json(hold)
    else:
        print(f"{hold.id}: released")
    return 0


def list_holds(args: argparse.Namespace) -> int:
    """Print the holds. Return 1 if there are none."""
    holds = _open_archive(args).list_holds()
    if not holds:
        print("vigie: no holds", file=sys.stderr)
        return 1
    if args.json:
        for hold in holds:
            print_json(hold)
        return 0
    # Lines, not a table: a table folds the id in a narrow terminal and in a pipe, and it is to be copied.
    for hold in holds:
        end = "now" if hold.ongoing else hold.end_time
        print(f"{hold.id}  {hold.camera}  {hold.begin_time} to {end}")
        case = "" if hold.case is None else f"case {hold.case}: "
        print(
            escape_unprintable(f"  held until {hold.expires} by {hold.owner}: {case}{hold.reason}")
        )
    return 0


def _open_archive(args: argparse.Namespace) -> FootageArchive:
    clock = SystemClock()
    if args.config is not None:
        return FootageArchive.from_config(args.config, clock)
    return FootageArchive.from_state_dir(args.state, clock)


def _parse_time(text: str, archive: FootageArchive, option: str) -> datetime:
    return parse_time(text, archive.now(), option)


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


def _format_remarks(span: RecordedSpan) -> str:
    remarks = ["sealed" if span.sealed else "plain"]
    if not span.clock_synced:
        remarks.append("clock not synced")
    if not span.has_receipts:
        remarks.append("no receipts")
    return ", ".join(remarks)


def _format_time(utc: datetime) -> str:
    return f"{utc:%Y-%m-%d %H:%M:%S}Z"
