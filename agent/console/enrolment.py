"""Enrolment: a key that never leaves the box, a certificate request, and the signed certificate.

enrol/request.key    in the state folder, 0600: the key of the pending request
"""

import os
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.base import atomic_file, pem
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.base.message import Message
from agent.config.broker import BrokerConfig
from agent.console.errors import ConsoleError

ENROL_DIR = "enrol"
REQUEST_KEY_FILE = "request.key"
_PEM = serialization.Encoding.PEM


class Enrolment:
    """Enrolment of one box. Its methods raise ConsoleError, UserError or OSError."""

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
            raise ConsoleError(Message("there is no pending request: begin with enrol request"))
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
            raise ConsoleError(Message("it is not for the key of the pending request"))
        if clock_synced and not cert.not_valid_before_utc <= now <= cert.not_valid_after_utc:
            raise ConsoleError(
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
        raise ConsoleError(Message("it is not signed by broker.ca"))

    def _load_issuers(self) -> list[x509.Certificate]:
        ca = None if self._broker is None else self._broker.ca
        if ca is None:
            raise ConsoleError(Message("broker.ca is not set: its signature cannot be checked"))
        try:
            return pem.load_authorities(
                read_regular_file(Path(ca), MAX_PEM_BYTES), f"broker.ca = {ca!r}"
            )
        except OSError as error:
            raise ConsoleError(f"broker.ca = {ca!r}: {error.strerror or error}") from error

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
            raise ConsoleError(
                Message("the key of the request is damaged: begin with enrol request")
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConsoleError(
                Message("{file}: not an EC key, as the box makes them", file=str(self._key_file))
            )
        return key


def _encode_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
