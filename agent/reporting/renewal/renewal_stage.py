"""Renewal stage: renews the box's certificate before two thirds of its life, or on request."""

import logging
import random
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography import x509

from agent.base import pem
from agent.base.clock import Clock, rfc3339
from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.config.broker import BrokerConfig
from agent.config.renewal import RenewalConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt import tls
from agent.reporting.renewal import est_client, issued
from agent.reporting.renewal.credentials import BoxCredentials
from agent.reporting.renewal.est_client import EstError
from agent.reporting.renewal.renewed import OnRenewalEnd, RenewalFailed, RenewedCertificate
from agent.runtime.backoff import Backoff
from agent.runtime.pause import Pause

log = logging.getLogger(__name__)

POLL_TIMEOUT_S = 1.0
CHECK_INTERVAL_S = 3600.0
UNSYNCED_RETRY_S = 60.0
"""As long as the clock is not trusted."""
RETRY_S, MAX_RETRY_S = 600.0, 21_600.0
MAX_EARLY_RATIO = 0.05
"""Boxes that got their certificates together do not renew them together: by up to 4 days of 90."""
FAULT_SUBJECT = "broker.certificate"
AUTOMATIC = "the box itself"


class RenewalStage:
    """Stage `renewal`. `on_renewed` is called with the requester and the certificate's end, and has it used."""

    name = "renewal"

    def __init__(
        self,
        renewal: RenewalConfig,
        broker: BrokerConfig,
        credentials: BoxCredentials,
        clock: Clock,
        faults: FaultRegistry,
        rng: random.Random,
        on_renewed: Callable[[str, str], None],
    ) -> None:
        self._renewal = renewal
        self._broker = broker
        self._credentials = credentials
        self._clock = clock
        self._faults = faults
        self._on_renewed = on_renewed
        self._early_ratio = rng.uniform(0, MAX_EARLY_RATIO)
        self._pause = Pause()
        self._backoff = Backoff(RETRY_S, MAX_RETRY_S)
        self._changed = threading.Condition()
        self._request: tuple[str, OnRenewalEnd] | None = None

    def request(self, requester: str, on_end: OnRenewalEnd) -> bool:
        """Request a renewal now; return False if another request waits. `on_end` is called on this stage's thread."""
        with self._changed:
            if self._request is not None:
                return False
            self._request = (requester, on_end)
            self._changed.notify()
            return True

    def run_once(self, stopping: threading.Event) -> None:
        """Serve a request, renew if it is due, or return after waiting a second."""
        with self._changed:
            self._changed.wait_for(lambda: self._request, POLL_TIMEOUT_S)
            request, self._request = self._request, None
        if request is not None:
            requester, on_end = request
            try:
                on_end(self._renew(requester))
            except RenewalFailed as error:
                on_end(error)
        elif self._pause.is_over(self._clock.boottime_ns()):
            self.check()

    def close(self) -> None:
        """Answer a request that waits."""
        with self._changed:
            request, self._request = self._request, None
        if request is not None:
            request[1](RenewalFailed("the agent stopped before it was begun"))

    def check(self) -> None:
        """Renew if it is due and the clock is trusted. NET-06 says why it has failed."""
        now_ns, is_synced = self._clock.boottime_ns(), self._clock.trust().synced
        self._pause.begin(now_ns, CHECK_INTERVAL_S if is_synced else UNSYNCED_RETRY_S)
        if not is_synced:
            return
        try:
            current = self._load_current(self._credentials.current())
        except UserError as error:
            # The connection that needs it reports it.
            log.warning("%s", error)
            return
        if self._clock.utc(now_ns) < issued.renewal_time(current, self._early_ratio):
            self._faults.clear("NET-06", FAULT_SUBJECT)
            return
        try:
            self._renew(AUTOMATIC)
        except RenewalFailed as error:
            log.warning("the certificate is not renewed: %s", error)

    def _renew(self, requester: str) -> RenewedCertificate:
        """Renew, and pause after a failure. Raises: RenewalFailed."""
        try:
            renewed = self._enroll()
        except (EstError, issued.NotUsable, UserError, OSError) as error:
            wished_s = error.retry_after_s if isinstance(error, EstError) else None
            wait_s = self._backoff.next_s() if wished_s is None else max(RETRY_S, wished_s)
            self._pause.begin(self._clock.boottime_ns(), wait_s)
            self._faults.raise_fault("NET-06", FAULT_SUBJECT, str(error))
            raise RenewalFailed(str(error)) from error
        self._backoff.reset()
        self._faults.clear("NET-06", FAULT_SUBJECT)
        log.info("the certificate is renewed: valid until %s", renewed.not_after)
        self._on_renewed(requester, renewed.not_after)
        return renewed

    def _enroll(self) -> RenewedCertificate:
        present = self._credentials.current()
        current = self._load_current(present)
        authorities = pem.load_authorities(
            read_regular_file(Path(self._broker.ca or ""), MAX_PEM_BYTES), "broker.ca"
        )
        key = self._credentials.load_request_key()
        try:
            request = est_client.build_request(current, key)
        except ValueError as error:
            raise issued.NotUsable(f"the present certificate cannot be read: {error}") from error
        answer = est_client.reenroll(self._renewal.url, self._make_context(present), request)
        now = self._clock.utc(self._clock.boottime_ns())
        chain = issued.select_issued(answer, key, current, authorities, now)
        self._credentials.install(key, chain)
        return describe_certificate(chain[0])

    def _load_current(self, present: BrokerConfig) -> x509.Certificate:
        try:
            certificate, *_ = pem.decode_certificates(
                read_regular_file(Path(present.certificate or ""), MAX_PEM_BYTES)
            )
        except (OSError, pem.MalformedCertificate) as error:
            raise UserError(f"{present.certificate}: {error}") from error
        return certificate

    def _make_context(self, present: BrokerConfig) -> ssl.SSLContext:
        """Return the TLS context with the present pair, and the pinned authority of the server."""
        pinned = msgspec.structs.replace(present, ca=self._renewal.ca_file or present.ca)
        context = tls.load_ssl_context(pinned)
        if context is None:
            raise UserError(f"broker.url = {present.url!r}: allowed: mqtts://")
        return context


def describe_certificate(certificate: x509.Certificate) -> RenewedCertificate:
    """Return the facts about a certificate."""
    try:
        issuer = certificate.issuer.rfc4514_string()
    except ValueError:
        issuer = ""
    return RenewedCertificate(
        not_before=rfc3339(certificate.not_valid_before_utc),
        not_after=rfc3339(certificate.not_valid_after_utc),
        serial=f"{certificate.serial_number:x}",
        issuer=issuer,
    )
