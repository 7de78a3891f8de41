"""The argument `--public-key`. Apart from the others: it takes the import of `cryptography`."""

import argparse

from agent.base.errors import UserError
from agent.base.signed_manifest import decode_public_key


def add_public_key(parser: argparse.ArgumentParser) -> None:
    """Add the key that the centre knows a box by."""
    parser.add_argument(
        "--public-key",
        metavar="KEY",
        type=_parse_public_key,
        help="the box's key as the centre knows it, base64",
    )


def _parse_public_key(text: str) -> str:
    """Return the key. Raises UserError: a mistyped key must not read as a broken signature."""
    try:
        decode_public_key(text)
    except ValueError as error:
        raise UserError(
            f"--public-key {text!r}: not a public key; allowed: the base64 of 32 bytes, 44 characters"
        ) from error
    return text
