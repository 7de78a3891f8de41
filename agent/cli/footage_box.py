"""`vigie footage` on a box: export, attest, hold, release, holds."""

import argparse
import shlex
import sys
from datetime import datetime

from agent.base.clock import SystemClock
from agent.base.time_argument import parse_time
from agent.cli.output import escape_unprintable, parse_text, print_json, progress_bar
from agent.recording.archive import FootageArchive
from agent.recording.encryption import keys
from agent.recording.export.export_request import ExportRequest
from agent.recording.export.exporter import ExportError


def export(args: argparse.Namespace) -> int:
    """Export a time span. Return 1 if there is nothing to export."""
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
    try:
        with progress_bar("exporting") as progress:
            result = archive.export(request, key, progress)
    except ExportError as error:
        print(f"vigie: {error}", file=sys.stderr)
        return 1
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
    verify = shlex.join(["vigie", "footage", "verify", str(result.folder)])
    print(f"  verify it: {verify}, or open verify.html in a browser")
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
