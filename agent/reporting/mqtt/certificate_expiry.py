"""How long the box's own certificate and the broker's authority are good for: the fault NET-05 comes
before one of them ends.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from agent.base.errors import UserError
from agent.config.configuration import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.topics import EnvelopeFields

WARN_BEFORE = timedelta(days=30)
CHECK_INTERVAL_S = 86_400.0
UNSYNCED_RETRY_S = 60.0
"""While nobody knows what day it is."""

CertificateKey = Literal["certificate", "ca"]
"""The key in `[broker]` whose file is watched."""


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """From when until when a certificate is good, in UTC. `name` is its common name, empty where it has
    none that can be read.
    """

    name: str
    not_before: datetime
    not_after: datetime


def read_validity(
    broker: BrokerConfig, config_key: CertificateKey = "certificate"
) -> Validity | None:
    """That of the box's certificate, or of the authority that ends last of those that it trusts, read
    from its file now; None where the configuration names none.

    A file of authorities holds the old one and the new one while a centre changes over: the old one
    may end then. Raises UserError that names the key, the file and what is wrong with it.
    """
    file: str | None = getattr(broker, config_key)
    if file is None:
        return None
    # Here, because it takes its time at every start: it is for boxes that have a certificate.
    from cryptography import x509  # noqa: PLC0415

    try:
        certificates = x509.load_pem_x509_certificates(Path(file).read_bytes())
    except OSError as error:
        raise UserError(f"broker.{config_key} = {file!r}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(
            f"broker.{config_key} = {file!r}: holds no certificate in PEM form"
        ) from error
    # What follows the box's own are those that have signed it.
    certificate = (
        certificates[0]
        if config_key == "certificate"
        else max(certificates, key=lambda ca: ca.not_valid_after_utc)
    )
    return validity_from_certificate(certificate)


def validity_from_certificate(certificate: Any) -> Validity:
    """What a `cryptography.x509.Certificate` says of itself; why it is not named, see `validity_of`."""
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        # OpenSSL takes names in alphabets, such as T.61 with accents, that this library does not read.
        names = []
    return Validity(
        name=str(names[0].value) if names else "",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def expiry_problem(validity: Validity, now: datetime) -> str | None:
    """What is wrong with a certificate's dates on that day; None where nothing is."""
    if now < validity.not_before:
        return f"is good from {validity.not_before:%Y-%m-%d} on, not yet"
    if now > validity.not_after:
        return f"has expired on {validity.not_after:%Y-%m-%d}"
    if validity.not_after - now <= WARN_BEFORE:
        return (
            f"expires on {validity.not_after:%Y-%m-%d}, in {(validity.not_after - now).days} days"
        )
    return None


class CertificateExpiry:
    """Raises and clears NET-05: at each connection, and once a day. While the clock is not trusted
    it says nothing, since no date means anything then.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        faults: FaultRegistry,
        current_envelope: Callable[[], EnvelopeFields],
    ) -> None:
        self._broker = broker
        self._faults = faults
        self._current_envelope = current_envelope
        self._next_check_s = 0.0

    def check_if_due(self, now_s: float) -> None:
        """Once a day, by the boot time."""
        if now_s >= self._next_check_s:
            self.check(now_s)

    def check(self, now_s: float) -> None:
        """Now. A file that cannot be read is told by who connects with it."""
        envelope = self._current_envelope()
        if not envelope.clock.synced:
            self._next_check_s = now_s + UNSYNCED_RETRY_S
            return
        self._next_check_s = now_s + CHECK_INTERVAL_S
        for config_key in get_args(CertificateKey):
            self._update_fault(config_key, datetime.fromisoformat(envelope.time))

    def _update_fault(self, config_key: CertificateKey, now: datetime) -> None:
        try:
            validity = read_validity(self._broker, config_key)
        except UserError:
            return
        subject = f"broker.{config_key}"
        problem = None if validity is None else expiry_problem(validity, now)
        if problem is None:
            self._faults.clear("NET-05", subject)
        else:
            self._faults.raise_fault("NET-05", subject, f"{subject} {problem}")
