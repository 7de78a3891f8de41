"""`vigie footage`: list, export, verify, hold and unseal what the cameras recorded."""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agent.cli.commands import Commands
from agent.clock import SystemClock
from agent.errors import BadInput
from agent.footage import Footage, Stretch, is_sealed, stretches
from agent.moments import ALLOWED, moment
from agent.record import keys
from agent.record.catalogue import Entry
from agent.record.chain import Head
from agent.record.export import CannotExport, Wish
from agent.record.segment_name import rfc3339
from agent.record.unsealed import unseal_all
from agent.record.verify import Verdict, verify_export

_HEAD = re.compile(r"([1-9]\d{0,15}):([0-9a-f]{64})", re.ASCII)
_AGO = re.compile(r"^-\d[\ddhms.]*$", re.ASCII)
_HOLD_DAYS = 30.0
_LONGEST_WORDS = 300


def add_parser(commands: Commands) -> None:
    """Add the command and its own commands."""
    parser = commands.add_parser(
        "footage",
        help="list, export, verify, hold and unseal footage",
        description="Works on a box's state folder, whether its agent runs or not; verify, unseal "
        f"and keygen need no box. A moment is {ALLOWED}.",
    )
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    _add_list(kinds)
    _add_export(kinds)
    _add_verify(kinds)
    _add_holds(kinds)
    _add_unseal(kinds)


def _add_list(kinds: Commands) -> None:
    parser = _parser(kinds, "list", "what lies on the disk", _list, box=True)
    parser.add_argument("--camera", metavar="C", help="this camera alone (default: all)")
    parser.add_argument("--from", dest="begin", metavar="T", help="what touches this or later")
    parser.add_argument("--to", dest="end", metavar="T", help="what began before")


def _add_export(kinds: Commands) -> None:
    parser = _parser(kinds, "export", "a span with all to verify it by", _export, box=True)
    _add_span(parser)
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder")
    parser.add_argument("--purpose", metavar="TEXT", required=True, help="why, for the receipt")
    parser.add_argument("--by", metavar="NAME", required=True, help="who, for the receipt")
    parser.add_argument("--key", metavar="FILE", type=Path, help="opens sealed footage, PEM")
    parser.add_argument(
        "--unmasked",
        action="store_true",
        help="with the files that show what the masks hide (the clip stays masked)",
    )


def _add_verify(kinds: Commands) -> None:
    parser = _parser(kinds, "verify", "whether an export is what its box signed", _verify)
    parser.add_argument("path", metavar="PATH", type=Path, help="the export's folder")
    parser.add_argument(
        "--public-key", metavar="KEY", help="the box's, base64, as the centre knows it"
    )
    parser.add_argument(
        "--head", metavar="SEQ:SHA256", help="a head of its chain that the centre knows"
    )


def _add_holds(kinds: Commands) -> None:
    parser = _parser(kinds, "hold", "keep a span from eviction", _hold, box=True)
    _add_span(parser)
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why")
    parser.add_argument("--by", metavar="NAME", required=True, help="who")
    parser.add_argument(
        "--days",
        metavar="N",
        type=float,
        default=_HOLD_DAYS,
        help="for so many days from now (default: %(default)g)",
    )
    parser = _parser(kinds, "release", "end a hold", _release, box=True)
    parser.add_argument("hold", metavar="ID", help="as `holds` shows it")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why")
    parser.add_argument("--by", metavar="NAME", required=True, help="who")
    _parser(kinds, "holds", "what is held, by whom and until when", _holds, box=True)


def _add_unseal(kinds: Commands) -> None:
    parser = _parser(kinds, "unseal", "open sealed footage, at the centre", _unseal)
    parser.add_argument("path", metavar="PATH", type=Path, help="an export, a folder, a segment")
    parser.add_argument("--key", metavar="FILE", type=Path, required=True, help="private key, PEM")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder")
    parser = _parser(kinds, "keygen", "make a key pair that footage is sealed for", _keygen)
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the private key")


