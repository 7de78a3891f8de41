"""Certificates and keys in PEM, as an operator gives them to a box. No message contains a part of a key.

Each function raises UserError, which begins with `label`.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID

from agent.base.errors import UserError
from agent.base.message import Message, Text

_NO_CERTIFICATE = Message(
    "not a certificate in PEM; allowed: its whole text, from -----BEGIN CERTIFICATE----- on"
)


def load_authorities(pem: bytes, label: Text) -> list[x509.Certificate]:
    """Return the authorities that sign certificates."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise _error(label, _NO_CERTIFICATE) from error


def load_box_certificate(pem: bytes, box_id: str, label: Text) -> x509.Certificate:
    """Return a certificate with the name of the box and a key that can be read."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise _error(label, _NO_CERTIFICATE) from error
    try:
        certificate.public_key()
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _error(
            label, Message("its key or its name cannot be read: {error}", error=str(error))
        ) from error
    name = str(names[0].value) if names else ""
    if name != box_id:
        raise _error(
            label,
            Message("its name is {name!r}; allowed: {box!r}, as box.id", name=name, box=box_id),
        )
    return certificate


def load_public_key(pem: bytes, label: Text) -> PublicKeyTypes:
    """Return the public key of a private key."""
    try:
        return serialization.load_pem_private_key(pem, password=None).public_key()
    except TypeError as error:
        raise _error(
            label, Message("encrypted with a password; allowed: a key without one")
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _error(label, Message("not a private key in PEM; allowed: its whole text")) from error


def _error(label: Text, problem: Message) -> UserError:
    return UserError(Message("{label}: {problem}", label=label, problem=problem))
