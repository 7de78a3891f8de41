"""Certificates and keys in PEM, as an operator gives them to a box. No message contains a part of a key.

Each function raises UserError, which begins with `label`.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID

from agent.base.errors import UserError

_NO_CERTIFICATE = (
    "not a certificate in PEM; allowed: its whole text, from -----BEGIN CERTIFICATE----- on"
)


def load_authorities(pem: bytes, label: str) -> list[x509.Certificate]:
    """Return the authorities that sign certificates."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise UserError(f"{label}: {_NO_CERTIFICATE}") from error


def load_box_certificate(pem: bytes, box_id: str, label: str) -> x509.Certificate:
    """Return a certificate with the name of the box and a key that can be read."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise UserError(f"{label}: {_NO_CERTIFICATE}") from error
    try:
        certificate.public_key()
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{label}: its key or its name cannot be read: {error}") from error
    name = str(names[0].value) if names else ""
    if name != box_id:
        raise UserError(f"{label}: its name is {name!r}; allowed: {box_id!r}, as box.id")
    return certificate


def load_public_key(pem: bytes, label: str) -> PublicKeyTypes:
    """Return the public key of a private key."""
    try:
        return serialization.load_pem_private_key(pem, password=None).public_key()
    except TypeError as error:
        raise UserError(
            f"{label}: encrypted with a password; allowed: a key without one"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{label}: not a private key in PEM; allowed: its whole text") from error
