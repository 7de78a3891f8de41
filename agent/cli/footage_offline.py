"""`vigie footage` without a box: verify, unseal, keygen."""

import argparse
import re
from pathlib import Path

from agent.base.errors import UserError
from agent.base.signed_manifest import verified_text
from agent.cli.output import (
    COMPARE_KEY_HINT,
    MAX_TEXT_CHARS,
    escape_unprintable,
    print_json,
    progress_bar,
)
from agent.recording.custody.chain import ChainHead
from agent.recording.encryption import keys
from agent.recording.encryption.unseal import unseal_all
from agent.recording.export.verify import VerificationResult, verify_export

_CHAIN_HEAD = re.compile(r"([1-9]\d{0,15}):([0-9a-f]{64})", re.ASCII)


def verify(args: argparse.Namespace) -> int:
    """Verify an export. Return 0 if it is consistent with itself and with what is known, else 1."""
    if not args.path.is_dir():
        raise UserError(f"{str(args.path)!r}: no such folder; allowed: the folder of an export")
    chain_head = _parse_chain_head(args.head)
    with progress_bar("verifying") as progress:
        verification = verify_export(
            args.path, known_key=args.public_key, known_head=chain_head, progress=progress
        )
    if args.json:
        print_json(verification)
    else:
        _print_verification(verification, args.path, args.public_key, chain_head)
    return 0 if verification.ok and verification.head_checked is not False else 1


def _print_verification(
    verification: VerificationResult, path: Path, key: str | None, chain_head: ChainHead | None
) -> None:
    """Print the result and the signing key, then what the export states about itself."""
    manifest = verification.manifest
    if not verification.ok or manifest is None:
        print(escape_unprintable(f"{path}: BROKEN: {verification.first_problem}"))
        return
    is_unchecked = chain_head is not None and not verification.head_checked
    result_text = verified_text(is_origin_verified=verification.origin_verified)
    if is_unchecked:
        result_text += ", but the head was not checked"
    print(
        escape_unprintable(
            f"{path}: {result_text}: {verification.segment_count} segments, {verification.receipt_count} receipts"
        )
    )
    print(f"  signed by {escape_unprintable(manifest.public_key)}")
    if key is None:
        print(COMPARE_KEY_HINT)
    if chain_head is not None and is_unchecked:
        last_seq = manifest.first_seq + verification.receipt_count - 1
        print(
            f"  head {chain_head.seq} is not within this export, which has {manifest.first_seq} to "
            f"{last_seq}: not checked"
        )
    if verification.ignored:
        print(f"  ignored, not part of the export: {_shorten(', '.join(verification.ignored))}")
    print(f"  box {_shorten(manifest.box)}, camera {_shorten(manifest.camera)}")
    print(f"  {manifest.begin_time} to {manifest.end_time}")
    print(f"  exported by {_shorten(manifest.by)} for: {_shorten(manifest.purpose)}")


def _shorten(text: str) -> str:
    """Return escaped text of an export, cut at the length that a box accepts."""
    return escape_unprintable(
        text if len(text) <= MAX_TEXT_CHARS else f"{text[:MAX_TEXT_CHARS]}..."
    )


def _parse_chain_head(text: str | None) -> ChainHead | None:
    if text is None:
        return None
    match = _CHAIN_HEAD.fullmatch(text)
    if match is None:
        raise UserError(
            f"--head {text!r}: allowed: the receipt's number, a colon, and 64 hexadecimal digits"
        )
    return ChainHead(seq=int(match[1]), sha256=match[2], time="")


def unseal(args: argparse.Namespace) -> int:
    """Decrypt sealed footage."""
    key = keys.read_private_key(args.key)
    with progress_bar("unsealing") as progress:
        result = unseal_all(args.path, key, args.out, progress)
    if args.json:
        clip = None if result.clip is None else str(result.clip)
        print_json({"folder": str(result.folder), "segments": result.segments, "clip": clip})
        return 0
    print(f"{result.folder}: {len(result.segments)} segments decrypted")
    if result.clip is not None:
        print(f"  the clip: {result.clip}")
    return 0


def keygen(args: argparse.Namespace) -> int:
    """Make a key pair for the encryption of footage."""
    public_key = keys.generate_key_pair(args.out)
    if args.json:
        print_json({"private_key": str(args.out), "public_key": public_key})
        return 0
    print(f"{args.out}: the private key. Never copy it to a box: it opens the footage, and without")
    print("it the footage is lost. Configuration of the boxes:")
    print(f'\n[[record.recipient]]\nid = "centre"\npublic_key = "{public_key}"')
    return 0
