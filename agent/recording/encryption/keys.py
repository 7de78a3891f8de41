"""Keys of sealed footage: one per segment, and the key pairs of its recipients.

Invariant: a segment's key is in memory, or wrapped for a recipient in the file next to the segment;
it is in no log, no `repr`, and on no disk of the box.
"""

import base64
import binascii
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from agent.base.atomic_file import create_durably
from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.base.message import Message

KEY_BYTES = 16
"""AES-128, which Common Encryption prescribes (ISO/IEC 23001-7, 9.1)."""

KID_BYTES = 16
_PUBLIC_KEY_BYTES = 32
_KID_PREFIX = b"vigie segment key id 1\0"


class SegmentKey(msgspec.Struct, frozen=True):
    """Key of one segment. Its id `kid` is derived from it.

    The id in a segment, and so the segment's receipt, therefore commits to one key.
    """

    key: bytes

    @property
    def kid(self) -> bytes:
        """Key id: the first 16 bytes of a SHA-256 over the key."""
        return hashlib.sha256(_KID_PREFIX + self.key).digest()[:KID_BYTES]

    def __repr__(self) -> str:
        return f"SegmentKey(kid={self.kid.hex()})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("kid", self.kid.hex())]


class KeyRing:
    """The newest `capacity` keys that this run of the agent created. Thread-safe.

    In memory only: after a restart the box cannot decrypt what it recorded before.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._keys: OrderedDict[bytes, SegmentKey] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} of {self._capacity})"

    def add(self, key: SegmentKey) -> None:
        """Add a key; drops the oldest one over the capacity."""
        with self._lock:
            self._keys[key.kid] = key
            while len(self._keys) > self._capacity:
                self._keys.popitem(last=False)

    def get(self, kid: bytes) -> SegmentKey | None:
        """Return the key of an id, or None if it is unknown or dropped."""
        with self._lock:
            return self._keys.get(kid)


KeyLookup = Callable[[bytes], SegmentKey | None]
"""Looks up a key by its id, such as `KeyRing.get`."""


def parse_public_key(text: str, label: str) -> X25519PublicKey:
    """Parse a recipient's public key: base64 of its 32 bytes, or PEM.

    `label` begins the message. Raises UserError without the value, which might be a private key
    configured by mistake.
    """
    if "PRIVATE KEY" in text:
        raise UserError(
            Message(
                "{label}: is a private key; allowed: the public key. Replace this key pair: its private key has been on a box",
                label=label,
            )
        )
    key = (
        _parse_public_pem(text, label)
        if "-----BEGIN" in text
        else _parse_public_base64(text, label)
    )
    try:
        X25519PrivateKey.generate().exchange(key)
    except ValueError as error:
        raise UserError(
            Message(
                "{label}: not a usable X25519 public key: its shared secrets are all zero",
                label=label,
            )
        ) from error
    return key


def encode_public_key(key: X25519PublicKey) -> str:
    """Encode a public key as in the configuration: base64 of its 32 bytes."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def generate_key_pair(path: Path) -> str:
    """Create a recipient's key pair and return the public key as in the configuration.

    The private key goes to a new file (PEM, PKCS #8, mode 0600). Raises UserError if the file exists
    or cannot be written.
    """
    key = X25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        create_durably(path, pem, 0o600)
    except OSError as error:
        raise UserError(f"private key {str(path)!r}: {error.strerror or error}") from error
    return encode_public_key(key.public_key())


def read_private_key(path: Path) -> X25519PrivateKey:
    """Read a recipient's private key from its PEM file.

    Raises UserError if it cannot be read or is not an X25519 private key.
    """
    label = f"private key {str(path)!r}"
    try:
        key = serialization.load_pem_private_key(
            read_regular_file(path, MAX_PEM_BYTES), password=None
        )
    except OSError as error:
        raise UserError(f"{label}: {error.strerror or error}") from error
    except TypeError as error:
        raise UserError(
            f"{label}: is encrypted with a password; allowed: an unencrypted key"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{label}: not a private key in PEM") from error
    if not isinstance(key, X25519PrivateKey):
        raise UserError(f"{label}: not an X25519 key")
    return key


def _parse_public_pem(text: str, label: str) -> X25519PublicKey:
    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(Message("{label}: not a public key in PEM", label=label)) from error
    if not isinstance(key, X25519PublicKey):
        raise UserError(
            Message("{label}: not an X25519 key; allowed: X25519 as PEM or base64", label=label)
        )
    return key


def _parse_public_base64(text: str, label: str) -> X25519PublicKey:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(Message("{label}: neither base64 nor PEM", label=label)) from error
    if len(raw) != _PUBLIC_KEY_BYTES:
        raise UserError(
            Message(
                "{label}: {count} bytes; an X25519 public key has {expected}",
                label=label,
                count=len(raw),
                expected=_PUBLIC_KEY_BYTES,
            )
        )
    return X25519PublicKey.from_public_bytes(raw)
