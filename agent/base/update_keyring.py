"""The keyring of an image: the authorities whose updates it installs."""

from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from agent.base import pem
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.message import Message, message_of

KEYRING_FILE = Path("etc/rauc/keyring.pem")
TEST_AUTHORITY = "vigie-test-authority"
"""The authority of an image that was built without a keyring. The building machine keeps its private key, unprotected."""
TEST_AUTHORITY_WARNING = Message(
    "this image installs updates of the test authority, whose key is no secret"
)
MAX_BYTES = 1 << 20


def read_authorities(path: Path) -> tuple[str, ...]:
    """Return the names of the authorities in a keyring. Raises: OSError; UserError if it is none."""
    return tuple(name for certificate in _load(path) for name in _names(certificate, path))


def find_shared_authority(keyring: Path, other: Path) -> str | None:
    """Return the name of an authority of a keyring that has the key of one in another file, or issued it; or None.

    Raises: OSError; UserError if one of the two holds no certificates.
    """
    others = _load(other)
    keys = {pem.public_key_der(certificate, str(other)) for certificate in others}
    for certificate in _load(keyring):
        if pem.public_key_der(certificate, str(keyring)) in keys or any(
            pem.has_issued(certificate, one) for one in others
        ):
            return ", ".join(_names(certificate, keyring))
    return None


def trusts_test_authority(root: Path) -> bool:
    """Return whether a system installs updates of the test authority; False without a readable keyring."""
    try:
        return TEST_AUTHORITY in read_authorities(root / KEYRING_FILE)
    except (OSError, UserError):
        return False


def _load(path: Path) -> list[x509.Certificate]:
    return pem.load_authorities(read_regular_file(path, MAX_BYTES), str(path))


def _names(certificate: x509.Certificate, path: Path) -> list[str]:
    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError as error:
        raise UserError(
            Message(
                "{label}: its name cannot be read: {error}",
                label=str(path),
                error=message_of(error),
            )
        ) from error
    return [str(name.value) for name in names]
