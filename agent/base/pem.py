"""Certificates and keys that an operator or a peer gives to a box. No message contains a part of a key.

The library raises unrelated kinds of errors for malformed ones, some of them when a field is read: an impossible
version is no ValueError. Here they are one, and `make lint` allows the library's own decoders nowhere else.
Each `load_...` raises UserError, which begins with `label`.
"""

from collections.abc import Callable
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from agent.base.errors import UserError
from agent.base.message import Message, Text

_NO_CERTIFICATE = Message(
    "not a certificate in PEM; allowed: its whole text, from -----BEGIN CERTIFICATE----- on"
)
FIELD_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InternalError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""The library's errors of a malformed certificate, when it is decoded or a field of it is read."""
ValueT = TypeVar("ValueT")


class MalformedCertificate(ValueError):
    """Bytes are no certificate that can be read. `str(error)` is one line."""


def decode_certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in a PEM text, at least one, whose dates can be read. Raises: MalformedCertificate."""

    def decode() -> list[x509.Certificate]:
        certificates = x509.load_pem_x509_certificates(pem)  # noqa: TID251 - the one place
        for certificate in certificates:
            _read_dates(certificate)
        return certificates

    return _decode(decode)


def decode_der_certificate(der: bytes) -> x509.Certificate:
    """Return a certificate whose dates can be read. Raises: MalformedCertificate."""

    def decode() -> x509.Certificate:
        certificate = x509.load_der_x509_certificate(der)  # noqa: TID251 - the one place
        _read_dates(certificate)
        return certificate

    return _decode(decode)


def decode_pkcs7_certificates(der: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PKCS #7 message whose dates can be read. Raises: MalformedCertificate."""

    def decode() -> list[x509.Certificate]:
        certificates = pkcs7.load_der_pkcs7_certificates(der)
        for certificate in certificates:
            _read_dates(certificate)
        return certificates

    return _decode(decode)


def decode_request(pem: bytes) -> tuple[PublicKeyTypes, x509.Name]:
    """Return the key and the name of a certificate request. Raises: MalformedCertificate."""

    def decode() -> tuple[PublicKeyTypes, x509.Name]:
        request = x509.load_pem_x509_csr(pem)  # noqa: TID251 - the one place
        return request.public_key(), request.subject

    return _decode(decode)


def load_authorities(pem: bytes, label: Text) -> list[x509.Certificate]:
    """Return the authorities that sign certificates."""
    try:
        return decode_certificates(pem)
    except MalformedCertificate as error:
        raise _error(label, _NO_CERTIFICATE) from error


def load_box_certificate(pem: bytes, box_id: str, label: Text) -> x509.Certificate:
    """Return a certificate with the name of the box and a key that can be read."""
    certificate, *_ = load_authorities(pem, label)
    try:
        certificate.public_key()
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except FIELD_ERRORS as error:
        raise _error(
            label, Message("its key or its name cannot be read: {error}", error=_one_line(error))
        ) from error
    name = str(names[0].value) if names else ""
    if name != box_id:
        raise _error(
            label,
            Message("its name is {name!r}; allowed: {box!r}, as box.id", name=name, box=box_id),
        )
    return certificate


def public_key_der(certificate: x509.Certificate, label: Text) -> bytes:
    """Return the public key of a certificate (SubjectPublicKeyInfo)."""
    try:
        return certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except FIELD_ERRORS as error:
        raise _error(
            label, Message("its key cannot be read: {error}", error=_one_line(error))
        ) from error


def has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Return whether a certificate was signed by an authority, under its name."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (*FIELD_ERRORS, TypeError, InvalidSignature):
        return False
    return True


def load_public_key(pem: bytes, label: Text) -> PublicKeyTypes:
    """Return the public key of a private key."""
    return _load_private_key(pem, label).public_key()


def is_pair(key: bytes, certificate: bytes, box_id: str) -> bool:
    """Return whether a certificate in PEM is of this box, and belongs to a private key in PEM."""
    try:
        loaded = load_box_certificate(certificate, box_id, "")
        return load_public_key(key, "") == loaded.public_key()
    except UserError:
        return False


def load_signing_key(pem: bytes, label: Text) -> Ed25519PrivateKey:
    """Return an Ed25519 key."""
    key = _load_private_key(pem, label)
    if not isinstance(key, Ed25519PrivateKey):
        raise _error(label, Message("not an Ed25519 key"))
    return key


def _load_private_key(pem: bytes, label: Text) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise _error(
            label, Message("encrypted with a password; allowed: a key without one")
        ) from error
    except FIELD_ERRORS as error:
        raise _error(label, Message("not a private key in PEM; allowed: its whole text")) from error


def _read_dates(certificate: x509.Certificate) -> None:
    """Raise the library's error if a date is none of the calendar."""
    _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc


def _decode(decode: Callable[[], ValueT]) -> ValueT:
    try:
        return decode()
    except FIELD_ERRORS as error:
        raise MalformedCertificate(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _error(label: Text, problem: Message) -> UserError:
    return UserError(Message("{label}: {problem}", label=label, problem=problem))
