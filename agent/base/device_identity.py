"""The box's own key: made at first start, never leaves the box, signs what the box says.

Ed25519 (RFC 8032) in a PEM file of PKCS #8 that only the agent's user may read.
"""

import logging
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.base import atomic_file

log = logging.getLogger(__name__)

KEY_FILE = "box.key"
STATE_LOST_FLAG = "run/vigie-state-lost"
"""Under the machine's root: there while the system runs whose state partition had to be made anew, and
with it the key."""


class DeviceIdentity:
    """An Ed25519 key pair. `set_aside` names the file of a key before it that could not be read."""

    def __init__(self, key: Ed25519PrivateKey, damaged_key_file: str | None = None) -> None:
        self._key = key
        self.damaged_key_file = damaged_key_file
        self.public_key_raw = key.public_key().public_bytes_raw()
        """32 bytes."""

    @classmethod
    def load_or_create(cls, folder: Path) -> "DeviceIdentity":
        """The key of a folder; a new one where there is none.

        A key that cannot be read any more is set aside and a new one made: a box goes on
        recording, and the centre sees that its key has changed. Raises OSError.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        path = folder / KEY_FILE
        damaged_key_file = None
        if path.exists():
            key = _parse_private_key(path.read_bytes())
            if key is not None:
                path.chmod(0o600)
                return cls(key)
            damaged_key_file = _quarantine_key(path)
        key = Ed25519PrivateKey.generate()
        _write_key(path, key)
        return cls(key, damaged_key_file)

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`, 64 bytes."""
        return self._key.sign(data)


def _parse_private_key(pem: bytes) -> Ed25519PrivateKey | None:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Ed25519PrivateKey) else None


def _write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write the key aside and rename it: a cut leaves no key or a whole one."""
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    atomic_file.replace_atomically(path, pem, 0o600)
    atomic_file.fsync_dir(path.parent.parent)


def _quarantine_key(path: Path) -> str:
    number = 1
    while (damaged_path := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(damaged_path)
    log.error("%s is no key any more: set aside as %s, a new one is made", path, damaged_path.name)
    return damaged_path.name
