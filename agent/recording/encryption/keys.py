"""Keys of sealed footage: one for each segment, and the key pairs of those who may read it.

Invariant: a segment's key is in memory, or wrapped for a recipient in the file beside the
segment; it is in no log, no `repr`, and on no disk of the box.
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

KEY_BYTES = 16
"""AES-128, which Common Encryption prescribes (ISO/IEC 23001-7, 9.1)."""

KID_BYTES = 16
_PUBLIC_KEY_BYTES = 32
_KID_PREFIX = b"vigie segment key id 1\0"


class SegmentKey(msgspec.Struct, frozen=True):
    """The key of one segment. Its id `kid` follows from it, so the id that stands in a segment,
    and under that segment's receipt, commits to one key.
    """

    key: bytes

    @property
    def kid(self) -> bytes:
        """The key's id: the first 16 bytes of a SHA-256 over it."""
        return hashlib.sha256(_KID_PREFIX + self.key).digest()[:KID_BYTES]

    def __repr__(self) -> str:
        return f"SegmentKey(kid={self.kid.hex()})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("kid", self.kid.hex())]


class KeyRing:
    """The keys that this run of the agent has made, the newest `capacity` of them.

    Held in memory alone: after a restart the box cannot read what it recorded before. Any thread
    may ask.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._keys: OrderedDict[bytes, SegmentKey] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} of {self._capacity})"

    def add(self, key: SegmentKey) -> None:
        """Keep a key; the oldest one goes where there are too many."""
        with self._lock:
            self._keys[key.kid] = key
            while len(self._keys) > self._capacity:
                self._keys.popitem(last=False)

    def get(self, kid: bytes) -> SegmentKey | None:
        """The key of an id, or None where it was never here or is forgotten."""
        with self._lock:
            return self._keys.get(kid)


KeyLookup = Callable[[bytes], SegmentKey | None]
"""What gives the key for a key id, such as `KeyRing.get`."""


def parse_public_key(text: str, label: str) -> X25519PublicKey:
    """A recipient's public key: base64 of its 32 bytes, or PEM. `whose` begins the message.

    Raises UserError, which never shows the value: it might be a private key put there by mistake.
    """
    if "PRIVATE KEY" in text:
        raise UserError(
            f"{label}: that is a private key; a box is given the public half alone, "
            "and this one should be replaced, for it has been on a box"
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
            f"{label}: not a usable X25519 public key: its shared secrets are all zero"
        ) from error
    return key


def encode_public_key(key: X25519PublicKey) -> str:
    """A public key as the configuration takes it: base64 of its 32 bytes."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def generate_key_pair(path: Path) -> str:
    """Make a recipient's key pair: the private half into a new file (PEM, PKCS #8, mode 0600), the
    public half given back as the configuration takes it.

    Raises UserError where the file exists already or cannot be written.
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
    """A recipient's private key from its PEM file.

    Raises UserError where it is not there, not readable, or no X25519 private key.
    """
    label = f"private key {str(path)!r}"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise UserError(f"{label}: {error.strerror or error}") from error
    except TypeError as error:
        raise UserError(f"{label}: it is locked with a password; give it unlocked") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{label}: not a private key in PEM") from error
    if not isinstance(key, X25519PrivateKey):
        raise UserError(f"{label}: not an X25519 key")
    return key


def _parse_public_pem(text: str, label: str) -> X25519PublicKey:
    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{label}: not a public key in PEM") from error
    if not isinstance(key, X25519PublicKey):
        raise UserError(f"{label}: not an X25519 key; allowed: X25519 as PEM or base64")
    return key


def _parse_public_base64(text: str, label: str) -> X25519PublicKey:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"{label}: neither base64 nor PEM") from error
    if len(raw) != _PUBLIC_KEY_BYTES:
        raise UserError(f"{label}: {len(raw)} bytes; an X25519 public key has {_PUBLIC_KEY_BYTES}")
    return X25519PublicKey.from_public_bytes(raw)
