"""`vigie footage`: list, export, verify, hold and unseal what the cameras recorded."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from agent.base.time_argument import ALLOWED
from agent.cli import footage_box, footage_offline
from agent.cli.commands import Commands
from agent.recording.export.exporter import CannotExport

_AGO = re.compile(r"^-\d[\ddhms.]*$(?!\n)", re.ASCII)
_HOLD_DAYS = 30.0


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
    _add_attest(kinds)
    _add_unseal(kinds)


def _add_list(kinds: Commands) -> None:
    parser = _parser(kinds, "list", "what lies on the disk", footage_box.list_footage, box=True)
    parser.add_argument("--camera", metavar="C", help="this camera alone (default: all)")
    parser.add_argument("--from", dest="begin", metavar="T", help="what touches this or later")
    parser.add_argument("--to", dest="end", metavar="T", help="what began before")


def _add_export(kinds: Commands) -> None:
    parser = _parser(
        kinds, "export", "a span with all to verify it by", footage_box.export, box=True
    )
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
    parser = _parser(
        kinds, "verify", "whether an export is what its box signed", footage_offline.verify
    )
    parser.add_argument("path", metavar="PATH", type=Path, help="the export's folder")
    parser.add_argument(
        "--public-key", metavar="KEY", help="the box's, base64, as the centre knows it"
    )
    parser.add_argument(
        "--head", metavar="SEQ:SHA256", help="a head of its chain that the centre knows"
    )


def _add_holds(kinds: Commands) -> None:
    parser = _parser(kinds, "hold", "keep a span from eviction", footage_box.hold, box=True)
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
    parser = _parser(kinds, "release", "end a hold", footage_box.release, box=True)
    parser.add_argument("hold", metavar="ID", help="as `holds` shows it")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why")
    parser.add_argument("--by", metavar="NAME", required=True, help="who")
    _parser(kinds, "holds", "what is held, by whom and until when", footage_box.holds, box=True)


def _add_attest(kinds: Commands) -> None:
    _parser(
        kinds,
        "attest",
        "say in the chain of custody what footage there is, and since when",
        footage_box.attest,
        box=True,
    )


def _add_unseal(kinds: Commands) -> None:
    parser = _parser(kinds, "unseal", "open sealed footage, at the centre", footage_offline.unseal)
    parser.add_argument("path", metavar="PATH", type=Path, help="an export, a folder, a segment")
    parser.add_argument("--key", metavar="FILE", type=Path, required=True, help="private key, PEM")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder")
    parser = _parser(
        kinds, "keygen", "make a key pair that footage is sealed for", footage_offline.keygen
    )
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
