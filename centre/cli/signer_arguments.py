"""The signature of one person or two, as arguments of the centre's commands."""

import argparse
import os
import sys
from pathlib import Path

import msgspec

from agent.authority.signed_message import MessageType, ParsedMessage, SigningIdentity
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.cli.output import check_interactive, escape_unprintable
from centre import control_keys
from centre.cli.broker_arguments import DEFAULT_TEXT
from centre.command_request import read_request, read_signer
from centre.operator_settings import find_settings_file, load_settings


def add_signer(parser: argparse.ArgumentParser) -> None:
    """Add the certificate and the key of a person."""
    signer = parser.add_argument_group("who asks")
    signer.add_argument(
        "--signer", metavar="FILE", type=Path, help=f"one's control certificate ({DEFAULT_TEXT})"
    )
    signer.add_argument("--signer-key", metavar="FILE", type=Path, help="its key")
    signer.add_argument(
        "--by", metavar="NAME", help="without a signature, to a box that has no control.ca"
    )


def add_second_signature(parser: argparse.ArgumentParser, command: str) -> None:
    """Add what two people need to sign one message."""
    two = parser.add_argument_group("what two people sign")
    two.add_argument(
        "--save", metavar="FILE", type=Path, help=f"do not {command}: write the signed message"
    )
    two.add_argument(
        "--countersign", metavar="FILE", type=Path, help="sign a saved message too, and send it"
    )
    two.add_argument("--yes", action="store_true", help="ask no question")


def load_identity(args: argparse.Namespace, command: str) -> SigningIdentity | None:
    """Return the person's certificate and key, or None with --by. Raises: UserError."""
    if args.by is None:
        identity = load_key_pair(args)
        if identity is not None:
            return identity
    elif args.signer is None and args.signer_key is None:
        return None
    raise UserError(
        f"{command}: allowed: --signer FILE --signer-key FILE, [signer] in {find_settings_file(os.environ)}, or --by NAME"
    )


def load_key_pair(args: argparse.Namespace) -> SigningIdentity | None:
    """Return the certificate and key of --signer and --signer-key, or those of the settings, or None. Raises: UserError."""
    if (args.signer is None) != (args.signer_key is None):
        raise UserError("--signer and --signer-key go together: give both or neither")
    if args.signer is None:
        signer = load_settings(find_settings_file(os.environ)).signer
        if signer is None:
            return None
        return control_keys.load_identity(Path(signer.certificate), Path(signer.key))
    return control_keys.load_identity(args.signer, args.signer_key)


def read_saved(
    args: argparse.Namespace, message_type: MessageType, max_bytes: int
) -> ParsedMessage:
    """Return the message of --countersign. Raises: UserError."""
    try:
        data = read_regular_file(args.countersign, max_bytes)
    except OSError as error:
        raise UserError(f"{args.countersign}: {error.strerror or error}") from error
    return read_request(data, message_type, max_bytes=max_bytes)


def confirm(args: argparse.Namespace, saved: ParsedMessage, command: str) -> None:
    """Show all of a saved message to the second person, and ask. Raises: UserError if they do not agree."""
    signer = read_signer(saved)
    print(f"{signer.name} has signed:", file=sys.stderr)
    text = msgspec.json.format(msgspec.json.encode(saved.claims), indent=2).decode()
    for line in text.split("\n"):
        print(escape_unprintable(line), file=sys.stderr)
    print("with this certificate, whose issuer the box checks:", file=sys.stderr)
    for line in control_keys.describe(signer):
        print(f"  {line}", file=sys.stderr)
    if args.yes:
        return
    check_interactive(f"{command} --countersign")
    if input("sign this too, and send it? [y/N] ").strip().lower() != "y":
        raise UserError("not sent")


def save(args: argparse.Namespace, payload: bytes, identity: SigningIdentity | None) -> int:
    """Write a signed message for the second person. Return the exit code. Raises: UserError."""
    if identity is None:
        raise UserError("--save: allowed: with --signer and --signer-key")
    control_keys.write_new_file(args.save, payload, 0o644)
    print(f"{args.save}: signed by one person; another one sends it with --countersign")
    return 0