def _parser(
    kinds: Commands,
    name: str,
    says: str,
    run: Callable[[argparse.Namespace], int],
    *,
    box: bool = False,
) -> argparse.ArgumentParser:
    parser = kinds.add_parser(name, help=says, description=f"{says[0].upper()}{says[1:]}.")
    # Else argparse takes `-10m` for an option; it has no public way to be told.
    parser._negative_number_matcher = _AGO  # noqa: SLF001
    if box:
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--config", metavar="FILE", type=Path, help="the box's configuration")
        where.add_argument("--state", metavar="DIR", type=Path, help="the box's state folder")
    parser.add_argument("--json", action="store_true", help="for machines: JSON, one on a line")
    parser.set_defaults(run=lambda args: _run(run, args))
    return parser


def _add_span(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--camera", metavar="C", required=True, help="the camera's name")
    parser.add_argument("--from", dest="begin", metavar="T", required=True, help="from this moment")
    parser.add_argument("--to", dest="end", metavar="T", required=True, help="until this moment")


def _run(command: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run one, and tell in a line where the disk or the footage does not let it."""
    try:
        return command(args)
    except CannotExport as error:
        print(f"vigie: {error}", file=sys.stderr)
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"vigie: {where}{error.strerror or error}", file=sys.stderr)
    return 1


def _list(args: argparse.Namespace) -> int:
    footage = _footage(args)
    begin = _moment(args.begin, footage, "--from")
    end = _moment(args.end, footage, "--to")
    entries = footage.find(args.camera, begin, end)
    if not entries:
        print("vigie: no footage there", file=sys.stderr)
        return 1
    if args.json:
        for entry in entries:
            _print_json(_told(entry))
        return 0
    console = Console()
    table = Table()
    for heading in ("camera", "from", "to", "segments", "MB", "remarks"):
        justify: Literal["right", "left"] = "right" if heading in ("segments", "MB") else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for stretch in stretches(entries):
        table.add_row(
            stretch.camera,
            _second(stretch.begin),
            "now" if stretch.end is None else _second(stretch.end),
            str(stretch.segments),
            f"{stretch.size_bytes / 1e6:.1f}",
            _remarks(stretch),
        )
    console.print(table)
    return 0


def _export(args: argparse.Namespace) -> int:
    footage = _footage(args)
    wish = Wish(
        camera=args.camera,
        begin=_needed(args.begin, footage, "--from"),
        end=_needed(args.end, footage, "--to"),
        by=_words(args.by, "--by"),
        purpose=_words(args.purpose, "--purpose"),
        out=args.out,
        unmasked=args.unmasked,
    )
    key = None if args.key is None else keys.read_private_key(args.key)
    with _progress("exporting") as progress:
        made = footage.export(wish, key, progress)
    head = {"seq": made.receipt.seq}
    if args.json:
        _print_json(
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


def _verify(args: argparse.Namespace) -> int:
    if not args.path.is_dir():
        raise BadInput(f"{str(args.path)!r}: no such folder; allowed: the folder of an export")
    head = _head(args.head)
    with _progress("verifying") as progress:
        verdict = verify_export(
            args.path, known_key=args.public_key, known_head=head, progress=progress
        )
    if args.json:
        _print_json(verdict)
    else:
        _print_verdict(verdict, args.path, known=args.public_key is not None)
    return 0 if verdict.ok else 1


def _print_verdict(verdict: Verdict, path: Path, *, known: bool) -> None:
    manifest = verdict.manifest
    if not verdict.ok or manifest is None:
        print(f"{path}: BROKEN: {verdict.first_problem}")
        return
    print(f"{path}: good: {verdict.segments} segments, {verdict.receipts} receipts")
    print(f"  box {manifest.box}, camera {manifest.camera}")
    print(f"  {manifest.begin_time} to {manifest.end_time}")
    print(f"  exported by {manifest.by} for: {manifest.purpose}")
    print(f"  signed by {manifest.public_key}")
    if not known:
        print("  compare that key with the one that the centre knows: --public-key KEY")


def _hold(args: argparse.Namespace) -> int:
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
        _print_json(hold)
    else:
        print(f"{hold.id}: {hold.camera} {hold.begin_time} to {hold.end_time}")
        print(f"  held until {hold.expires}")
    return 0


def _release(args: argparse.Namespace) -> int:
    hold = _footage(args).release(
        args.hold, by=_words(args.by, "--by"), reason=_words(args.reason, "--reason")
    )
    if args.json:
        _print_json(hold)
    else:
        print(f"{hold.id}: released")
    return 0


def _holds(args: argparse.Namespace) -> int:
    holds = _footage(args).holds()
    if not holds:
        print("vigie: nothing is held", file=sys.stderr)
        return 1
    if args.json:
        for hold in holds:
            _print_json(hold)
        return 0
    table = Table()
    for heading in ("hold", "camera", "from", "to", "by", "reason", "expires"):
        table.add_column(heading, overflow="fold")
    for hold in holds:
        end = "now" if hold.going_on else hold.end_time
        table.add_row(
            hold.id, hold.camera, hold.begin_time, end, hold.owner, hold.reason, hold.expires
        )
    Console().print(table)
    return 0


def _unseal(args: argparse.Namespace) -> int:
    key = keys.read_private_key(args.key)
    with _progress("unsealing") as progress:
        done = unseal_all(args.path, key, args.out, progress)
    if args.json:
        clip = None if done.clip is None else str(done.clip)
        _print_json({"folder": str(done.folder), "segments": done.segments, "clip": clip})
        return 0
    print(f"{done.folder}: {len(done.segments)} segments unsealed")
    if done.clip is not None:
        print(f"  the clip: {done.clip}")
    return 0


def _keygen(args: argparse.Namespace) -> int:
    public_key = keys.make_private_key(args.out)
    if args.json:
        _print_json({"private_key": str(args.out), "public_key": public_key})
        return 0
    print(f"{args.out}: the private key. Keep it off every box: who has it can see the footage,")
    print("and who loses it has lost the footage. What the boxes are given:")
    print(f'\n[[record.recipient]]\nid = "centre"\npublic_key = "{public_key}"')
    return 0


def _footage(args: argparse.Namespace) -> Footage:
    clock = SystemClock()
    if args.config is not None:
        return Footage.of_config(args.config, clock)
    return Footage.of_state(args.state, clock)


def _moment(text: str | None, footage: Footage, what: str) -> datetime | None:
    return None if text is None else moment(text, footage.now(), what)


def _needed(text: str, footage: Footage, what: str) -> datetime:
    return moment(text, footage.now(), what)


def _words(text: str, what: str) -> str:
    """What a person writes for others to read."""
    words = text.strip()
    if not words or len(words) > _LONGEST_WORDS or not words.isprintable():
        raise BadInput(f"{what} {text!r}: allowed: one line of 1 to {_LONGEST_WORDS} characters")
    return words


def _head(text: str | None) -> Head | None:
    if text is None:
        return None
    match = _HEAD.fullmatch(text)
    if match is None:
        raise BadInput(f"--head {text!r}: allowed: a receipt's number, a colon, 64 digits of hex")
    return Head(seq=int(match[1]), sha256=match[2], time="")


def _told(entry: Entry) -> dict[str, object]:
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


def _second(utc: datetime) -> str:
    return f"{utc:%Y-%m-%d %H:%M:%S}Z"


def _remarks(stretch: Stretch) -> str:
    said = ["sealed" if stretch.sealed else "plain"]
    if not stretch.clock_synced:
        said.append("clock not sure")
    if not stretch.receipts:
        said.append("no receipts")
    return ", ".join(said)


def _print_json(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the standard error, where that is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
