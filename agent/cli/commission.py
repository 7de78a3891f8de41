"""`vigie commission`: the commissioning certificate of a box, and drift since then."""

import argparse
import getpass
from pathlib import Path

import msgspec

from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.base.message import Text
from agent.base.signed_manifest import BadManifest, verified_text
from agent.capture.lens_aim import to_ascii
from agent.cli.arguments import add_config, add_json, add_public_key, sudo_user
from agent.cli.output import (
    COMPARE_KEY_HINT,
    check_interactive,
    parse_text,
    print_json,
)
from agent.diagnostics.commissioning import certificate
from agent.diagnostics.commissioning.certificate import (
    ALLOWED_ANSWERS,
    SHOWN_ITEMS,
    ItemAnswer,
    parse_answer,
)
from agent.diagnostics.commissioning.session import (
    CommissioningSession,
    format_comparison,
    format_result,
)
from drivers.media import Plane

_COLUMNS, _ROWS = 78, 22


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments and the subcommand."""
    parser.description = (
        "Inspects aim, focus, masks, ground, heads, link and clock of a box whose agent is "
        "running, asks whether each is good, and writes a signed record with pictures. With "
        "--compare it prints the drift since commissioning. Exit code 0: none; 1: drift."
    )
    subcommands = parser.add_subparsers(metavar="COMMAND")
    add_config(parser, required=False)
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="write a copy of the record to a new folder"
    )
    parser.add_argument("--by", metavar="NAME", help="the technician (default: the user's name)")
    parser.add_argument("--yes", action="store_true", help="do not ask, for scripts")
    parser.add_argument(
        "--compare", action="store_true", help="print the drift since commissioning"
    )
    add_json(parser)
    parser.set_defaults(run=run)
    verify_parser = subcommands.add_parser(
        "verify", help="check that a record is what its box signed"
    )
    verify_parser.add_argument("folder", metavar="DIR", type=Path)
    add_public_key(verify_parser)
    verify_parser.set_defaults(run=verify)


def run(args: argparse.Namespace) -> int:
    """Commission the box, or compare it with its commissioning. Raises: UserError."""
    if args.config is None:
        raise UserError(
            "commission: --config is missing; allowed: --config FILE, or commission verify DIR"
        )
    by = parse_text(args.by or sudo_user() or getpass.getuser(), "--by")
    is_interactive = not (args.yes or args.compare or args.json)
    if is_interactive:
        check_interactive("commission")
    session = CommissioningSession(args.config, SystemClock(), by)
    return (
        _compare(session, args)
        if args.compare
        else _commission(session, args, is_interactive=is_interactive)
    )


def _commission(
    session: CommissioningSession, args: argparse.Namespace, *, is_interactive: bool
) -> int:
    result = session.commission(
        _ask_item if is_interactive else _print_item if not args.json else _accept_unasked, args.out
    )
    record = result.record
    if args.json:
        print_json({"folder": str(result.folder), "record": record})
    else:
        print(*format_result(result), sep="\n")
    return 1 if record.rejected_items else 0


def _compare(session: CommissioningSession, args: argparse.Namespace) -> int:
    installed, found = session.compare()
    if args.json:
        drifts = [
            {
                **msgspec.structs.asdict(drift),
                "message": str(drift.message),
                "is_actionable": drift.is_actionable,
            }
            for drift in found
        ]
        print_json(
            {
                "commissioned_time": installed.created_time,
                "technician": installed.technician,
                "drifts": drifts,
            }
        )
    else:
        print(*format_comparison(installed, found), sep="\n")
    return 1 if any(drift.is_actionable for drift in found) else 0


def verify(args: argparse.Namespace) -> int:
    """Verify a record. Return 0 if it is good, else 1."""
    try:
        record, pictures = certificate.read_verified(args.folder, args.public_key)
    except BadManifest as error:
        print(f"{args.folder}: BROKEN: {error}")
        return 1
    result_text = verified_text(is_origin_verified=args.public_key is not None)
    count = f"{len(pictures)} picture{'' if len(pictures) == 1 else 's'}"
    if record.photos:
        count += f" and {len(record.photos)} photo{'' if len(record.photos) == 1 else 's'}"
    print(f"{args.folder}: {result_text}: box {record.box}, {record.site}")
    print(f"  made {record.created_time} by {record.technician}, with {count}")
    print(f"  signed by {record.public_key}")
    if args.public_key is None:
        print(COMPARE_KEY_HINT)
    return 0


def _accept_unasked(answer: ItemAnswer, _finding: Text, _picture: Plane | None) -> ItemAnswer:
    return answer


def _print_item(answer: ItemAnswer, finding: Text, _picture: Plane | None) -> ItemAnswer:
    verdict = {True: "good", False: "NOT GOOD", None: "not asked"}[answer.good]
    print(f"{answer.title}: {finding}: {verdict}")
    return answer


def _ask_item(answer: ItemAnswer, finding: Text, picture: Plane | None) -> ItemAnswer:
    if picture is not None and answer.item in SHOWN_ITEMS:
        print("\n".join(to_ascii(picture, _COLUMNS, _ROWS)))
    if answer.is_judged:
        return _print_item(answer, finding, picture)
    print(f"{answer.title}: {finding}")
    while True:
        try:
            line = input(f"  good? {ALLOWED_ANSWERS}: ")
        except EOFError as error:
            print()
            raise UserError(
                f"commission: no answer to {answer.title}, so no record was written; "
                f"allowed: {ALLOWED_ANSWERS}, to each"
            ) from error
        parsed = parse_answer(answer, line)
        if parsed is not None:
            return parsed
        print(f"  allowed: {ALLOWED_ANSWERS}")
