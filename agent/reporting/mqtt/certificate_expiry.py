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

SOON = timedelta(days=30)
LOOK_EVERY_S = 86_400.0
LOOK_AGAIN_S = 60.0
"""While nobody knows what day it is."""

Which = Literal["certificate", "ca"]
"""The key in `[broker]` whose file is watched."""


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """From when until when a certificate is good, in UTC. `name` is its common name, empty where it has
    none that can be read.
    """

    name: str
    begin: datetime
    end: datetime


def validity_of(broker: BrokerConfig, which: Which = "certificate") -> Validity | None:
    """That of the box's certificate, or of the authority that ends last of those that it trusts, read
    from its file now; None where the configuration names none.

    A file of authorities holds the old one and the new one while a centre changes over: the old one
    may end then. Raises BadInput that names the key, the file and what is wrong with it.
    """
    file: str | None = getattr(broker, which)
    if file is None:
        return None
    # Here, because it takes its time at every start: it is for boxes that have a certificate.
    from cryptography import x509  # noqa: PLC0415

    try:
        read = x509.load_pem_x509_certificates(Path(file).read_bytes())
    except OSError as error:
        raise UserError(f"broker.{which} = {file!r}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"broker.{which} = {file!r}: holds no certificate in PEM form") from error
    # What follows the box's own are those that have signed it.
    one = read[0] if which == "certificate" else max(read, key=lambda ca: ca.not_valid_after_utc)
    return told_by(one)


def told_by(certificate: Any) -> Validity:
    """What a `cryptography.x509.Certificate` says of itself; why it is not named, see `validity_of`."""
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        # OpenSSL takes names in alphabets, such as T.61 with accents, that this library does not read.
        names = []
    return Validity(
        name=str(names[0].value) if names else "",
        begin=certificate.not_valid_before_utc,
        end=certificate.not_valid_after_utc,
    )


def trouble_of(validity: Validity, now: datetime) -> str | None:
    """What is wrong with a certificate's dates on that day; None where nothing is."""
    if now < validity.begin:
        return f"is good from {validity.begin:%Y-%m-%d} on, not yet"
    if now > validity.end:
        return f"has expired on {validity.end:%Y-%m-%d}"
    if validity.end - now <= SOON:
        return f"expires on {validity.end:%Y-%m-%d}, in {(validity.end - now).days} days"
    return None


class CertificateExpiry:
    """Raises and clears NET-05: at each connection, and once a day. While the clock is not trusted
    it says nothing, since no date means anything then.
    """

    def __init__(
        self, broker: BrokerConfig, faults: FaultRegistry, stamp: Callable[[], EnvelopeFields]
    ) -> None:
        self._broker = broker
        self._faults = faults
        self._stamp = stamp
        self._due_s = 0.0

    def look_if_due(self, now_s: float) -> None:
        """Once a day, by the boot time."""
        if now_s >= self._due_s:
            self.look(now_s)

    def look(self, now_s: float) -> None:
        """Now. A file that cannot be read is told by who connects with it."""
        stamp = self._stamp()
        if not stamp.clock.synced:
            self._due_s = now_s + LOOK_AGAIN_S
            return
        self._due_s = now_s + LOOK_EVERY_S
        for which in get_args(Which):
            self._judge(which, datetime.fromisoformat(stamp.time))

    def _judge(self, which: Which, now: datetime) -> None:
        try:
            validity = validity_of(self._broker, which)
        except UserError:
            return
        subject = f"broker.{which}"
        trouble = None if validity is None else trouble_of(validity, now)
        if trouble is None:
            self._faults.clear("NET-05", subject)
        else:
            self._faults.raise_fault("NET-05", subject, f"{subject} {trouble}")
