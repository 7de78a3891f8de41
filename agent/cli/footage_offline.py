"""`vigie footage` without a box: verify, unseal, keygen."""

import argparse
import re
from pathlib import Path

from agent.base.errors import UserError
from agent.cli.footage_output import LONGEST_WORDS, print_json, progress_bar, shown
from agent.recording.custody.chain import ChainHead
from agent.recording.encryption import keys
from agent.recording.encryption.unsealed import unseal_all
from agent.recording.export.verify import VerificationResult, verify_export

_HEAD = re.compile(r"([1-9]\d{0,15}):([0-9a-f]{64})", re.ASCII)


def verify(args: argparse.Namespace) -> int:
    """Whether an export is what its box signed: 0 or 1."""
    if not args.path.is_dir():
        raise UserError(f"{str(args.path)!r}: no such folder; allowed: the folder of an export")
    head = _head(args.head)
    with progress_bar("verifying") as progress:
        verdict = verify_export(
            args.path, known_key=args.public_key, known_head=head, progress=progress
        )
    if args.json:
        print_json(verdict)
    else:
        _print_verdict(verdict, args.path, args.public_key, head)
    return 0 if verdict.ok and verdict.head_checked is not False else 1


def _print_verdict(
    verdict: VerificationResult, path: Path, key: str | None, head: ChainHead | None
) -> None:
    """What was found, and by whose signature; then what the export says of itself."""
    manifest = verdict.manifest
    if not verdict.ok or manifest is None:
        print(shown(f"{path}: BROKEN: {verdict.first_problem}"))
        return
    is_unchecked = head is not None and not verdict.head_checked
    good = "good, but for the head" if is_unchecked else "good"
    print(shown(f"{path}: {good}: {verdict.segments} segments, {verdict.receipts} receipts"))
    print(f"  signed by {shown(manifest.public_key)}")
    if key is None:
        print("  compare that key with the one that the centre knows: --public-key KEY")
    if head is not None and is_unchecked:
        last_seq = manifest.first_seq + verdict.receipts - 1
        print(
            f"  head {head.seq} is not within this export, which has {manifest.first_seq} to "
            f"{last_seq}: not checked"
        )
    print(f"  box {_said(manifest.box)}, camera {_said(manifest.camera)}")
    print(f"  {manifest.begin_time} to {manifest.end_time}")
    print(f"  exported by {_said(manifest.by)} for: {_said(manifest.purpose)}")


def _said(text: str) -> str:
    """What an export says of itself, no longer than a box would let anybody say it."""
    return shown(text if len(text) <= LONGEST_WORDS else f"{text[:LONGEST_WORDS]}...")


def _head(text: str | None) -> ChainHead | None:
    if text is None:
        return None
    match = _HEAD.fullmatch(text)
    if match is None:
        raise UserError(f"--head {text!r}: allowed: a receipt's number, a colon, 64 digits of hex")
    return ChainHead(seq=int(match[1]), sha256=match[2], time="")


def unseal(args: argparse.Namespace) -> int:
    """Make sealed footage plain."""
    key = keys.read_private_key(args.key)
    with progress_bar("unsealing") as progress:
        done = unseal_all(args.path, key, args.out, progress)
    if args.json:
        clip = None if done.clip is None else str(done.clip)
        print_json({"folder": str(done.folder), "segments": done.segments, "clip": clip})
        return 0
    print(f"{done.folder}: {len(done.segments)} segments unsealed")
    if done.clip is not None:
        print(f"  the clip: {done.clip}")
    return 0


def keygen(args: argparse.Namespace) -> int:
    """Make a key pair that footage is sealed for."""
    public_key = keys.make_private_key(args.out)
    if args.json:
        print_json({"private_key": str(args.out), "public_key": public_key})
        return 0
    print(f"{args.out}: the private key. Keep it off every box: who has it can see the footage,")
    print("and who loses it has lost the footage. What the boxes are given:")
    print(f'\n[[record.recipient]]\nid = "centre"\npublic_key = "{public_key}"')
    return 0
