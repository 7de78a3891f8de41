"""`vigie footage` without a box: verify, unseal, keygen."""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.signed_manifest import verified_text
from agent.cli.output import (
    COMPARE_KEY_HINT,
    MAX_TEXT_CHARS,
    escape_unprintable,
    print_json,
    progress_bar,
)
from agent.recording.encryption import keys
from agent.recording.export.head_coverage import HeadCoverage, KnownHead, parse_head
from agent.recording.export.unseal import unseal_all
from agent.recording.export.verify import VerificationResult, verify_export

MAX_HEADS_BYTES = 1 << 26
"""Of --heads: a head a minute for a year."""


def verify(args: argparse.Namespace) -> int:
    """Verify an export. Return 0 if it is consistent with itself and with what is known, else 1."""
    if not args.path.is_dir():
        raise UserError(f"{str(args.path)!r}: no such folder; allowed: the folder of an export")
    heads = _read_heads(args)
    with progress_bar("verifying") as progress:
        verification = verify_export(
            args.path, known_key=args.public_key, known_heads=heads, progress=progress
        )
    if args.json:
        print_json(verification)
    else:
        _print_verification(verification, args.path, args.public_key, heads)
    is_established = verification.coverage is not None and not verification.coverage.early_count
    return 0 if is_established and verification.head_checked is not False else 1


def _print_verification(
    verification: VerificationResult, path: Path, key: str | None, heads: Sequence[KnownHead]
) -> None:
    """Print the result and the signing key, the part of the heads, then what the export states about itself."""
    manifest, coverage = verification.manifest, verification.coverage
    if manifest is None or coverage is None:
        print(escape_unprintable(f"{path}: BROKEN: {verification.first_problem}"))
        return
    is_unchecked = verification.head_checked is False
    result_text = verified_text(is_origin_verified=verification.origin_verified)
    if is_unchecked:
        result_text += ", but no head was checked"
    elif coverage.early_count:
        result_text += ", but times contradict those of the centre"
    print(
        escape_unprintable(
            f"{path}: {result_text}: {verification.segment_count} segments, {verification.receipt_count} receipts"
        )
    )
    print(f"  signed by {escape_unprintable(manifest.public_key)}")
    if key is None:
        print(COMPARE_KEY_HINT)
    last_seq = manifest.first_seq + verification.receipt_count - 1
    if is_unchecked:
        first, last = min(head.seq for head in heads), max(head.seq for head in heads)
        shown = f"head {first} is not" if first == last else f"none of heads {first} to {last} is"
        print(f"  {shown} within this export, which has {manifest.first_seq} to {last_seq}")
    for line in _coverage_lines(coverage, manifest.first_seq, last_seq):
        print(f"  {line}")
    if verification.ignored:
        print(f"  ignored, not part of the export: {_shorten(', '.join(verification.ignored))}")
    print(f"  box {_shorten(manifest.box)}, camera {_shorten(manifest.camera)}")
    print(f"  {manifest.begin_time} to {manifest.end_time}")
    print(f"  exported by {_shorten(manifest.by)} for: {_shorten(manifest.purpose)}")


def _coverage_lines(coverage: HeadCoverage, first_seq: int, last_seq: int) -> Iterator[str]:
    """Yield what the centre's heads vouch for, and what the box alone claims."""
    if coverage.covered_seq is not None:
        yield (
            f"receipts {first_seq} to {coverage.covered_seq}, until {coverage.covered_time}: unchanged since the "
            "centre received its heads"
        )
    if coverage.confirmed_count:
        yield (
            f"times of {coverage.confirmed_count} receipts, from {coverage.confirmed_seq} "
            f"({coverage.confirmed_time}) on: confirmed by the centre to within {math.ceil(coverage.confirmed_within_s or 0)} s"
        )
    elif coverage.covered_seq is not None:
        yield "times: the centre confirms none; the box alone claims them"
    if coverage.early_count:
        yield (
            f"times of {coverage.early_count} receipts, from {coverage.early_seq} on, are before the centre received the "
            "head before them: the head came late, or they are wrong"
        )
    if coverage.alone_count:
        alone = last_seq + 1 - coverage.alone_count
        yield (
            f"receipts {alone} to {last_seq}, from {coverage.alone_time} on: what the box alone claims; a person with its "
            "key can have written them, with their times, evictions and durations"
        )


def _shorten(text: str) -> str:
    """Return escaped text of an export, cut at the length that a box accepts."""
    return escape_unprintable(
        text if len(text) <= MAX_TEXT_CHARS else f"{text[:MAX_TEXT_CHARS]}..."
    )


def _read_heads(args: argparse.Namespace) -> list[KnownHead]:
    """Return the heads of --head and --heads. Raises: UserError."""
    heads = [_parse_head(text, "--head") for text in args.head]
    if args.heads is not None:
        try:
            text = read_regular_file(args.heads, MAX_HEADS_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--heads {str(args.heads)!r}: {error}") from error
        heads += [
            _parse_head(line, f"{args.heads}:{number}")
            for number, line in enumerate(text.split("\n"), start=1)
            if line
        ]
    return heads


def _parse_head(text: str, label: str) -> KnownHead:
    try:
        return parse_head(text)
    except ValueError as error:
        raise UserError(f"{label} {text[:MAX_TEXT_CHARS]!r}: allowed: {error}") from error


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
