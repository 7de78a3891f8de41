"""Certificates and keys that a settings file brings. Pure. No message shows anything of a key."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID

from agent.base.errors import UserError


def check_authorities(text: str, label: str) -> None:
    """Those that sign the broker's certificate. Raises UserError; `what` begins its message."""
    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise UserError(f"{label}: {_NO_CERTIFICATE}") from error


def check_certificate(text: str, box_id: str, label: str) -> PublicKeyTypes:
    """The box's own; the key that it is for. Raises UserError."""
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{label}: {_NO_CERTIFICATE}") from error
    name = str(names[0].value) if names else ""
    if name != box_id:
        raise UserError(f"{label}: its name is {name!r}; allowed: {box_id!r}, as box.id")
    return key


def check_key(pem: bytes, label: str) -> PublicKeyTypes:
    """A private key; its public half. Raises UserError."""
    try:
        return serialization.load_pem_private_key(pem, password=None).public_key()
    except TypeError as error:
        raise UserError(f"{label}: is locked with a password; allowed: an unlocked key") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{label}: no private key in PEM; allowed: all of its text") from error


_NO_CERTIFICATE = (
    "no certificate in PEM; allowed: all of its text, from -----BEGIN CERTIFICATE----- on"
)
