"""Sealing of footage at rest: a segment's key, wrapped for each recipient.

Next to a sealed segment is `<segment>.keys`, a JSON object: the scheme of ISO/IEC 23001-7, the key
id, and the key wrapped with HPKE (RFC 9180, base mode) for each recipient. Box, camera, segment and
key id are HPKE's `info`: a wrapped key that was moved to another segment does not open. See
docs/sealing.md.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from agent.base.atomic_file import create_durably
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.json_decode import MalformedJson, decode_json
from agent.base.message import Message, message_of
from agent.config.recording import Recipient
from agent.recording.encryption.keys import KEY_BYTES, KeyRing, SegmentKey, parse_public_key

KEY_RING_CAPACITY = 360
"""Per camera: an hour of segments of 10 s, the most that an event's clip needs."""

_HPKE_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM)
_HPKE_INFO_PREFIX = b"vigie segment key 1\0"
_MAX_SIDECAR_BYTES = 1 << 20

Kem = Literal["X25519-HKDF-SHA256-AES-128-GCM"]


class WrappedKey(msgspec.Struct, frozen=True, kw_only=True):
    """Key for one recipient: HPKE's encapsulated key and ciphertext, 32 bytes each."""

    id: str
    kem: Kem = "X25519-HKDF-SHA256-AES-128-GCM"
    wrapped: bytes


class WrappedKeyFile(msgspec.Struct, frozen=True, kw_only=True):
    """Content of the file next to a sealed segment. Bytes are base64 in the JSON."""

    v: Literal[1] = 1
    scheme: Literal["cenc-aes-ctr"] = "cenc-aes-ctr"
    box: str
    camera: str
    segment: str
    kid: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]
    recipients: Annotated[tuple[WrappedKey, ...], msgspec.Meta(min_length=1, max_length=64)]

    def hpke_info(self) -> bytes:
        """Return the HPKE `info` that the wrapped keys are bound to."""
        return _HPKE_INFO_PREFIX + msgspec.json.encode(
            (self.box, self.camera, self.segment, self.kid)
        )


class NewSegmentKey(msgspec.Struct, frozen=True, kw_only=True):
    """Key of a new segment, and the key file that must be written before it."""

    key: SegmentKey
    sidecar: bytes


class Sealer:
    """Creates and wraps the keys of one camera's segments.

    `random_bytes` returns that many unpredictable bytes.
    """

    def __init__(
        self,
        recipients: dict[str, X25519PublicKey],
        *,
        box: str,
        camera: str,
        key_ring: KeyRing,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._public_keys = recipients
        self._box = box
        self._camera = camera
        self._key_ring = key_ring
        self._random_bytes = random_bytes

    @classmethod
    def from_config(
        cls,
        recipients: Sequence[Recipient],
        *,
        box: str,
        camera: str,
        key_ring: KeyRing,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> "Sealer | None":
        """Create the sealer for these recipients, or return None if there are none.

        Raises UserError if a key is invalid or two recipients have one id.
        """
        parsed = parse_recipients(recipients)
        if not parsed:
            return None
        return cls(parsed, box=box, camera=camera, key_ring=key_ring, random_bytes=random_bytes)

    def new_key(self, segment: str) -> NewSegmentKey:
        """Create the key of a segment and add it to the key ring."""
        key = SegmentKey(self._random_bytes(KEY_BYTES))
        sidecar = WrappedKeyFile(
            box=self._box, camera=self._camera, segment=segment, kid=key.kid.hex(), recipients=()
        )
        info = sidecar.hpke_info()
        wrapped = tuple(
            WrappedKey(id=name, wrapped=_HPKE_SUITE.encrypt(key.key, public_key, info=info))
            for name, public_key in self._public_keys.items()
        )
        self._key_ring.add(key)
        sidecar = msgspec.structs.replace(sidecar, recipients=wrapped)
        return NewSegmentKey(key=key, sidecar=msgspec.json.encode(sidecar) + b"\n")


def parse_recipients(recipients: Sequence[Recipient]) -> dict[str, X25519PublicKey]:
    """Parse the recipients' public keys, by id.

    Raises UserError, see `Sealer.from_config`.
    """
    parsed: dict[str, X25519PublicKey] = {}
    for recipient in recipients:
        if recipient.id in parsed:
            raise UserError(
                Message(
                    "{label}: id {id!r} is used twice", label="record.recipient", id=recipient.id
                )
            )
        label = f"record.recipient: {recipient.id!r}: public_key"
        parsed[recipient.id] = parse_public_key(recipient.public_key, label)
    return parsed


def write_sidecar(path: Path, sidecar: bytes) -> None:
    """Write the key file of a segment. Its name is durable once the folder is synced.

    Raises OSError.
    """
    create_durably(path, sidecar, 0o640, apply_umask=True)


def read_sidecar(path: Path) -> WrappedKeyFile:
    """Read a key file. Raises UserError if it cannot be read or is invalid."""
    label = f"keys file {str(path)!r}"
    try:
        return decode_json(read_regular_file(path, _MAX_SIDECAR_BYTES), WrappedKeyFile)
    except OSError as error:
        raise UserError(
            Message("{label}: {problem}", label=label, problem=error.strerror or str(error))
        ) from error
    except MalformedJson as error:
        raise UserError(
            Message(
                "{label}: not a file of wrapped keys: {error}", label=label, error=message_of(error)
            )
        ) from error


def unwrap_segment_key(path: Path, private_key: X25519PrivateKey) -> SegmentKey:
    """Unwrap a segment's key with the private key of one of its recipients.

    Raises UserError if the file is invalid, the private key is not a recipient's, or the wrapped key
    does not match the key id.
    """
    sidecar = read_sidecar(path)
    for wrapped in sidecar.recipients:
        try:
            key = SegmentKey(
                _HPKE_SUITE.decrypt(wrapped.wrapped, private_key, info=sidecar.hpke_info())
            )
        except InvalidTag:
            continue
        if key.kid.hex() != sidecar.kid or len(key.key) != KEY_BYTES:
            raise UserError(f"keys file {str(path)!r}: the wrapped key is not that of its key id")
        return key
    names = ", ".join(wrapped.id for wrapped in sidecar.recipients)
    raise UserError(
        f"keys file {str(path)!r}: this private key does not open it; it is wrapped for: {names}"
    )
