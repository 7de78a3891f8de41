"""Files of a control authority, and of the people and systems that it certifies.

FOLDER/control-ca.pem      the authority's certificate: `[control] ca` of each box
FOLDER/control-ca.key      its key; the folder belongs on no machine that others use
FOLDER/revocations.json    the number and the serials of the newest revocation list
FOLDER/issued.json         the newest certificate of each key
"""

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from agent.authority.certificate import (
    ControlCertificate,
    issue_certificate,
    make_authority,
    read_control_certificate,
)
from agent.authority.refusal import RefusedMessage
from agent.authority.signed_message import SigningIdentity
from agent.authority.signer_name import BadSignerName, check_signer_name, fold_name
from agent.base import atomic_file, pem
from agent.base.clock import rfc3339
from agent.base.control_role import ControlRole
from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.base.secret_file import read_secret_text
from agent.base.sha256 import sha256_hex
from agent.base.state_file import DamagedStateFile, StateFile
from agent.provisioning.atomic_folder import NewFile
from centre.provisioning.new_folder import check_new_folder, create_folder

CA_FILE, CA_KEY_FILE = "control-ca.pem", "control-ca.key"
REVOCATIONS_FILE, ISSUED_FILE = "revocations.json", "issued.json"
MAX_KNOWN_KEYS = 4096
"""Of issued.json: beyond that the one certified longest ago is left out."""
CLOCK_TOLERANCE = timedelta(minutes=5)
"""A certificate is valid this long before it is issued: clocks of boxes differ."""


class RevokedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A revoked certificate: its serial number in hexadecimal, and its end."""

    serial: str
    not_after: Annotated[datetime, msgspec.Meta(tz=True)]


class SigningRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a certificate. Any text may be in `name`."""

    name: str
    public_key: Ed25519PublicKey


class IssuedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate that was issued: `key` is the fingerprint of its key."""

    name: str
    key: str
    not_before: Annotated[datetime, msgspec.Meta(tz=True)]
    not_after: Annotated[datetime, msgspec.Meta(tz=True)]


class IssuedCertificates(msgspec.Struct, frozen=True, kw_only=True):
    """The newest certificate of each key."""

    certificates: tuple[IssuedCertificate, ...] = ()


class Revocations(msgspec.Struct, frozen=True, kw_only=True):
    """The newest revocation list. `number` grows with each change."""

    number: int = 0
    certificates: tuple[RevokedCertificate, ...] = ()


def create_authority(
    folder: Path, name: str, lifetime: timedelta, now: datetime, serial: int
) -> None:
    """Write the folder of a new authority. Raises: UserError if it cannot be written."""
    check_new_folder(folder)
    key = Ed25519PrivateKey.generate()
    certificate = make_authority(
        name, key, not_before=now - CLOCK_TOLERANCE, not_after=now + lifetime, serial=serial
    )
    files = {
        CA_FILE: NewFile(data=certificate.public_bytes(Encoding.PEM), mode=0o644),
        CA_KEY_FILE: NewFile(data=_key_pem(key), mode=0o600),
    }
    try:
        create_folder(folder, files)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from error


def load_authority(folder: Path) -> SigningIdentity:
    """Return the authority of a folder. Raises: UserError."""
    return load_identity(folder / CA_FILE, folder / CA_KEY_FILE)


def load_identity(certificate_file: Path, key_file: Path) -> SigningIdentity:
    """Return a certificate and its key. Raises: UserError, also if they do not match."""
    certificate = load_certificate(certificate_file)
    key = pem.load_signing_key(read_secret_text(key_file).encode(), f"key {str(key_file)!r}")
    if certificate.public_key() != key.public_key():
        raise UserError(f"{key_file}: not the key of {certificate_file}")
    return SigningIdentity(certificate=certificate, key=key)


def read_identity(identity: SigningIdentity) -> ControlCertificate:
    """Return name and role of an identity. Raises: UserError if its certificate is not one of a signer."""
    try:
        return read_control_certificate(identity.certificate.public_bytes(Encoding.DER))
    except RefusedMessage as error:
        raise UserError(str(error)) from error


def load_certificate(file: Path) -> x509.Certificate:
    """Return the first certificate of a file. Raises: UserError."""
    certificate, *_ = pem.load_authorities(_read(file), f"certificate {str(file)!r}")
    return certificate


def create_request(key_file: Path, request_file: Path, name: str) -> Ed25519PublicKey:
    """Write a new key, which its owner alone may read, and the request for its certificate. Return its public key.

    Raises: UserError if one of the files exists or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .sign(key, None)
    )
    write_new_file(request_file, request.public_bytes(Encoding.PEM), 0o644)
    try:
        write_new_file(key_file, _key_pem(key), 0o600)
    except UserError:
        request_file.unlink()
        raise
    return key.public_key()


