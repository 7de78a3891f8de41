"""Certificates and keys of a settings file. Pure. No message contains a part of a key."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID

from agent.base.errors import UserError


def check_authorities(text: str, label: str) -> None:
    """Check the authorities that sign the broker's certificate. Raises UserError, prefixed with `label`."""
    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise UserError(f"{label}: {_NO_CERTIFICATE}") from error


def check_certificate(text: str, box_id: str, label: str) -> PublicKeyTypes:
    """Check the box's certificate and return its public key. Raises UserError."""
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
    """Check a private key and return its public key. Raises UserError."""
    try:
        return serialization.load_pem_private_key(pem, password=None).public_key()
    except TypeError as error:
        raise UserError(
            f"{label}: encrypted with a password; allowed: a key without one"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{label}: not a private key in PEM; allowed: its whole text") from error


_NO_CERTIFICATE = (
    "not a certificate in PEM; allowed: its whole text, from -----BEGIN CERTIFICATE----- on"
)
