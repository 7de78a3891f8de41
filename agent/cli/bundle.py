"""`vigie bundle`: what support wants to know, in one signed file without secrets."""

import argparse
from pathlib import Path

import msgspec

from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.cli.commands import Commands
from agent.cli.footage_output import print_json
from agent.diagnostics.support_bundle import make
from agent.diagnostics.support_bundle.format import BundleVerification
from agent.diagnostics.support_bundle.format import verify as verify_bundle


def add_parser(commands: Commands) -> None:
    """Add the command and its own command."""
    parser = commands.add_parser(
        "bundle",
        help="a signed support bundle of this box, secrets left out",
        description="Gathers what support wants to know: configuration without secrets, health, "
        "faults, flight recorder, journal, receipts, disk, network, self-test. No footage. Needs no "
        "agent.",
    )
    kinds = parser.add_subparsers(metavar="WHAT")
    parser.add_argument("--config", metavar="FILE", type=Path, help="the configuration, TOML")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path(), help="where it is written (here)"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON, for machines")
    parser.set_defaults(run=run)
    verifier = kinds.add_parser("verify", help="whether a bundle is what its box signed")
    verifier.add_argument("bundle", metavar="FILE", type=Path)
    verifier.add_argument(
        "--public-key", metavar="KEY", help="the box's key as the centre knows it, base64"
    )
    verifier.add_argument("--json", action="store_true", help="one line of JSON, for machines")
    verifier.set_defaults(run=verify)


def run(args: argparse.Namespace) -> int:
    """Make one."""
    if args.config is None:
        raise UserError(
            "bundle: --config is missing; allowed: --config FILE, or bundle verify FILE"
        )
    made = make.make(args.config, args.out, SystemClock())
    if args.json:
        print_json({**msgspec.structs.asdict(made), "path": str(made.path)})
        return 0
    print(f"{made.path}: {len(made.files)} files, {made.size_bytes / 1e3:.0f} kB")
    for one in made.left_out:
        print(f"  left out: {one.name}: {one.why}")
    if made.signed_by is None:
        print("  not signed: this box has no key yet")
    else:
        print(f"  signed by {made.signed_by}")
    return 0


def verify(args: argparse.Namespace) -> int:
    """Whether it is good: 0 or 1."""
    try:
        with args.bundle.open("rb") as file:
            verdict = verify_bundle(file, args.public_key)
    except OSError as error:
        raise UserError(f"{str(args.bundle)!r}: {error.strerror or error}") from error
    if args.json:
        print_json(verdict)
    else:
        _print(verdict, args.bundle, known=args.public_key is not None)
    return 0 if verdict.ok else 1


def _print(verdict: BundleVerification, path: Path, *, known: bool) -> None:
    manifest = verdict.manifest
    if not verdict.ok or manifest is None:
        print(f"{path}: BROKEN: {verdict.why}")
        return
    print(f"{path}: good: {len(manifest.files)} files of box {manifest.box}")
    synced = "" if manifest.clock_synced else ", by a clock that is not sure"
    print(f"  made {manifest.made}{synced}")
    for one in manifest.left_out:
        print(f"  left out: {one.name}: {one.why}")
    if verdict.signed_by is None:
        print("  NOT SIGNED: the box had no key yet")
        return
    print(f"  signed by {verdict.signed_by}")
    if not known:
        print("  compare that key with the one that the centre knows: --public-key KEY")
