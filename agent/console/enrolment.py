"""A new certificate for the box: the key is made here and stays here, the request goes out, and the
certificate comes in once it fits the key, the box and who signs.

    enrol/request.key    in the state folder, 0600: the key of the request that is out
"""

import os
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.base import atomic_file
from agent.config.configuration import BrokerConfig
from agent.console.errors import ConsoleError

ENROL_DIR = "enrol"
REQUEST_KEY_FILE = "request.key"
_PEM = serialization.Encoding.PEM


class Enrolment:
    """The enrolment of one box. Raises ConsoleError and OSError."""

    def __init__(self, state_dir: Path, box_id: str, broker: BrokerConfig | None) -> None:
        self._folder = state_dir / ENROL_DIR
        self._key_file = self._folder / REQUEST_KEY_FILE
        self._box_id = box_id
        self._broker = broker

    def create_request(self) -> str:
        """A request in PEM. The key of one that is out already is used again: a technician may ask
        twice, and the centre may have signed the first.
        """
        key = self._load_key() if self._key_file.exists() else self._create_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._box_id)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name)
        return request.sign(key, hashes.SHA256()).public_bytes(_PEM).decode()

    def install(self, pem: str, now: datetime, *, clock_synced: bool) -> list[str]:
        """Take the certificate, where it fits; lines for who installs it."""
        if not self._key_file.exists():
            raise ConsoleError("no request is out: begin with enrol request")
        try:
            cert = x509.load_pem_x509_certificate(pem.encode())
        except ValueError as error:
            raise ConsoleError(
                "this is no certificate in PEM: copy all of it, and try again"
            ) from error
        key = self._load_key()
        self._check_certificate(cert, key, now, clock_synced=clock_synced)
        certificate_pem = cert.public_bytes(_PEM)
        key_pem = key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        messages = [
            f"Certificate of {self._box_id}, good until {cert.not_valid_after_utc:%Y-%m-%d}."
        ]
        broker = self._broker
        if broker is None or broker.certificate is None or broker.key is None:
            paths = (self._folder / "box.key", self._folder / "box.pem")
            messages += [
                f"The configuration names no place for it. Set broker.key = {str(paths[0])!r}",
                f"and broker.certificate = {str(paths[1])!r}, then restart the agent.",
            ]
        else:
            paths = (Path(broker.key), Path(broker.certificate))
            messages.append(
                "The agent uses it from its next connection on; reboot makes it do so now."
            )
        self._install_files(paths, (key_pem, certificate_pem))
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
        try:
            public_key = cert.public_key()
            names = cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConsoleError(f"its key or its name cannot be read: {error}") from error
        if public_key != key.public_key():
            raise ConsoleError("it is not for the key of the request that is out")
        name = str(names[0].value) if names else ""
        if name != self._box_id:
            raise ConsoleError(f"its name is {name!r}; allowed: {self._box_id!r}")
        if clock_synced and not cert.not_valid_before_utc <= now <= cert.not_valid_after_utc:
            raise ConsoleError(
                f"it is good from {cert.not_valid_before_utc:%Y-%m-%d} to "
                f"{cert.not_valid_after_utc:%Y-%m-%d}, and not today"
            )
        for issuer in self._load_issuers():
            try:
                cert.verify_directly_issued_by(issuer)
            except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
                continue
            return
        raise ConsoleError("it is not signed by broker.ca")

    def _load_issuers(self) -> list[x509.Certificate]:
        """Who may sign."""
        ca = None if self._broker is None else self._broker.ca
        if ca is None:
            raise ConsoleError("broker.ca is not set: nobody can tell who may sign")
        try:
            return x509.load_pem_x509_certificates(Path(ca).read_bytes())
        except OSError as error:
            raise ConsoleError(f"broker.ca = {ca!r}: {error.strerror or error}") from error
        except ValueError as error:
            raise ConsoleError(f"broker.ca = {ca!r}: holds no certificate in PEM form") from error

    def _install_files(self, paths: tuple[Path, Path], contents: tuple[bytes, bytes]) -> None:
        """Both are written aside first, so that only two renames lie between old and new; what was
        there stays as `.before`.
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
        pem = key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        atomic_file.replace_atomically(self._key_file, pem, 0o600)
        return key

    def _load_key(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = serialization.load_pem_private_key(self._key_file.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            self._key_file.unlink()
            raise ConsoleError(
                "the key of the request is damaged: begin with enrol request"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConsoleError(f"{self._key_file}: not a key of ours")
        return key
