"""Expiry of the box's certificate and of the broker's authority: the fault NET-05."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.base.message import Message
from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.runtime.pause import Pause

WARN_BEFORE = timedelta(days=30)
CHECK_INTERVAL_S = 86_400.0
UNSYNCED_RETRY_S = 60.0
"""As long as the clock is not trusted."""

CertificateKey = Literal["certificate", "ca"]
"""The key in `[broker]` whose file is checked."""


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """Common name and validity period of a certificate. `name` is empty if none can be read."""

    name: str
    not_before: datetime
    not_after: datetime


def read_validity(
    broker: BrokerConfig, config_key: CertificateKey = "certificate"
) -> Validity | None:
    """Read the validity of the box's certificate, or of the trusted authority that ends last.

    While a centre replaces its authority, the file holds the old and the new one, and the old one
    may end. Returns None if the configuration names no file. Raises: UserError that names the key,
    the file and what is wrong with it.
    """
    file: str | None = getattr(broker, config_key)
    if file is None:
        return None
    # Imported here: it slows every start, and only boxes with a certificate need it.
    from agent.base import pem  # noqa: PLC0415

    try:
        certificates = pem.decode_certificates(read_regular_file(Path(file), MAX_PEM_BYTES))
    except OSError as error:
        raise UserError(
            Message(
                "{label}: {problem}",
                label=f"broker.{config_key} = {file!r}",
                problem=error.strerror or str(error),
            )
        ) from error
    except pem.MalformedCertificate as error:
        raise UserError(
            Message(
                "{label}: holds no certificate in PEM form", label=f"broker.{config_key} = {file!r}"
            )
        ) from error
    # The box's own comes first; those that have signed it follow.
    certificate = (
        certificates[0]
        if config_key == "certificate"
        else max(certificates, key=lambda ca: ca.not_valid_after_utc)
    )
    return validity_from_certificate(certificate)


def validity_from_certificate(certificate: Any) -> Validity:
    """Read the validity of a `cryptography.x509.Certificate`, which is imported only if needed."""
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        # OpenSSL accepts names in encodings, such as T.61 with accents, that this library does not.
        names = []
    return Validity(
        name=str(names[0].value) if names else "",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def expiry_problem(file: str, validity: Validity, now: datetime) -> Message | None:
    """Return a sentence on the dates of a certificate at `now` if they are wrong, or None."""
    if now < validity.not_before:
        return Message(
            "{file} is good from {date} on, not yet",
            file=file,
            date=f"{validity.not_before:%Y-%m-%d}",
        )
    if now > validity.not_after:
        return Message(
            "{file} has expired on {date}", file=file, date=f"{validity.not_after:%Y-%m-%d}"
        )
    if validity.not_after - now <= WARN_BEFORE:
        return Message(
            "{file} expires on {date}, in {days} days",
            file=file,
            date=f"{validity.not_after:%Y-%m-%d}",
            days=(validity.not_after - now).days,
        )
    return None


class CertificateExpiry:
    """Raises and clears NET-05 at each connection and once a day, if the clock is trusted."""

    def __init__(self, broker: BrokerConfig, faults: FaultRegistry, clock: Clock) -> None:
        self.broker = broker
        """The configuration with the pair that is in use."""
        self._faults = faults
        self._clock = clock
        self._pause = Pause()

    def check_if_due(self) -> None:
        """Check once a day."""
        if self._pause.is_over(self._clock.boottime_ns()):
            self.check()

    def check(self) -> None:
        """Check now. A file that cannot be read is reported by the connection that needs it."""
        now_ns, is_synced = self._clock.boottime_ns(), self._clock.trust().synced
        self._pause.begin(now_ns, CHECK_INTERVAL_S if is_synced else UNSYNCED_RETRY_S)
        if is_synced:
            for config_key in get_args(CertificateKey):
                self._update_fault(config_key, self._clock.utc(now_ns))

    def _update_fault(self, config_key: CertificateKey, now: datetime) -> None:
        try:
            validity = read_validity(self.broker, config_key)
        except UserError:
            return
        subject = f"broker.{config_key}"
        problem = None if validity is None else expiry_problem(subject, validity, now)
        if problem is None:
            self._faults.clear("NET-05", subject)
        else:
            self._faults.raise_fault("NET-05", subject, problem)
