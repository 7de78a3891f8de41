"""Key and certificate of the box for its broker: a request, the signed certificate, and those of the settings file.

enrol/request.key    in the state folder, 0600: the key of the pending request, which never leaves the box

If the settings bring no key, the box makes one, and the agent gets a self-signed certificate until the centre's arrives: it
records and detects meanwhile, the broker refuses the connection, and the box reports NET-04.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.base import atomic_file, pem
from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.base.message import Message
from agent.config.broker import BrokerConfig
from agent.provisioning.atomic_folder import NewFile
from agent.provisioning.settings import BoxSettings

ENROL_DIR = "enrol"
REQUEST_KEY_FILE = "request.key"
_PEM = serialization.Encoding.PEM
_NOT_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280, 4.1.2.5: no well-defined end. The clock of a first boot is not trusted."""


class Enrolment:
    """Enrolment of one box. Its methods raise UserError or OSError."""

    def __init__(self, state_dir: Path, box_id: str, broker: BrokerConfig | None) -> None:
        self._folder = state_dir / ENROL_DIR
        self._key_file = self._folder / REQUEST_KEY_FILE
        self._box_id = box_id
        self._broker = broker

    def create_request(self) -> str:
        """Return a certificate request in PEM.

        A pending request's key is used again: the centre may have signed the first request by now.
        """
        key = self._load_key() if self._key_file.exists() else self._create_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._box_id)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name)
        return request.sign(key, hashes.SHA256()).public_bytes(_PEM).decode()

    def install(self, text: str, now: datetime, *, clock_synced: bool) -> list[Message]:
        """Install a certificate in PEM that matches the pending request. Return a report for the screen."""
        if not self._key_file.exists():
            raise UserError(Message("there is no pending request: begin with enrol request"))
        cert = pem.load_box_certificate(text.encode(), self._box_id, Message("certificate"))
        key = self._load_key()
        self._check_certificate(cert, key, now, clock_synced=clock_synced)
        certificate_pem = cert.public_bytes(_PEM)
        messages = [
            Message(
                "Certificate of {box}, valid until {date}.",
                box=self._box_id,
                date=f"{cert.not_valid_after_utc:%Y-%m-%d}",
            )
        ]
        broker = self._broker
        if broker is None or broker.certificate is None or broker.key is None:
            paths = (self._folder / "box.key", self._folder / "box.pem")
            messages.append(
                Message(
                    "The configuration has no path for it. Set broker.key = {key!r} and "
                    "broker.certificate = {certificate!r}, then restart the agent.",
                    key=str(paths[0]),
                    certificate=str(paths[1]),
                )
            )
        else:
            paths = (Path(broker.key), Path(broker.certificate))
            messages.append(
                Message("The agent uses it from its next connection on; reboot forces one.")
            )
        self._install_files(paths, (_encode_key(key), certificate_pem))
        self._key_file.unlink()
        return messages

    def _check_certificate(
        self,
        cert: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        now: datetime,
        *,
        clock_synced: bool,
    ) -> None:
        if cert.public_key() != key.public_key():
            raise UserError(Message("it is not for the key of the pending request"))
        if clock_synced and not cert.not_valid_before_utc <= now <= cert.not_valid_after_utc:
            raise UserError(
                Message(
                    "it is valid from {begin} to {end}, not today",
                    begin=f"{cert.not_valid_before_utc:%Y-%m-%d}",
                    end=f"{cert.not_valid_after_utc:%Y-%m-%d}",
                )
            )
        for issuer in self._load_issuers():
            try:
                cert.verify_directly_issued_by(issuer)
            except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
                continue
            return
        raise UserError(Message("it is not signed by broker.ca"))

    def _load_issuers(self) -> list[x509.Certificate]:
        ca = None if self._broker is None else self._broker.ca
        if ca is None:
            raise UserError(Message("broker.ca is not set: its signature cannot be checked"))
        try:
            return pem.load_authorities(
                read_regular_file(Path(ca), MAX_PEM_BYTES), f"broker.ca = {ca!r}"
            )
        except OSError as error:
            raise UserError(
                Message(
                    "{label}: {problem}",
                    label=f"broker.ca = {ca!r}",
                    problem=error.strerror or str(error),
                )
            ) from error

    def _install_files(self, paths: tuple[Path, Path], contents: tuple[bytes, bytes]) -> None:
        """Write both files first, then rename both: two renames are between the old and the new pair.

        The old files stay as `.before`.
        """
        temp_paths = [path.with_name(f"{path.name}.new") for path in paths]
        for path, content in zip(temp_paths, contents, strict=True):
            path.unlink(missing_ok=True)
            atomic_file.create_durably(path, content, 0o600)
        for path in paths:
            if path.exists():
                backup = path.with_name(f"{path.name}.before")
                backup.unlink(missing_ok=True)
                os.link(path, backup)
        for temp_path, path in zip(temp_paths, paths, strict=True):
            temp_path.replace(path)
        for folder in {path.parent for path in paths}:
            atomic_file.fsync_dir(folder)

    def _create_key(self) -> ec.EllipticCurvePrivateKey:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        atomic_file.replace_atomically(self._key_file, _encode_key(key), 0o600)
        return key

    def _load_key(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = serialization.load_pem_private_key(
                read_regular_file(self._key_file, MAX_PEM_BYTES), password=None
            )
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            self._key_file.unlink()
            raise UserError(
                Message("the key of the request is damaged: begin with enrol request")
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise UserError(
                Message("{file}: not an EC key, as the box makes them", file=str(self._key_file))
            )
        return key


def _encode_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


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
    if settings.key_names is None:
        return TlsCredentials()
    key_name, certificate_name = settings.key_names
    names = frozenset(settings.key_names)
    given_key = settings.embedded.secrets.get(key_name, "").encode()
    given_certificate = settings.embedded.files.get(certificate_name, "").encode()
    request_key, current_key, current_certificate = map(
        _read_if_exists,
        (
            state_dir / ENROL_DIR / REQUEST_KEY_FILE,
            config_dir / key_name,
            config_dir / certificate_name,
        ),
    )
    keys = (given_key,) if given_key else (request_key, current_key)
    candidates = (*((key, given_certificate) for key in keys), (current_key, current_certificate))
    found = next(
        (
            (key, certificate)
            for key, certificate in candidates
            if key and certificate and pem.is_pair(key, certificate, settings.box_id)
        ),
        None,
    )
    if found is None:
        create_request(state_dir, settings.box_id)
        key = read_regular_file(state_dir / ENROL_DIR / REQUEST_KEY_FILE, MAX_PEM_BYTES)
        found = (key, _self_signed_certificate(key, settings.box_id))
    key, certificate = found
    is_used = certificate is given_certificate
    note = f"the certificate {certificate_name!r} is not for this box's key, and is not used"
    return TlsCredentials(
        files={}
        if certificate is current_certificate
        else {
            key_name: NewFile(data=key, mode=0o600),
            certificate_name: NewFile(data=certificate),
        },
        names=names,
        consumes_request=is_used and key is request_key,
        notes=(note,) if given_certificate and not is_used else (),
    )


def create_request(state_dir: Path, box_id: str) -> str:
    """Return the pending request, or a new one. A damaged key is replaced. Raises OSError."""
    enrolment = Enrolment(state_dir, box_id, None)
    try:
        return enrolment.create_request()
    except UserError:
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


def _read_if_exists(path: Path) -> bytes | None:
    try:
        return read_regular_file(path, MAX_PEM_BYTES)
    except FileNotFoundError:
        return None


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
