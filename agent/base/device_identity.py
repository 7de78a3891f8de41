"""Device identity: the box's Ed25519 key (RFC 8032), created at the first start, never exported.

It signs the custody log. The file has the private key (PKCS #8) and the public key that belongs to it, both in
PEM, and is readable only by the agent's user. Of the flips of one bit in a private key alone, a fifth gave another
valid key; a file is read only if it has exactly the bytes that its key has when it is written.

The functions that use a key import cryptography: commands that name its folder alone start without it, 20 ms of CPU.
"""

import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from agent.base import atomic_file
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

log = logging.getLogger(__name__)

IDENTITY_DIR, KEY_FILE = "identity", "box.key"
"""The folder in the state folder, and the file in it."""
_MAX_KEY_BYTES = 65_536
STATE_LOST_FLAG = "run/vigie-state-lost"
"""File below the machine's root, present during a boot whose state partition had to be recreated, and the
key with it."""


class DeviceIdentity:
    """The box's key pair in a folder.

    `is_new`: the key was created when it was loaded; `damaged_key_file` then names the file of an earlier one that
    could not be read.
    """

    def __init__(
        self,
        key: "Ed25519PrivateKey",
        folder: Path,
        *,
        is_new: bool = False,
        damaged_key_file: str | None = None,
    ) -> None:
        self._key = key
        self.folder = folder
        self.is_new = is_new
        self.damaged_key_file = damaged_key_file
        self.public_key_raw = key.public_key().public_bytes_raw()
        """32 bytes."""

    @classmethod
    def load_or_create(cls, folder: Path) -> "DeviceIdentity":
        """Return the folder's key, or create one.

        A key that cannot be read is renamed and a new one created: the box keeps recording, and the
        centre sees that its key has changed. Raises: OSError.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - see the module's docstring
            Ed25519PrivateKey,
        )

        atomic_file.make_dir(folder, 0o700)
        _restrict(folder, 0o700)
        path = folder / KEY_FILE
        damaged_key_file = None
        if os.path.lexists(path):
            key = _read_private_key(path)
            if key is not None:
                _restrict(path, 0o600)
                return cls(key, folder)
            damaged_key_file = _quarantine_key(path)
        key = Ed25519PrivateKey.generate()
        atomic_file.replace_atomically(path, _encode_key(key), 0o600)
        return cls(key, folder, is_new=True, damaged_key_file=damaged_key_file)

    @classmethod
    def load(cls, folder: Path) -> "DeviceIdentity | None":
        """Return the folder's key, or None if it is missing or damaged. Changes no file. Raises: PermissionError."""
        key = _read_private_key(folder / KEY_FILE)
        return None if key is None else cls(key, folder)

    @classmethod
    def load_existing(cls, state_dir: Path, command: str) -> "DeviceIdentity | None":
        """Load the key for a command run by a person, or return None if no agent has run here.

        Raises: UserError if the key belongs to another user, whose files would stop the agent; OSError.
        """
        context = f"state folder {str(state_dir)!r}"
        folder = state_dir / IDENTITY_DIR
        try:
            owner = (folder / KEY_FILE).stat().st_uid
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise UserError(f"{context}: permission denied") from error
        if owner != os.geteuid():
            raise UserError(
                f"{context}: belongs to the agent's user; allowed: sudo -u '#{owner}' vigie {command} ..."
            )
        return cls.load_or_create(folder)

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`, 64 bytes."""
        return self._key.sign(data)


def _restrict(path: Path, mode: int) -> None:
    """Set the mode if it is another one: on a disk that has turned read-only chmod(2) fails also if nothing would change."""
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)


def _read_private_key(path: Path) -> "Ed25519PrivateKey | None":
    """Return the key, or None if it is damaged. Raises: PermissionError."""
    from agent.base import pem  # noqa: PLC0415 - see the module's docstring

    try:
        data = read_regular_file(path, _MAX_KEY_BYTES)
        key = pem.load_signing_key(data, str(path))
    except PermissionError:
        raise
    except (OSError, UserError):
        return None
    return key if _encode_key(key) == data else None


def _encode_key(key: "Ed25519PrivateKey") -> bytes:
    """Return the file of a key: the private key, and the public key, by which a changed one is found."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - see the module's docstring

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _quarantine_key(path: Path) -> str:
    number = 1
    while (damaged_path := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(damaged_path)
    log.error("%s: not a readable key; kept as %s, a new one is created", path, damaged_path.name)
    return damaged_path.name
