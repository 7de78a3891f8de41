"""The box's key and certificate for its broker: those of the configuration, and those that were renewed.

    renewal/trial.pem          in the state folder, 0600: key and certificate that the server has issued, until the
                               broker has accepted them
    renewal/credentials.pem    those of the last renewal that the broker has accepted
    renewal/request.key        the key of a request that the server has not answered yet

Key and certificate are one file, and the one on trial replaces the one before by a rename: a power cut leaves both pairs,
or the new one alone. The files of the configuration are never written: a technician who installs newer ones has them used.
"""

import logging
from datetime import datetime
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
from agent.reporting.mqtt.pair_choice import ClientPair

log = logging.getLogger(__name__)

FOLDER = "renewal"
TRIAL_FILE, CREDENTIALS_FILE, REQUEST_KEY_FILE = "trial.pem", "credentials.pem", "request.key"
_PEM = serialization.Encoding.PEM


class BoxCredentials:
    """The pairs of one box. Thread-safe: each file is replaced as a whole."""

    def __init__(self, broker: BrokerConfig, state_dir: Path, box_id: str) -> None:
        self._broker = broker
        self.box_id = box_id
        self._folder = state_dir / FOLDER

    def candidates(self) -> tuple[ClientPair, ...]:
        """Return each usable pair, the pair to try first at first: one on trial, then the newest."""
        configured = ClientPair(broker=self._broker)
        if self._broker.certificate is None:
            return (configured,)
        trial = self._read_pair(TRIAL_FILE, is_on_trial=True)
        renewed = self._read_pair(CREDENTIALS_FILE)
        dated = [pair for pair in (trial, renewed) if pair is not None]
        certificate = self._read_certificate(Path(self._broker.certificate)) if dated else None
        newer = [
            pair
            for begin, pair in dated
            if certificate is None or begin >= certificate.not_valid_before_utc
        ]
        older = [pair for _, pair in dated if pair not in newer]
        return (*newer, configured, *older)

    def current(self) -> BrokerConfig:
        """Return the configuration with the pair to try first."""
        return self.candidates()[0].broker

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

    def begin_trial(
        self, key: ec.EllipticCurvePrivateKey, chain: tuple[x509.Certificate, ...]
    ) -> None:
        """Have this pair tried first, in place of another one on trial. Raises: OSError."""
        data = _encode_key(key) + b"".join(one.public_bytes(_PEM) for one in chain)
        atomic_file.replace_atomically(self._folder / TRIAL_FILE, data, 0o600)
        (self._folder / REQUEST_KEY_FILE).unlink(missing_ok=True)

    def keep_trial(self) -> BrokerConfig:
        """Drop the renewed pair before the one on trial, and return the configuration with that. Raises: OSError."""
        file = self._folder / CREDENTIALS_FILE
        (self._folder / TRIAL_FILE).replace(file)
        # A power cut may have left it.
        (self._folder / REQUEST_KEY_FILE).unlink(missing_ok=True)
        atomic_file.fsync_dir(self._folder)
        return self._with_pair(file)

    def discard_trial(self) -> None:
        """Delete the pair on trial. Raises: OSError."""
        (self._folder / TRIAL_FILE).unlink(missing_ok=True)
        (self._folder / REQUEST_KEY_FILE).unlink(missing_ok=True)
        atomic_file.fsync_dir(self._folder)

    def _read_pair(
        self, name: str, *, is_on_trial: bool = False
    ) -> tuple[datetime, ClientPair] | None:
        """Return a pair of the state folder and when its life begins, or None if it is not usable."""
        file = self._folder / name
        certificate = self._read_certificate(file) if file.exists() else None
        if certificate is None:
            return None
        pair = ClientPair(broker=self._with_pair(file), is_on_trial=is_on_trial)
        return certificate.not_valid_before_utc, pair

    def _with_pair(self, file: Path) -> BrokerConfig:
        return msgspec.structs.replace(self._broker, certificate=str(file), key=str(file))

    def _read_certificate(self, file: Path) -> x509.Certificate | None:
        """Return the box's certificate of a file, or None if it has none."""
        try:
            data = read_regular_file(file, MAX_PEM_BYTES)
            return pem.load_box_certificate(data, self.box_id, str(file))
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
