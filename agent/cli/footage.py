"""`vigie footage`: list, export, verify, hold and unseal what the cameras recorded."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from agent.base.time_argument import ALLOWED_FORMATS
from agent.cli import footage_box, footage_offline
from agent.cli.commands import Commands
from agent.recording.export.exporter import ExportError

_RELATIVE_TIME = re.compile(r"^-\d[\ddhms.]*$(?!\n)", re.ASCII)
_DEFAULT_HOLD_DAYS = 30.0


def add_parser(commands: Commands) -> None:
    """Add the command and its own commands."""
    parser = commands.add_parser(
        "footage",
        help="list, export, verify, hold and unseal footage",
        description="Works on a box's state folder, whether its agent runs or not; verify, unseal "
        f"and keygen need no box. A moment is {ALLOWED_FORMATS}.",
    )
    subcommands = parser.add_subparsers(metavar="WHAT", required=True)
    _add_list(subcommands)
    _add_export(subcommands)
    _add_verify(subcommands)
    _add_holds(subcommands)
    _add_attest(subcommands)
    _add_unseal(subcommands)


def _add_list(subcommands: Commands) -> None:
    parser = _add_subcommand(
        subcommands, "list", "what lies on the disk", footage_box.list_footage, box=True
    )
    parser.add_argument("--camera", metavar="C", help="this camera alone (default: all)")
    parser.add_argument("--from", dest="begin", metavar="T", help="what touches this or later")
    parser.add_argument("--to", dest="end", metavar="T", help="what began before")


def _add_export(subcommands: Commands) -> None:
    parser = _add_subcommand(
        subcommands, "export", "a span with all to verify it by", footage_box.export, box=True
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


def _add_verify(subcommands: Commands) -> None:
    parser = _add_subcommand(
        subcommands, "verify", "whether an export is what its box signed", footage_offline.verify
    )
    parser.add_argument("path", metavar="PATH", type=Path, help="the export's folder")
    parser.add_argument(
        "--public-key", metavar="KEY", help="the box's, base64, as the centre knows it"
    )
    parser.add_argument(
        "--head", metavar="SEQ:SHA256", help="a head of its chain that the centre knows"
    )


def _add_holds(subcommands: Commands) -> None:
    parser = _add_subcommand(
        subcommands, "hold", "keep a span from eviction", footage_box.hold, box=True
    )
    _add_span(parser)
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why")
    parser.add_argument("--by", metavar="NAME", required=True, help="who")
    parser.add_argument(
        "--days",
        metavar="N",
        type=float,
        default=_DEFAULT_HOLD_DAYS,
        help="for so many days from now (default: %(default)g)",
    )
    parser = _add_subcommand(subcommands, "release", "end a hold", footage_box.release, box=True)
    parser.add_argument("hold", metavar="ID", help="as `holds` shows it")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why")
    parser.add_argument("--by", metavar="NAME", required=True, help="who")
    _add_subcommand(
        subcommands,
        "holds",
        "what is held, by whom and until when",
        footage_box.list_holds,
        box=True,
    )


def _add_attest(subcommands: Commands) -> None:
    _add_subcommand(
        subcommands,
        "attest",
        "say in the chain of custody what footage there is, and since when",
        footage_box.attest,
        box=True,
    )


def _add_unseal(subcommands: Commands) -> None:
    parser = _add_subcommand(
        subcommands, "unseal", "open sealed footage, at the centre", footage_offline.unseal
    )
    parser.add_argument("path", metavar="PATH", type=Path, help="an export, a folder, a segment")
    parser.add_argument("--key", metavar="FILE", type=Path, required=True, help="private key, PEM")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder")
    parser = _add_subcommand(
        subcommands, "keygen", "make a key pair that footage is sealed for", footage_offline.keygen
    )
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the private key")


def _add_subcommand(
    subcommands: Commands,
    name: str,
    help_text: str,
    run: Callable[[argparse.Namespace], int],
    *,
    box: bool = False,
) -> argparse.ArgumentParser:
    parser = subcommands.add_parser(
        name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}."
    )
    # Else argparse takes `-10m` for an option; it has no public way to be told.
    parser._negative_number_matcher = _RELATIVE_TIME  # noqa: SLF001
    if box:
        group = parser.add_mutually_exclusive_group(required=True)
        group.add_argument("--config", metavar="FILE", type=Path, help="the box's configuration")
        group.add_argument("--state", metavar="DIR", type=Path, help="the box's state folder")
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
    except ExportError as error:
        print(f"vigie: {error}", file=sys.stderr)
    except BrokenPipeError:
        raise
    except OSError as error:
        prefix = f"{error.filename}: " if error.filename else ""
        print(f"vigie: {prefix}{error.strerror or error}", file=sys.stderr)
    return 1
