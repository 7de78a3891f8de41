"""Signed folders: manifests, lists of SHA-256 sums, and Ed25519 signatures (RFC 8032). Pure.

Footage exports, support bundles and commissioning certificates are such folders.
"""

import base64
import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.base.json_decode import MalformedJson, decode_json

SUMS_FILE = "SHA256SUMS"

_SUM_LINE_PATTERN = re.compile(rb"([0-9a-f]{64})  ([^\n]+)")

ManifestT = TypeVar("ManifestT", bound=msgspec.Struct)


class BadManifest(Exception):
    """A folder is not what its box signed. `location` names the file or the line."""

    def __init__(self, location: str, reason: str) -> None:
        super().__init__(f"{location}: {reason}")
        self.location = location
        self.reason = reason


def verified_text(*, is_origin_verified: bool) -> str:
    """Return the result for a folder without a mistake. Without the key that the centre knows, a complete
    forgery has it too.
    """
    return "good" if is_origin_verified else "consistent, origin not verified"


def decode_manifest(name: str, data: bytes, manifest_type: type[ManifestT]) -> ManifestT:
    """Decode the manifest of the file `name`. Raises BadManifest."""
    try:
        return decode_json(data, manifest_type)
    except MalformedJson as error:
        raise BadManifest(name, f"is not a valid manifest: {error}") from error


def encode_sums(sums: Mapping[str, str]) -> bytes:
    """Encode sums by path as sha256sum(1) does, in the order of their paths."""
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums)).encode()


def decode_sums(data: bytes) -> dict[bytes, str]:
    """Decode sums by path. One form only, so that no byte of the file is free. Raises BadManifest."""
    lines = data.split(b"\n")
    if lines.pop() != b"":
        raise BadManifest(SUMS_FILE, "does not end with a newline")
    sums: dict[bytes, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _SUM_LINE_PATTERN.fullmatch(line)
        if match is None:
            raise BadManifest(f"{SUMS_FILE}:{number}", "is not a sum, two spaces and a file")
        if match[2] in sums or match[2] == SUMS_FILE.encode():
            raise BadManifest(f"{SUMS_FILE}:{number}", "lists a file twice, or itself")
        sums[match[2]] = match[1].decode()
    return sums


def decode_public_key(text: str) -> Ed25519PublicKey:
    """Decode an Ed25519 public key: the base64 of its 32 bytes, in canonical form. Raises ValueError."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not the canonical base64 of these bytes")
    return Ed25519PublicKey.from_public_bytes(raw)


def check_signature(
    name: str, data: bytes, signature: bytes, public_key: str, known_key: str | None
) -> None:
    """Check the signature of the file `name` by the key that its folder states.

    `known_key` is the box's key as known from another source; if it is None the folder is only shown
    to be consistent with itself. Raises BadManifest.
    """
    if known_key is not None and known_key != public_key:
        raise BadManifest(name, f"is signed by {public_key}, which is not the known key")
    try:
        decode_public_key(public_key).verify(signature, data)
    except (InvalidSignature, ValueError) as error:
        raise BadManifest(
            f"{name}.sig", f"is not the signature of {name} by {public_key}"
        ) from error
