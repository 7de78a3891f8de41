"""The box's key and certificate for its broker: those of the configuration, and those that were renewed.

    renewal/credentials.pem    in the state folder, 0600: key and certificate of the newest renewal
    renewal/request.key        the key of a request that the server has not answered yet

Key and certificate are one file, so a power cut leaves the old or the new pair. The files of the configuration are
never written: a technician who installs newer ones has them used.
"""

import logging
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.base import atomic_file, pem
from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.config.broker import BrokerConfig
from agent.config.configuration import Config

log = logging.getLogger(__name__)

FOLDER = "renewal"
CREDENTIALS_FILE, REQUEST_KEY_FILE = "credentials.pem", "request.key"
_PEM = serialization.Encoding.PEM


class BoxCredentials:
    """The pairs of one box. Reads are thread-safe; one thread writes."""

    def __init__(self, broker: BrokerConfig, state_dir: Path, box_id: str) -> None:
        self._broker = broker
        self._box_id = box_id
        self._folder = state_dir / FOLDER

    def candidates(self) -> tuple[BrokerConfig, ...]:
        """Return the configuration with each usable pair, the pair to try first at first."""
        file = self._folder / CREDENTIALS_FILE
        if self._broker.certificate is None or not file.exists():
            return (self._broker,)
        renewed = self._read_certificate(file)
        if renewed is None:
            return (self._broker,)
        with_renewed = msgspec.structs.replace(self._broker, certificate=str(file), key=str(file))
        configured = self._read_certificate(Path(self._broker.certificate))
        if (
            configured is not None
            and configured.not_valid_before_utc > renewed.not_valid_before_utc
        ):
            return (self._broker, with_renewed)
        return (with_renewed, self._broker)

    def current(self) -> BrokerConfig:
        """Return the configuration with the pair to try first."""
        return self.candidates()[0]

    def load_request_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the key of the pending request, or a new one. Raises: OSError.

        The server may have signed the first request by now, and a new key for each try would ask it for more.
        """
        file = self._folder / REQUEST_KEY_FILE
        try:
            key = serialization.load_pem_private_key(
                read_regular_file(file, MAX_PEM_BYTES), password=None
            )
            if isinstance(key, ec.EllipticCurvePrivateKey):
                return key
        except FileNotFoundError:
            pass
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            log.warning("%s: damaged, a new one is made: %s", file, error)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        new_key = ec.generate_private_key(ec.SECP256R1())
        atomic_file.replace_atomically(file, _encode_key(new_key), 0o600)
        return new_key

    def install(self, key: ec.EllipticCurvePrivateKey, chain: tuple[x509.Certificate, ...]) -> None:
        """Replace the renewed pair by this one: a power cut leaves one of them. Raises: OSError."""
        data = _encode_key(key) + b"".join(one.public_bytes(_PEM) for one in chain)
        atomic_file.replace_atomically(self._folder / CREDENTIALS_FILE, data, 0o600)
        (self._folder / REQUEST_KEY_FILE).unlink(missing_ok=True)

    def _read_certificate(self, file: Path) -> x509.Certificate | None:
        """Return the box's certificate of a file, or None if it has none."""
        try:
            data = read_regular_file(file, MAX_PEM_BYTES)
            return pem.load_box_certificate(data, self._box_id, str(file))
        except (OSError, UserError) as error:
            log.warning("%s: not used: %s", file, error)
            return None


def current_broker(config: Config) -> BrokerConfig:
    """Return `[broker]` with the pair that the agent of a configuration tries first."""
    if config.renewal is None:
        return config.broker
    return BoxCredentials(config.broker, Path(config.box.state), config.box.id).current()


def _encode_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
