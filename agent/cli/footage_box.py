"""`vigie footage` at a box: list, export, hold, release, holds."""

import argparse
import sys
from datetime import datetime
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.base.time_argument import parse_time
from agent.cli.footage_output import LONGEST_WORDS, print_json, progress_bar, shown
from agent.recording.archive import FootageArchive, RecordedSpan, is_sealed, stretches
from agent.recording.catalogue import FootageEntry
from agent.recording.encryption import keys
from agent.recording.export.html_pages import ExportPageText
from agent.recording.segment_name import rfc3339


def list_footage(args: argparse.Namespace) -> int:
    """What lies on the disk, as stretches; each segment as JSON."""
    footage = _footage(args)
    begin = _moment(args.begin, footage, "--from")
    end = _moment(args.end, footage, "--to")
    entries = footage.find(args.camera, begin, end)
    if not entries:
        print("vigie: no footage there", file=sys.stderr)
        return 1
    if args.json:
        for entry in entries:
            print_json(_told(entry))
        return 0
    console = Console()
    table = Table()
    for heading in ("camera", "from", "to", "segments", "MB", "remarks"):
        justify: Literal["right", "left"] = "right" if heading in ("segments", "MB") else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for stretch in stretches(entries):
        table.add_row(
            Text(stretch.camera),
            _second(stretch.begin),
            "now" if stretch.end is None else _second(stretch.end),
            str(stretch.segments),
            f"{stretch.size_bytes / 1e6:.1f}",
            _remarks(stretch),
        )
    console.print(table)
    return 0


def export(args: argparse.Namespace) -> int:
    """Take a span out of the box."""
    footage = _footage(args)
    wish = ExportPageText(
        camera=args.camera,
        begin=_needed(args.begin, footage, "--from"),
        end=_needed(args.end, footage, "--to"),
        by=_words(args.by, "--by"),
        purpose=_words(args.purpose, "--purpose"),
        out=args.out,
        unmasked=args.unmasked,
    )
    key = None if args.key is None else keys.read_private_key(args.key)
    with progress_bar("exporting") as progress:
        made = footage.export(wish, key, progress)
    head = {"seq": made.receipt.seq}
    if args.json:
        print_json(
            {
                "folder": str(made.folder),
                "segments": made.segments,
                "withheld": made.withheld,
                "size_bytes": made.size_bytes,
                "clip": made.clip,
                "no_clip": made.no_clip,
                "left_out": made.left_out,
                "receipt": head,
            }
        )
        return 0
    print(f"{made.folder}: {len(made.segments)} segments, {made.size_bytes / 1e6:.1f} MB")
    if made.clip is not None:
        print(f"  clip.mp4: {made.clip.duration_ns / 1e9:.1f} s from {made.clip.begin_time}")
    else:
        print(f"  no clip: {made.no_clip}")
    if made.withheld:
        print(
            f"  {len(made.withheld)} segments withheld: they show what the masks hide; --unmasked"
        )
    for name, why in made.left_out.items():
        print(f"  left out: {name}: {why}")
    print(f"  in the box's chain as receipt {made.receipt.seq}")
    print(f"  verify it: vigie footage verify {made.folder}, or open verify.html in a browser")
    return 0


def hold(args: argparse.Namespace) -> int:
    """Keep a span."""
    footage = _footage(args)
    hold = footage.hold(
        args.camera,
        _needed(args.begin, footage, "--from"),
        _needed(args.end, footage, "--to"),
        owner=_words(args.by, "--by"),
        reason=_words(args.reason, "--reason"),
        days=args.days,
    )
    if args.json:
        print_json(hold)
    else:
        print(f"{hold.id}: {hold.camera} {hold.begin_time} to {hold.end_time}")
        print(f"  held until {hold.expires}")
    return 0


def attest(args: argparse.Namespace) -> int:
    """Say in the chain what there is."""
    for made in _footage(args).attest():
        if args.json:
            print_json(made)
        else:
            since = f" since {made.oldest_time}" if made.oldest_time else ""
            print(f"{made.camera}: {made.segments} segments{since}, {made.bytes / 1e6:.1f} MB")
    return 0


def release(args: argparse.Namespace) -> int:
    """Let go of a hold."""
    hold = _footage(args).release(
        args.hold, by=_words(args.by, "--by"), reason=_words(args.reason, "--reason")
    )
    if args.json:
        print_json(hold)
    else:
        print(f"{hold.id}: released")
    return 0


def holds(args: argparse.Namespace) -> int:
    """What is held."""
    holds = _footage(args).holds()
    if not holds:
        print("vigie: nothing is held", file=sys.stderr)
        return 1
    if args.json:
        for hold in holds:
            print_json(hold)
        return 0
    table = Table()
    for heading in ("hold", "camera", "from", "to", "by", "reason", "expires"):
        table.add_column(heading, overflow="fold")
    for hold in holds:
        end = "now" if hold.going_on else hold.end_time
        told = (hold.id, hold.camera, hold.begin_time, end, hold.owner, hold.reason, hold.expires)
        table.add_row(*(Text(shown(each)) for each in told))
    Console().print(table)
    return 0


def _footage(args: argparse.Namespace) -> FootageArchive:
    clock = SystemClock()
    if args.config is not None:
        return FootageArchive.of_config(args.config, clock)
    return FootageArchive.of_state(args.state, clock)


def _moment(text: str | None, footage: FootageArchive, what: str) -> datetime | None:
    return None if text is None else parse_time(text, footage.now(), what)


def _needed(text: str, footage: FootageArchive, what: str) -> datetime:
    return parse_time(text, footage.now(), what)


def _words(text: str, what: str) -> str:
    """What a person writes for others to read."""
    words = text.strip()
    if not words or len(words) > LONGEST_WORDS or not words.isprintable():
        raise UserError(f"{what} {text!r}: allowed: one line of 1 to {LONGEST_WORDS} characters")
    return words


def _told(entry: FootageEntry) -> dict[str, object]:
    closed = entry.closed
    return {
        "camera": entry.camera,
        "segment": entry.text,
        "begin_time": rfc3339(entry.begin),
        "end_time": None if entry.end is None else rfc3339(entry.end),
        "size_bytes": entry.size_bytes,
        "clock_synced": entry.name.synced,
        "sealed": is_sealed(entry),
        "writing": entry.writing,
        "sha256": None if closed is None else closed.sha256,
    }


def _remarks(stretch: RecordedSpan) -> str:
    said = ["sealed" if stretch.sealed else "plain"]
    if not stretch.clock_synced:
        said.append("clock not sure")
    if not stretch.receipts:
        said.append("no receipts")
    return ", ".join(said)


def _second(utc: datetime) -> str:
    return f"{utc:%Y-%m-%d %H:%M:%S}Z"
