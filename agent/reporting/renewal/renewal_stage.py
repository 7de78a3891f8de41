"""Renewal stage: renews the box's certificate before two thirds of its life, or on request.

A renewed pair is on trial until the broker has accepted it; if the broker accepts an older one only, it is discarded.
"""

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
from agent.base.message import Message
from agent.config.broker import BrokerConfig
from agent.config.link import RenewalConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt import tls
from agent.reporting.mqtt.mqtt_stage import ClientPairs
from agent.reporting.mqtt.pair_choice import ClientPair
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
DISCARDED = "renewed certificate discarded: the broker accepted the one before only"


class RenewalStage:
    """Stage `renewal`. `record_action` takes a requester and an action for the custody log."""

    name = "renewal"

    def __init__(
        self,
        renewal: RenewalConfig,
        credentials: BoxCredentials,
        clock: Clock,
        faults: FaultRegistry,
        rng: random.Random,
        record_action: Callable[[str, str], None],
        reconnect: Callable[[str], None],
    ) -> None:
        """`reconnect` has the session connect with the renewed pair, for a reason."""
        self._renewal = renewal
        self._credentials = credentials
        self._clock = clock
        self._faults = faults
        self._record_action = record_action
        self._reconnect = reconnect
        self.pairs = ClientPairs(read=credentials.candidates, settle_trial=self.settle_trial)
        """For the stage `mqtt`."""
        self._early_ratio = rng.uniform(0, MAX_EARLY_RATIO)
        self._pause = Pause()
        self._backoff = Backoff(RETRY_S, MAX_RETRY_S)
        self._changed = threading.Condition()
        self._request: tuple[str, OnRenewalEnd] | None = None
        self._is_trial_kept: bool | None = None

    def settle_trial(self, pair: ClientPair, given_up: tuple[ClientPair, ...]) -> BrokerConfig:
        """Keep the pair on trial if the broker has accepted it; discard it if it was given up before this one.

        Return the configuration with the pair under its present file. Called on the session's thread.
        """
        is_kept = pair.is_on_trial
        if not is_kept and not any(other.is_on_trial for other in given_up):
            return pair.broker
        try:
            if is_kept:
                broker = self._credentials.keep_trial()
            else:
                broker = pair.broker
                self._credentials.discard_trial()
        except OSError as error:
            log.warning("the renewed certificate stays on trial: %s", error)
            return pair.broker
        with self._changed:
            self._is_trial_kept = is_kept
            self._changed.notify()
        return broker

    def request(self, requester: str, on_end: OnRenewalEnd) -> bool:
        """Request a renewal now; return False if another request waits. `on_end` is called on this stage's thread."""
        with self._changed:
            if self._request is not None:
                return False
            self._request = (requester, on_end)
            self._changed.notify()
            return True

    def run_once(self, stopping: threading.Event) -> None:
        """Report the end of a trial, serve a request, renew if it is due, or return after waiting a second."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._request or self._is_trial_kept is not None, POLL_TIMEOUT_S
            )
            request, self._request = self._request, None
            is_trial_kept, self._is_trial_kept = self._is_trial_kept, None
        if is_trial_kept is not None:
            self._report_trial(is_kept=is_trial_kept)
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
        present = self._credentials.candidates()[0]
        if present.is_on_trial:
            return
        try:
            current = self._load_current(present.broker)
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
            self._note_failure(str(error), wished_s)
            raise RenewalFailed(str(error)) from error
        log.info("the certificate is renewed, on trial: valid until %s", renewed.not_after)
        self._record_action(requester, f"certificate renewed, valid until {renewed.not_after}")
        self._reconnect("the certificate was renewed")
        return renewed

    def _report_trial(self, *, is_kept: bool) -> None:
        if is_kept:
            log.info("the broker has accepted the renewed certificate: the one before is dropped")
            self._backoff.reset()
            self._faults.clear("NET-06", FAULT_SUBJECT)
            return
        self._note_failure(DISCARDED)
        log.warning("%s", DISCARDED)
        self._record_action(AUTOMATIC, DISCARDED)

    def _note_failure(self, reason: str, wished_s: float | None = None) -> None:
        wait_s = self._backoff.next_s() if wished_s is None else max(RETRY_S, wished_s)
        self._pause.begin(self._clock.boottime_ns(), wait_s)
        self._faults.raise_fault("NET-06", FAULT_SUBJECT, Message("{reason}", reason=reason))

    def _enroll(self) -> RenewedCertificate:
        pair = self._credentials.candidates()[0]
        if pair.is_on_trial:
            raise issued.NotUsable("a renewed certificate waits for the broker to accept it")
        present = pair.broker
        current = self._load_current(present)
        authorities = pem.load_authorities(
            read_regular_file(Path(present.ca or ""), MAX_PEM_BYTES), "broker.ca"
        )
        key = self._credentials.load_request_key()
        try:
            request = est_client.build_request(current, key)
        except ValueError as error:
            raise issued.NotUsable(f"the present certificate cannot be read: {error}") from error
        answer = est_client.reenroll(self._renewal.url, self._make_context(present), request)
        now = self._clock.utc(self._clock.boottime_ns())
        chain = issued.select_issued(
            answer, key, current, self._credentials.box_id, authorities, now
        )
        self._credentials.begin_trial(key, chain)
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
