"""The keyring of an image: the authorities whose updates it installs."""

from pathlib import Path

from cryptography.x509.oid import NameOID

from agent.base import pem
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.message import Message

KEYRING_FILE = Path("etc/rauc/keyring.pem")
TEST_AUTHORITY = "vigie-test-authority"
"""The authority of an image that was built without a keyring. The building machine keeps its private key, unprotected."""
TEST_AUTHORITY_WARNING = Message(
    "this image installs updates of the test authority, whose key is no secret"
)
MAX_BYTES = 1 << 20


def read_authorities(path: Path) -> tuple[str, ...]:
    """Return the names of the authorities in a keyring. Raises: OSError; UserError if it is none."""
    certificates = pem.load_authorities(read_regular_file(path, MAX_BYTES), str(path))
    try:
        return tuple(
            str(name.value)
            for certificate in certificates
            for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        )
    except ValueError as error:
        raise UserError(f"{path}: its name cannot be read: {error}") from error


def trusts_test_authority(root: Path) -> bool:
    """Return whether a system installs updates of the test authority; False without a readable keyring."""
    try:
        return TEST_AUTHORITY in read_authorities(root / KEYRING_FILE)
    except (OSError, UserError):
        return False
