"""SHA-256 digests as text: 64 hexadecimal digits in lower case."""

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec

Sha256 = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9a-f]{64}$(?!\n)", extra={"allowed": "64 hexadecimal digits, lower case"}
    ),
]


def sha256_hex(data: bytes) -> str:
    """Return the digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def file_sha256_hex(path: Path) -> str:
    """Return the digest of a file, which is read piece by piece. Raises: OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
