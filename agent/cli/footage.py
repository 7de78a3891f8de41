"""`vigie footage`: list, export, verify, hold and unseal what the cameras recorded."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from agent.base.time_argument import ALLOWED_FORMATS
from agent.cli.arguments import add_public_key, number_parser
from agent.cli.commands import Commands
from agent.config.recording import MAX_AGE_DAYS

_RELATIVE_TIME = re.compile(r"^-\d[\ddhms.]*$(?!\n)", re.ASCII)
_DEFAULT_HOLD_DAYS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments and subcommands."""
    parser.description = (
        "Works on the state folder of a box, whether its agent is running or not; verify, "
        f"unseal and keygen need no box. A time T is {ALLOWED_FORMATS}."
    )
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True, dest="subcommand")
    _add_list(subcommands)
    _add_export(subcommands)
    _add_verify(subcommands)
    _add_holds(subcommands)
    _add_attest(subcommands)
    _add_unseal(subcommands)


def _add_list(subcommands: Commands) -> None:
    parser = _add_subcommand(subcommands, "list", "list the footage on the disk", box=True)
    parser.add_argument("--camera", metavar="C", help="only this camera (default: all)")
    parser.add_argument("--from", dest="begin", metavar="T", help="only footage that ends after T")
    parser.add_argument("--to", dest="end", metavar="T", help="only footage that begins before T")


def _add_export(subcommands: Commands) -> None:
    parser = _add_subcommand(
        subcommands, "export", "export a time span with everything to verify it", box=True
    )
    _add_span(parser)
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="the new folder to write"
    )
    parser.add_argument(
        "--purpose", metavar="TEXT", required=True, help="the purpose, for the receipt"
    )
    parser.add_argument(
        "--by", metavar="NAME", required=True, help="the requester, for the receipt"
    )
    parser.add_argument(
        "--key", metavar="FILE", type=Path, help="the private key that opens sealed footage, PEM"
    )
    parser.add_argument(
        "--unmasked",
        action="store_true",
        help="include files that show what the masks hide (the clip stays masked)",
    )


def _add_verify(subcommands: Commands) -> None:
    parser = _add_subcommand(subcommands, "verify", "check that an export is what its box signed")
    parser.add_argument("path", metavar="PATH", type=Path, help="the export's folder")
    add_public_key(parser)
    parser.add_argument(
        "--head",
        metavar="SEQ:SHA256",
        action="append",
        default=[],
        help="a chain head of the box that the centre knows; may be given again",
    )
    parser.add_argument(
        "--heads",
        metavar="FILE",
        type=Path,
        help="the heads that the centre has stored, with their times, as `vigie heads` prints them",
    )


def _add_holds(subcommands: Commands) -> None:
    parser = _add_subcommand(subcommands, "hold", "protect a time span from eviction", box=True)
    _add_span(parser)
    parser.add_argument("--reason", metavar="TEXT", required=True, help="the reason")
    parser.add_argument("--by", metavar="NAME", required=True, help="the requester")
    parser.add_argument("--case", metavar="TEXT", help="the reference of the case, for the receipt")
    parser.add_argument(
        "--days",
        metavar="N",
        type=number_parser("--days", MAX_AGE_DAYS),
        default=_DEFAULT_HOLD_DAYS,
        help="the hold's duration in days from now (default: %(default)g)",
    )
    parser = _add_subcommand(subcommands, "release", "end a hold", box=True)
    parser.add_argument("hold", metavar="ID", help="the hold's id, see `holds`")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="the reason")
    parser.add_argument("--by", metavar="NAME", required=True, help="the requester")
    _add_subcommand(subcommands, "holds", "list the holds, with owner and expiry", box=True)


def _add_attest(subcommands: Commands) -> None:
    _add_subcommand(
        subcommands,
        "attest",
        "add a receipt about the existing footage to the chain of custody",
        box=True,
    )


def _add_unseal(subcommands: Commands) -> None:
    parser = _add_subcommand(subcommands, "unseal", "decrypt sealed footage, at the centre")
    parser.add_argument("path", metavar="PATH", type=Path, help="an export, a folder or a segment")
    parser.add_argument(
        "--key", metavar="FILE", type=Path, required=True, help="the private key, PEM"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="the new folder to write"
    )
    parser = _add_subcommand(subcommands, "keygen", "make a key pair for the encryption of footage")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the private key")


def _add_subcommand(
    subcommands: Commands,
    name: str,
    help_text: str,
    *,
    box: bool = False,
) -> argparse.ArgumentParser:
    parser = subcommands.add_parser(
        name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}."
    )
    # Otherwise argparse takes `-10m` for an option; it has no public setting for this.
    parser._negative_number_matcher = _RELATIVE_TIME  # noqa: SLF001
    if box:
        group = parser.add_mutually_exclusive_group(required=True)
        group.add_argument("--config", metavar="FILE", type=Path, help="the box's configuration")
        group.add_argument("--state", metavar="DIR", type=Path, help="the box's state folder")
    parser.add_argument(
        "--json", action="store_true", help="for machines: one JSON document per line"
    )
    parser.set_defaults(run=_run)
    return parser


def _add_span(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--camera", metavar="C", required=True, help="the camera's name")
    parser.add_argument(
        "--from", dest="begin", metavar="T", required=True, help="the begin of the span"
    )
    parser.add_argument("--to", dest="end", metavar="T", required=True, help="the end of the span")


def _run(args: argparse.Namespace) -> int:
    """Run a subcommand; print one line if the disk prevents it."""
    try:
        return _import_function(args.subcommand)(args)
    except BrokenPipeError:
        raise
    except OSError as error:
        prefix = f"{error.filename}: " if error.filename else ""
        print(f"vigie: {prefix}{error.strerror or error}", file=sys.stderr)
    return 1


def _import_function(subcommand: str) -> Callable[[argparse.Namespace], int]:
    """Import what one subcommand needs: on x86 that takes 30 ms of CPU for `list`, and 185 ms for `export`."""
    if subcommand == "list":
        from agent.cli.footage_list import list_footage  # noqa: PLC0415

        return list_footage
    if subcommand in ("verify", "unseal", "keygen"):
        from agent.cli import footage_offline  # noqa: PLC0415

        return {
            "verify": footage_offline.verify,
            "unseal": footage_offline.unseal,
            "keygen": footage_offline.keygen,
        }[subcommand]
    from agent.cli import footage_box  # noqa: PLC0415

    return {
        "export": footage_box.export,
        "hold": footage_box.hold,
        "release": footage_box.release,
        "holds": footage_box.list_holds,
        "attest": footage_box.attest,
    }[subcommand]
