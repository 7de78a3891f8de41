"""Key and certificate of the box for its broker: from the settings, kept, or made on the box.

If the box makes its key, the agent gets a self-signed certificate until the centre's arrives: it records
and detects meanwhile, the broker refuses the connection, and the box reports NET-04.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.base import pem
from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.console.enrolment import ENROL_DIR, REQUEST_KEY_FILE, Enrolment
from agent.console.errors import ConsoleError
from agent.provisioning.atomic_folder import NewFile
from agent.provisioning.file_references import local_name
from agent.provisioning.settings import BoxSettings

_NOT_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280, 4.1.2.5: no well-defined end. The clock of a first boot is not trusted."""


class TlsCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Files to write next to the configuration. `names` has both files of the pair, written or kept;
    `consumes_request`: the key of the pending request has its certificate now.
    """

    files: dict[str, NewFile] = {}
    names: frozenset[str] = frozenset()
    consumes_request: bool = False
    notes: tuple[str, ...] = ()


def resolve_credentials(settings: BoxSettings, config_dir: Path, state_dir: Path) -> TlsCredentials:
    """Return the pair for these settings. Writes nothing but a new key in the state folder, if one is needed.

    Raises OSError.
    """
    broker = settings.config.broker
    key_name, certificate_name = local_name(broker.key or ""), local_name(broker.certificate or "")
    if key_name is None or certificate_name is None:
        return TlsCredentials()
    names = frozenset((key_name, certificate_name))
    given_key = settings.embedded.secrets.get(key_name)
    given_certificate = settings.embedded.files.get(certificate_name)
    if given_key and given_certificate:
        return TlsCredentials(
            files=_build_files(
                key_name, given_key.encode(), certificate_name, given_certificate.encode()
            ),
            names=names,
        )
    request_key, current_key = (
        _read_if_exists(state_dir / ENROL_DIR / REQUEST_KEY_FILE),
        _read_if_exists(config_dir / key_name),
    )
    notes: tuple[str, ...] = ()
    if given_certificate:
        for key in (request_key, current_key):
            if key is not None and _is_matching(key, given_certificate.encode(), settings.box_id):
                return TlsCredentials(
                    files=_build_files(key_name, key, certificate_name, given_certificate.encode()),
                    names=names,
                    consumes_request=key is request_key,
                )
        notes = (
            f"the certificate {certificate_name!r} is not for this box's key, and is not used",
        )
    certificate = _read_if_exists(config_dir / certificate_name)
    if current_key and certificate and _is_matching(current_key, certificate, settings.box_id):
        return TlsCredentials(names=names, notes=notes)
    create_request(state_dir, settings.box_id)
    key = read_regular_file(state_dir / ENROL_DIR / REQUEST_KEY_FILE, MAX_PEM_BYTES)
    return TlsCredentials(
        files=_build_files(
            key_name, key, certificate_name, _self_signed_certificate(key, settings.box_id)
        ),
        names=names,
        notes=notes,
    )


def create_request(state_dir: Path, box_id: str) -> str:
    """Return the pending request, or a new one. A damaged key is replaced. Raises OSError."""
    enrolment = Enrolment(state_dir, box_id, None)
    try:
        return enrolment.create_request()
    except ConsoleError:
        return enrolment.create_request()


def pending_request(state_dir: Path, box_id: str) -> str | None:
    """Return the request that waits for its certificate, or None. Raises OSError."""
    return (
        create_request(state_dir, box_id)
        if (state_dir / ENROL_DIR / REQUEST_KEY_FILE).exists()
        else None
    )


def delete_request_key(state_dir: Path) -> None:
    """Delete the key of a request that is answered. Raises OSError."""
    (state_dir / ENROL_DIR / REQUEST_KEY_FILE).unlink(missing_ok=True)


def _build_files(
    key_name: str, key: bytes, certificate_name: str, certificate: bytes
) -> dict[str, NewFile]:
    return {key_name: NewFile(data=key, mode=0o600), certificate_name: NewFile(data=certificate)}


def _read_if_exists(path: Path) -> bytes | None:
    try:
        return read_regular_file(path, MAX_PEM_BYTES)
    except FileNotFoundError:
        return None


def _is_matching(key: bytes, certificate: bytes, box_id: str) -> bool:
    try:
        loaded = pem.load_box_certificate(certificate, box_id, "")
        return pem.load_public_key(key, "") == loaded.public_key()
    except UserError:
        return False


def _self_signed_certificate(pem_key: bytes, box_id: str) -> bytes:
    """Return a certificate signed with its own key. Its only use is that the agent starts."""
    key = serialization.load_pem_private_key(pem_key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"key in {ENROL_DIR}: not an elliptic curve key")
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "waits for its certificate"),
            x509.NameAttribute(NameOID.COMMON_NAME, box_id),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
