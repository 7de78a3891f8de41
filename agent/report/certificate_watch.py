"""How long the box's own certificate is good for: the fault NET-05 comes before it ends."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from agent.config import BrokerConfig
from agent.errors import BadInput
from agent.faults import FaultBoard
from agent.report.topics import Stamp

SOON = timedelta(days=30)
LOOK_EVERY_S = 86_400.0
LOOK_AGAIN_S = 60.0
"""While nobody knows what day it is."""
_SUBJECT = "broker.certificate"


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """From when until when a certificate is good, in UTC."""

    begin: datetime
    end: datetime


def validity_of(broker: BrokerConfig) -> Validity | None:
    """That of the box's certificate, read from its file now; None where it has none.

    Raises BadInput that names the key, the file and what is wrong with it.
    """
    if broker.certificate is None:
        return None
    # Here, because it takes its time at every start: it is for boxes that have a certificate.
    from cryptography import x509  # noqa: PLC0415

    try:
        read = x509.load_pem_x509_certificate(Path(broker.certificate).read_bytes())
    except OSError as error:
        raise BadInput(
            f"broker.certificate = {broker.certificate!r}: {error.strerror or error}"
        ) from error
    except ValueError as error:
        raise BadInput(
            f"broker.certificate = {broker.certificate!r}: holds no certificate in PEM form"
        ) from error
    return Validity(begin=read.not_valid_before_utc, end=read.not_valid_after_utc)


def trouble_of(validity: Validity, now: datetime) -> str | None:
    """What is wrong with a certificate's dates on that day; None where nothing is."""
    if now < validity.begin:
        return f"is good from {validity.begin:%Y-%m-%d} on, not yet"
    if now > validity.end:
        return f"has expired on {validity.end:%Y-%m-%d}"
    if validity.end - now <= SOON:
        return f"expires on {validity.end:%Y-%m-%d}, in {(validity.end - now).days} days"
    return None


class CertificateWatch:
    """Raises and clears NET-05: at each connection, and once a day. While the clock is not trusted
    it says nothing, since no date means anything then.
    """

    def __init__(
        self, broker: BrokerConfig, faults: FaultBoard, stamp: Callable[[], Stamp]
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
        try:
            validity = validity_of(self._broker)
        except BadInput:
            return
        now = datetime.fromisoformat(stamp.time)
        trouble = None if validity is None else trouble_of(validity, now)
        if trouble is None:
            self._faults.clear("NET-05", _SUBJECT)
        else:
            self._faults.raise_fault("NET-05", _SUBJECT, f"broker.certificate {trouble}")