def parse_signer_name(text: str, option: str) -> str:
    """Return a name as a person types it, in NFC. Raises: UserError if it is none of a signer."""
    name = unicodedata.normalize("NFC", text)
    try:
        check_signer_name(name)
    except BadSignerName as error:
        raise UserError(f"{option} {error}") from error
    return name


def read_request(request_file: Path) -> SigningRequest:
    """Return the key of a request, and the name that it asks for. Raises: UserError."""
    label = f"request {str(request_file)!r}"
    try:
        public_key, subject = pem.decode_request(_read(request_file))
    except pem.MalformedCertificate as error:
        raise UserError(f"{label}: not a signing request in PEM: {error}") from error
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not isinstance(public_key, Ed25519PublicKey) or len(names) != 1:
        raise UserError(f"{label}: allowed: an Ed25519 key and one CN, as of `vigie key request`")
    return SigningRequest(name=str(names[0].value), public_key=public_key)


def issue(
    folder: Path,
    request: SigningRequest,
    name: str,
    role: ControlRole,
    lifetime: timedelta,
    now: datetime,
    serial: int,
) -> tuple[ControlCertificate, tuple[IssuedCertificate, ...]]:
    """Return the certificate for the key of a request, and the present ones of other keys whose names count as its own.

    No two certificates begin in the same second, so that a box can take them for those of two people. Raises: UserError
    if the key was certified under another name, or if no box would take the certificate.
    """
    authority = load_authority(folder)
    file = StateFile(folder / ISSUED_FILE, IssuedCertificates)
    key = fingerprint(request.public_key)
    try:
        known = (file.read_strictly() or IssuedCertificates()).certificates
    except (DamagedStateFile, OSError) as error:
        raise UserError(f"{file.path}: {error}") from error
    for other in known:
        if other.key == key and fold_name(other.name) != fold_name(name):
            raise UserError(
                f"the key {key} was certified as {other.name!r}; allowed: a key of its own for {name!r}"
            )
    begin = now.replace(microsecond=0) - CLOCK_TOLERANCE
    while any(other.not_before == begin for other in known):
        begin += timedelta(seconds=1)
    certificate = issue_certificate(
        request.public_key,
        name,
        role,
        authority=authority,
        not_before=begin,
        not_after=begin + lifetime,
        serial=serial,
    )
    try:
        issued = read_control_certificate(certificate.public_bytes(Encoding.DER))
    except RefusedMessage as error:
        raise UserError(str(error)) from error
    others = tuple(other for other in known if other.key != key)
    entry = IssuedCertificate(name=name, key=key, not_before=begin, not_after=begin + lifetime)
    try:
        file.write(IssuedCertificates(certificates=(*others[1 - MAX_KNOWN_KEYS :], entry)))
    except OSError as error:
        raise UserError(f"{file.path}: {error}") from error
    return issued, tuple(
        other
        for other in others
        if other.not_after > now and fold_name(other.name) == fold_name(name)
    )


def describe(certificate: ControlCertificate) -> tuple[str, ...]:
    """Return the lines that show a signer's certificate."""
    begin, end = (
        rfc3339(time)
        for time in (
            certificate.certificate.not_valid_before_utc,
            certificate.certificate.not_valid_after_utc,
        )
    )
    return (
        f"name    {certificate.name}",
        f"role    {certificate.role}",
        f"key     {fingerprint(certificate.public_key)}",
        f"serial  {certificate.serial}",
        f"valid   {begin} to {end}",
    )


def fingerprint(public_key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of the 32 bytes of a key, in hexadecimal."""
    return sha256_hex(public_key.public_bytes_raw())


def revoke(folder: Path, certificates: Sequence[x509.Certificate], now: datetime) -> Revocations:
    """Add certificates to the revocation list of a folder, and return it, without those that have ended.

    Raises: UserError if the list cannot be read or written.
    """
    file = StateFile(folder / REVOCATIONS_FILE, Revocations)
    try:
        present = file.read_strictly() or Revocations()
        revoked = {entry.serial: entry for entry in present.certificates}
        for certificate in certificates:
            serial = f"{certificate.serial_number:x}"
            revoked[serial] = RevokedCertificate(
                serial=serial, not_after=certificate.not_valid_after_utc
            )
        remaining = tuple(entry for entry in revoked.values() if entry.not_after > now)
        if present.number and remaining == present.certificates:
            return present
        new = Revocations(number=present.number + 1, certificates=remaining)
        file.write(new)
    except (DamagedStateFile, OSError) as error:
        raise UserError(f"{file.path}: {error}") from error
    return new


def write_new_file(path: Path, data: bytes, mode: int) -> None:
    """Create a file. Raises: UserError if it exists or cannot be written."""
    try:
        atomic_file.create_durably(path, data, mode)
    except FileExistsError as error:
        raise UserError(f"{path}: exists; allowed: a new file") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error


def _read(file: Path) -> bytes:
    try:
        return read_regular_file(file, MAX_PEM_BYTES)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from error


def _key_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
