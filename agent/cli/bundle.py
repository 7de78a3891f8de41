"""`vigie bundle`: a signed support bundle of a box, without secrets."""

import argparse
import sys
from pathlib import Path

import msgspec

from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.cli.arguments import add_config, add_json, add_public_key
from agent.cli.output import COMPARE_KEY_HINT, print_json
from agent.diagnostics.support_bundle import builder
from agent.diagnostics.support_bundle.archive_format import SupportBundleVerification
from agent.diagnostics.support_bundle.archive_format import verify as verify_bundle
from agent.health.health_file import INSTALLED_STATE_DIR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments and the subcommand."""
    parser.description = (
        "Writes configuration without secrets, health, faults, flight recorder, journal, "
        "receipts, disk, network and self-test into one signed file. It contains no footage, and "
        "needs no running agent. Exit code 1: it was written, without a readable configuration."
    )
    subcommands = parser.add_subparsers(metavar="COMMAND")
    add_config(parser, required=False)
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        default=INSTALLED_STATE_DIR,
        help="the box's state folder, if the configuration names none (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path(),
        help="the folder to write to (default: here)",
    )
    add_json(parser)
    parser.set_defaults(run=run)
    verify_parser = subcommands.add_parser(
        "verify", help="check that a bundle is what its box signed"
    )
    verify_parser.add_argument("bundle", metavar="FILE", type=Path)
    add_public_key(verify_parser)
    add_json(verify_parser)
    verify_parser.set_defaults(run=verify)


def run(args: argparse.Namespace) -> int:
    """Write a bundle. Return 1 if it lacks the configuration. Raises: UserError."""
    if args.config is None:
        raise UserError(
            "bundle: --config is missing; allowed: --config FILE, or bundle verify FILE"
        )
    result = builder.make_bundle(args.config, args.out, SystemClock(), default_state_dir=args.state)
    if args.json:
        print_json({**msgspec.structs.asdict(result), "path": str(result.path)})
    else:
        print(*builder.format_result(result), sep="\n")
    if result.config_error is not None:
        print(f"vigie: {result.config_error}: the bundle lacks the configuration", file=sys.stderr)
        return 1
    return 0


def verify(args: argparse.Namespace) -> int:
    """Verify a bundle. Return 0 if it is good, else 1."""
    try:
        with args.bundle.open("rb") as file:
            verification = verify_bundle(file, args.public_key)
    except OSError as error:
        raise UserError(f"{str(args.bundle)!r}: {error.strerror or error}") from error
    if args.json:
        print_json(verification)
    else:
        _print_verification(verification, args.bundle, is_key_known=args.public_key is not None)
    return 0 if verification.ok else 1


def _print_verification(
    verification: SupportBundleVerification, path: Path, *, is_key_known: bool
) -> None:
    manifest = verification.manifest
    if not verification.ok or manifest is None:
        print(f"{path}: BROKEN: {verification.reason}")
        return
    print(f"{path}: {verification.reason}: {len(manifest.files)} files of box {manifest.box}")
    synced = "" if manifest.clock_synced else ", by a clock that was not synced"
    print(f"  made {manifest.created_time}{synced}")
    for item in manifest.omitted:
        print(f"  left out: {item.name}: {item.reason}")
    if verification.signed_by is None:
        print("  NOT SIGNED: the box had no key yet")
        return
    print(f"  signed by {verification.signed_by}")
    if not is_key_known:
        print(COMPARE_KEY_HINT)
