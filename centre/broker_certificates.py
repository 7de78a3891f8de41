"""TLS certificates of the broker and of its clients, and the two authorities that issue them.

FOLDER/ca.crt, ca.key                  the authority of the broker, the boxes and the centres
FOLDER/people-ca.crt, people-ca.key    the authority of people
FOLDER/NAME.crt, NAME.key              a certificate; its common name is the broker's host, the box's id, the centre or the person

Boxes hang on poles: with an authority of their own the broker takes none of their certificates where people connect, and a
client id is free to choose. All names are in one folder, so that no two certificates have one name in the access list.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.base import pem
from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.base.secret_file import read_secret_text
from centre.control_keys import write_new_file

AUTHORITY_LIFETIME = timedelta(days=3650)
LIFETIME = timedelta(days=90)
CLOCK_TOLERANCE = timedelta(minutes=5)
"""A certificate is valid this long before it is issued: clocks of boxes differ."""

Owner = Literal["broker", "box", "centre", "person"]
AuthorityName = Literal["ca", "people-ca"]
AUTHORITIES: dict[AuthorityName, str] = {"ca": "Vigie authority", "people-ca": "Vigie people"}


class CertificateRequest(NamedTuple):
    """A certificate to issue."""

    owner: Owner
    name: str

    @property
    def authority(self) -> AuthorityName:
        """The authority that issues it."""
        return "people-ca" if self.owner == "person" else "ca"


class _Authority(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def issue_certificates(
    folder: Path, requests: Sequence[CertificateRequest], now: datetime
) -> tuple[Path, ...]:
    """Write the requested certificates with their keys, and the authorities that are missing. Return the new certificates.

    Raises: UserError, before anything is written, if a file exists; or if a file cannot be read or written.
    """
    files = [file for name in AUTHORITIES for file in _pair(folder, name)]
    present = [file for file in files if file.exists()]
    if present and len(present) < len(files):
        missing = next(file for file in files if file not in present)
        raise UserError(f"{missing}: missing; allowed: both authorities, or a new folder")
    names = [request.name for request in requests]
    if not names and present:
        raise UserError(f"{present[0]}: exists; allowed: a new folder, or names of certificates")
    _check_names(folder, names, files)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from error
    if not present:
        for name, title in AUTHORITIES.items():
            _write_pair(folder, name, *_make_authority(title, now))
    authorities = {name: _load_authority(folder, name) for name in AUTHORITIES}
    for request in requests:
        _write_pair(folder, request.name, *_issue(request, authorities[request.authority], now))
    return tuple(_pair(folder, name)[0] for name in (*(() if present else AUTHORITIES), *names))


def _check_names(folder: Path, names: Sequence[str], reserved: Sequence[Path]) -> None:
    """Raise UserError if a name is given twice, or has a file."""
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name}: named twice; allowed: each name once")
        for file in _pair(folder, name):
            if file.exists() or file in reserved:
                raise UserError(f"{file}: exists; allowed: another name, or move it away first")


def _pair(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.crt", folder / f"{name}.key"


def _write_pair(
    folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    """Write the key first: a certificate without its key would be of no use, and could not be made again."""
    certificate_file, key_file = _pair(folder, name)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_new_file(key_file, key_pem, 0o600)
    write_new_file(certificate_file, certificate.public_bytes(Encoding.PEM), 0o644)


def _load_authority(folder: Path, name: AuthorityName) -> _Authority:
    certificate_file, key_file = _pair(folder, name)
    try:
        data = read_regular_file(certificate_file, MAX_PEM_BYTES)
    except OSError as error:
        raise UserError(f"{certificate_file}: {error.strerror or error}") from error
    certificate, *_ = pem.load_authorities(data, f"certificate {str(certificate_file)!r}")
    try:
        key = load_pem_private_key(read_secret_text(key_file).encode(), None)
    except (ValueError, TypeError) as error:
        raise UserError(f"{key_file}: not an unencrypted key in PEM form") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or (
        key.public_key() != certificate.public_key()
    ):
        raise UserError(f"{key_file}: not the key of {certificate_file}")
    return _Authority(certificate, key)


def _make_authority(
    title: str, now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _common_name(title)
    usage = _key_usage(signs_certificates=True)
    certificate = (
        _builder(name, name, key, key, now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _issue(
    request: CertificateRequest, authority: _Authority, now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    is_server = request.owner == "broker"
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
    issuer = authority.certificate.subject
    certificate = (
        _builder(_common_name(request.name), issuer, key, authority.key, now, LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(request)]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return certificate, key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    public_key = key.public_key()
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    subject_id = x509.SubjectKeyIdentifier.from_public_key(public_key)
    return (
        x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + lifetime)
        .add_extension(subject_id, critical=False)
        .add_extension(authority_id, critical=False)
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(request: CertificateRequest) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(request.name))
    except ValueError:
        return x509.DNSName(request.name)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
