"""Control certificates: X.509 of a person or a system, issued directly by an authority of `control.ca`. Pure.

The subject has the name (CN) and the role (O), as in Kubernetes. Keys are Ed25519. A person's certificate is short-lived:
a stolen one ends by itself within a day, also if a broker withholds its revocation.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from agent.authority.refusal import RefusedMessage
from agent.authority.signed_message import SigningIdentity
from agent.authority.signer_name import BadSignerName, check_signer_name, fold_name
from agent.base.control_role import CONTROL_ROLES, ControlRole
from agent.base.pem import FIELD_ERRORS, MalformedCertificate, decode_der_certificate

PERSON_LIFETIME = timedelta(hours=12)
"""Of the certificates that `vigie key` issues: a shift."""
MAX_PERSON_LIFETIME = timedelta(hours=24)
MAX_CENTRE_LIFETIME = timedelta(days=400)
"""Of the role `centre`, a system that runs without a person."""

_KNOWN_EXTENSIONS = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    }
)
"""A certificate with another critical extension is refused (RFC 5280, 4.2)."""
T = TypeVar("T")
ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)


class ControlCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A signer's certificate. `serial` is hexadecimal, lower case, without leading zeros."""

    name: str
    role: ControlRole
    serial: str
    public_key: Ed25519PublicKey
    certificate: x509.Certificate


def make_authority(
    name: str, key: Ed25519PrivateKey, *, not_before: datetime, not_after: datetime, serial: int
) -> x509.Certificate:
    """Return the self-signed certificate of a control authority, which issues no further authorities."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, None)
    )


def issue_certificate(
    public_key: Ed25519PublicKey,
    name: str,
    role: ControlRole,
    *,
    authority: SigningIdentity,
    not_before: datetime,
    not_after: datetime,
    serial: int,
) -> x509.Certificate:
    """Return the certificate of a person, or of a system with the role `centre`."""
    return (
        x509.CertificateBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, role),
                    x509.NameAttribute(NameOID.COMMON_NAME, name),
                ]
            )
        )
        .issuer_name(authority.certificate.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .sign(authority.key, None)
    )


def read_control_certificate(der: bytes) -> ControlCertificate:
    """Return a signer's certificate; its issuer, its dates and its revocation are checked apart.

    Raises: RefusedMessage.
    """
    try:
        certificate = decode_der_certificate(der)
    except MalformedCertificate as error:
        raise RefusedMessage("bad_certificate", f"no certificate: {error}") from error
    return _read(lambda: _to_control_certificate(certificate))


def check_authority(certificate: x509.Certificate) -> None:
    """Raise RefusedMessage unless the certificate is that of a control authority."""
    _read(lambda: _check_authority(certificate))


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Return whether an authority has issued a certificate directly."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, *FIELD_ERRORS):
        return False
    return True


def check_dates(certificate: x509.Certificate, name: str, now: datetime) -> None:
    """Raise RefusedMessage unless a certificate is valid at `now`. `name` is for the message."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= now <= end:
        raise RefusedMessage(
            "certificate_expired",
            f"the certificate of {name!r} is valid from {begin:%Y-%m-%d %H:%M} "
            f"to {end:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d %H:%M}",
        )


def check_two_people(first: ControlCertificate, second: ControlCertificate) -> None:
    """Raise RefusedMessage unless two signers have two names, two keys, and certificates that were issued at two times."""
    begins = {one.certificate.not_valid_before_utc for one in (first, second)}
    keys = {one.public_key.public_bytes_raw() for one in (first, second)}
    if fold_name(first.name) == fold_name(second.name):
        same = "a name that counts as one"
    elif len(keys) == 1:
        same = "one key"
    elif first.serial == second.serial:
        same = f"one serial number, {first.serial}"
    elif len(begins) == 1:
        same = f"one begin of their certificates, {first.certificate.not_valid_before_utc:%H:%M:%S}"
    else:
        return
    raise RefusedMessage(
        "same_person",
        f"the signatures of {first.name!r} and {second.name!r} have {same}; allowed: of two people",
    )


def _to_control_certificate(certificate: x509.Certificate) -> ControlCertificate:
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise _bad("its key is not Ed25519")
    name = _subject_text(certificate, NameOID.COMMON_NAME, "CN")
    try:
        check_signer_name(name)
    except BadSignerName as error:
        raise _bad(f"CN = {error}") from error
    role = _subject_text(certificate, NameOID.ORGANIZATION_NAME, "O")
    if role not in CONTROL_ROLES:
        raise _bad(f"O = {role!r}: allowed: {', '.join(CONTROL_ROLES)}")
    _check_extensions(certificate)
    usage = _extension(certificate, x509.KeyUsage, "key usage")
    extended_usage = _extension(certificate, x509.ExtendedKeyUsage, "extended key usage")
    if not usage.digital_signature or usage.key_cert_sign:
        raise _bad("its key usage is not digitalSignature")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in extended_usage:
        raise _bad("its extended key usage is not clientAuth")
    if _is_authority(certificate):
        raise _bad("it is one of an authority")
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    limit = MAX_CENTRE_LIFETIME if role == "centre" else MAX_PERSON_LIFETIME
    if lifetime > limit:
        raise _bad(f"it is valid for {lifetime}; allowed for the role {role!r}: {limit}")
    if certificate.serial_number <= 0:
        raise _bad("its serial number is not positive")
    return ControlCertificate(
        name=name,
        role=role,
        serial=f"{certificate.serial_number:x}",
        public_key=key,
        certificate=certificate,
    )


def _check_authority(certificate: x509.Certificate) -> None:
    if not isinstance(certificate.public_key(), Ed25519PublicKey):
        raise _bad("its key is not Ed25519")
    _check_extensions(certificate)
    if not _is_authority(certificate):
        raise _bad("it is not one of an authority (basicConstraints)")
    if not _extension(certificate, x509.KeyUsage, "key usage").key_cert_sign:
        raise _bad("its key usage is not keyCertSign")


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _check_extensions(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _KNOWN_EXTENSIONS:
            raise _bad(f"an unknown critical extension: {extension.oid.dotted_string}")


def _extension(certificate: x509.Certificate, kind: type[ExtensionT], name: str) -> ExtensionT:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound as error:
        raise _bad(f"it has no {name}") from error


def _subject_text(certificate: x509.Certificate, oid: ObjectIdentifier, label: str) -> str:
    attributes = certificate.subject.get_attributes_for_oid(oid)
    if len(attributes) != 1:
        raise _bad(f"its subject has {len(attributes)} times {label}; allowed: once")
    return str(attributes[0].value)


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _read(read: Callable[[], T]) -> T:
    """Return what `read` returns. The library raises unrelated errors when a field is read: here they are one."""
    try:
        return read()
    except FIELD_ERRORS as error:
        raise _bad(f"it cannot be read: {error}") from error


def _bad(problem: str) -> RefusedMessage:
    return RefusedMessage("bad_certificate", f"not a control certificate: {problem}")
