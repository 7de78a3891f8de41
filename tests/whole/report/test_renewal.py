"""agent.reporting.renewal: a real EST exchange over TLS, a real broker that takes the new certificate, and what is refused."""

import random
import signal
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from agent.base import http_client
from agent.base.clock import ClockTrust, SystemClock
from agent.base.http_client import parse_retry_after
from agent.config.broker import BrokerConfig
from agent.config.link import RenewalConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt.pair_choice import MAX_TRIAL_FAILURES, ClientPair
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.renewal import est_client
from agent.reporting.renewal.credentials import (
    CREDENTIALS_FILE,
    FOLDER,
    TRIAL_FILE,
    BoxCredentials,
)
from agent.reporting.renewal.est_client import EstError
from agent.reporting.renewal.renewal_stage import AUTOMATIC, DISCARDED, RenewalStage
from agent.reporting.renewal.renewed import RenewalFailed, RenewedCertificate
from tests.whole.report.broker import Certificates, Mosquitto
from tests.whole.report.conftest import make_event
from tests.whole.report.est_server import (
    Answer,
    EstServer,
    SigningAuthority,
    encode_certs_only,
)
from tests.whole.report.hostile_certificates import HOSTILE, Sign, by_intermediate, change
from tests.whole.report.reporting_box import CentreListener, ReportingBox, wait_until
from tests.whole.report.test_tls import Secured
from tests.whole.report.tls_front import TlsFront

BOX = "pole-17"


class TrustedClock(SystemClock):
    """The machine's clock, which a box trusts; moved forward by a test."""

    ahead_s = 0.0

    def boottime_ns(self) -> int:
        return super().boottime_ns() + int(self.ahead_s * 1e9)

    def utc(self, t_ns: int) -> datetime:
        return super().utc(t_ns) + timedelta(seconds=self.ahead_s)

    def trust(self) -> ClockTrust:
        return ClockTrust(synced=True, source="ntp", error_s=0.01)


class RenewingBox:
    """The renewal of one box, whose certificate is two thirds through its life."""

    def __init__(
        self, certificates: Certificates, url: str, state_dir: Path, broker: BrokerConfig
    ) -> None:
        self.clock = TrustedClock()
        self.faults = FaultRegistry(self.clock.boottime_ns)
        self.credentials = BoxCredentials(broker, state_dir, BOX)
        self.file = state_dir / FOLDER / CREDENTIALS_FILE
        self.trial_file = state_dir / FOLDER / TRIAL_FILE
        self.actions: list[tuple[str, str]] = []
        self.stage = RenewalStage(
            RenewalConfig(url=url),
            self.credentials,
            self.clock,
            self.faults,
            random.Random(1),
            lambda requester, action: self.actions.append((requester, action)),
            self._reconnect,
        )
        self._session: MqttSession | None = None

    def report(self, broker: BrokerConfig, folder: Path) -> ReportingBox:
        """The box's reports to a broker, with the pairs of its renewal."""
        reporting = ReportingBox(broker, folder, pairs=self.stage.pairs)
        self._session = reporting.session
        return reporting

    def _reconnect(self, reason: str) -> None:
        if self._session is not None:
            self._session.reconnect(reason)

    def fault(self) -> str:
        (fault,) = self.faults.active()
        assert fault.code == "NET-06"
        return fault.detail

    def renew(self) -> RenewedCertificate | RenewalFailed:
        """Renew on request."""
        outcomes: list[RenewedCertificate | RenewalFailed] = []
        assert self.stage.request("amina", outcomes.append)
        self.stage.run_once(threading.Event())
        return outcomes[0]

    def connect(self, *, given_up: tuple[ClientPair, ...] = ()) -> None:
        """Report that the broker has accepted the first pair that was not given up."""
        pair = next(pair for pair in self.credentials.candidates() if pair not in given_up)
        self.stage.settle_trial(pair, given_up)
        self.stage.run_once(threading.Event())


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    started: list[Mosquitto] = []

    def start(config: str) -> Mosquitto:
        started.append(Mosquitto(tmp_path_factory.mktemp("mosquitto"), config))
        return started[-1]

    secured = Secured(tmp_path_factory.mktemp("tls"), start)
    secured.certificates.issue("due", subject=f"CN={BOX}", days=(-61, 29))
    secured.certificates.issue("fresh", subject=f"CN={BOX}", days=(-1, 89))
    yield secured
    for broker in started:
        broker.stop(signal.SIGKILL)


@pytest.fixture
def est(secured: Secured) -> Iterator[EstServer]:
    server = EstServer(secured.certificates.folder)
    yield server
    server.close()


@pytest.fixture
def box(secured: Secured, est: EstServer, tmp_path: Path) -> RenewingBox:
    return RenewingBox(secured.certificates, est.url, tmp_path, secured.config("due"))


def test_the_test_server_speaks_est(secured: Secured, est: EstServer) -> None:
    """As any other client sees it: openssl reads its /cacerts."""
    context = ssl.create_default_context(cafile=secured.certificates.path("ca.crt"))
    context.load_cert_chain(
        secured.certificates.path("due.crt"), secured.certificates.path("due.key")
    )
    url = f"{est.url}/.well-known/est/cacerts"
    with urllib.request.urlopen(url, context=context) as answer:  # noqa: S310
        assert answer.headers["Content-Transfer-Encoding"] == "base64"
        body = answer.read()
    encoded = b"-----BEGIN PKCS7-----\n" + body + b"-----END PKCS7-----\n"
    shown = subprocess.run(
        ["openssl", "pkcs7", "-print_certs", "-noout"],
        input=encoded,
        capture_output=True,
        check=True,
    )
    assert b"Vigie authority" in shown.stdout


def test_a_certificate_is_renewed_at_two_thirds_of_its_life_with_a_new_key(
    box: RenewingBox, est: EstServer
) -> None:
    before = box.credentials.current()
    box.stage.check()
    (request,) = est.requests
    assert est.peers == [f"CN={BOX}"]
    on_trial = box.credentials.current()
    assert on_trial.certificate == on_trial.key == str(box.trial_file)
    assert box.trial_file.stat().st_mode & 0o777 == 0o600
    renewed = x509.load_pem_x509_certificate(box.trial_file.read_bytes())
    assert renewed.public_key() == request.public_key()
    end = f"{renewed.not_valid_after_utc:%Y-%m-%dT%H:%M:%S}.000Z"
    assert box.actions == [(AUTOMATIC, f"certificate renewed, valid until {end}")]
    assert isinstance(request.public_key(), ec.EllipticCurvePublicKey)
    old = x509.load_pem_x509_certificate(Path(before.certificate or "").read_bytes())
    assert renewed.public_key() != old.public_key()
    assert not (box.file.parent / "request.key").exists()
    box.connect()
    assert box.credentials.current().certificate == str(box.file)
    assert box.faults.active() == ()

    box.clock.ahead_s = 3600 * 24 * 30
    box.stage.check()
    assert len(est.requests) == 1, "the new one is young"


def test_a_young_certificate_is_renewed_on_request_alone(
    secured: Secured, est: EstServer, tmp_path: Path
) -> None:
    est.authority.valid = timedelta(days=120)
    box = RenewingBox(secured.certificates, est.url, tmp_path, secured.config("fresh"))
    box.stage.check()
    assert est.requests == []
    outcome = box.renew()
    assert isinstance(outcome, RenewedCertificate), outcome
    assert outcome.issuer == "CN=Vigie authority"
    assert box.actions[0][0] == "amina"


def test_the_box_reports_on_with_its_new_certificate_and_loses_no_message(
    secured: Secured, box: RenewingBox, tmp_path: Path
) -> None:
    with (
        CentreListener(secured.config("centre"), tmp_path / "centre.db") as centre,
        box.report(secured.config("due"), tmp_path / "outbox") as reporting,
    ):
        wait_until(lambda: reporting.session.health().connected)
        for number in range(200):
            reporting.outbox.put(make_event(number))
            if number == 50:
                box.stage.check()
        assert len(box.actions) == 1
        centre.wait_for(lambda: set(range(200)) <= set(centre.event_numbers()))
        centre.wait_for(lambda: len(centre.births()) >= 2)
        wait_until(lambda: reporting.outbox.depth == 0)
        wait_until(box.file.exists)
        assert centre.status_names().count("LostStatus") == 0
        assert reporting.faults.active() == ()


def test_the_pair_before_is_kept_until_the_broker_has_accepted_the_new_one(
    secured: Secured, box: RenewingBox, est: EstServer, tmp_path: Path
) -> None:
    box.stage.check()
    box.connect()
    before = box.file.read_bytes()
    box.clock.ahead_s = 3600 * 24 * 61
    est.authority.valid = timedelta(days=200)
    box.stage.check()
    assert box.file.read_bytes() == before
    new = box.trial_file.read_bytes()
    restarted = BoxCredentials(secured.config("due"), tmp_path, BOX)
    assert [pair.is_on_trial for pair in restarted.candidates()] == [True, False, False]
    with (
        CentreListener(secured.config("centre"), tmp_path / "centre.db") as centre,
        box.report(secured.config("due"), tmp_path / "outbox"),
    ):
        centre.wait_for(centre.births)
        wait_until(lambda: not box.trial_file.exists())
    assert box.file.read_bytes() == new


@pytest.mark.raises_fault("NET-04", "NET-06")
def test_a_new_certificate_that_the_broker_refuses_is_discarded_and_the_one_before_stays(
    secured: Secured, box: RenewingBox, est: EstServer, tmp_path: Path
) -> None:
    box.stage.check()
    box.connect()
    before = box.file.read_bytes()
    other = Certificates(tmp_path)
    other.make_certificate(BOX)
    box.trial_file.write_bytes(
        Path(other.path(f"{BOX}.key")).read_bytes() + Path(other.path(f"{BOX}.crt")).read_bytes()
    )
    assert box.credentials.current().certificate == str(box.trial_file)
    with (
        CentreListener(secured.config("centre"), tmp_path / "centre.db") as centre,
        box.report(secured.config("due"), tmp_path / "outbox") as reporting,
    ):
        centre.wait_for(centre.births)
        wait_until(lambda: reporting.faults.active() == ())
    assert not box.trial_file.exists()
    assert box.file.read_bytes() == before
    box.stage.run_once(threading.Event())
    assert box.fault() == DISCARDED
    assert box.actions[-1] == (AUTOMATIC, DISCARDED)
    asked = len(est.requests)
    box.stage.run_once(threading.Event())
    assert len(est.requests) == asked
    box.clock.ahead_s = 3600 * 24 * 61
    est.authority.valid = timedelta(days=200)
    box.stage.run_once(threading.Event())
    assert len(est.requests) == asked + 1, "it is renewed again after a pause"


@pytest.mark.raises_fault("NET-01", "NET-06")
def test_a_new_certificate_that_never_connects_is_discarded_after_three_attempts(
    secured: Secured,
    est: EstServer,
    broker: Mosquitto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.reporting.mqtt.connection.ANSWER_TIMEOUT_S", 2.0)
    with TlsFront(secured.certificates, broker.port) as front:
        config = msgspec.structs.replace(secured.config("due"), url=front.url)
        box = RenewingBox(secured.certificates, est.url, tmp_path, config)
        box.stage.check()
        trial = x509.load_pem_x509_certificate(box.trial_file.read_bytes())
        front.silent_for = trial.serial_number
        with box.report(config, tmp_path / "outbox") as reporting:
            wait_until(lambda: reporting.session.health().connected)
            wait_until(lambda: not box.trial_file.exists())
    due = x509.load_pem_x509_certificate(Path(secured.certificates.path("due.crt")).read_bytes())
    # If the broker takes too long for the other pair too, the one on trial has three attempts more.
    on_trial = [trial.serial_number] * MAX_TRIAL_FAILURES
    assert front.serials[:MAX_TRIAL_FAILURES] == on_trial
    assert front.serials[-1] == due.serial_number
    assert front.serials.count(trial.serial_number) % MAX_TRIAL_FAILURES == 0
    box.stage.run_once(threading.Event())
    assert box.fault() == DISCARDED


@pytest.mark.raises_fault("NET-06")
def test_as_long_as_a_certificate_is_on_trial_no_other_is_requested(
    box: RenewingBox, est: EstServer
) -> None:
    box.stage.check()
    box.clock.ahead_s = 3600 * 24 * 30
    box.stage.check()
    outcome = box.renew()
    assert "waits for the broker to accept it" in str(outcome)
    assert len(est.requests) == 1


@pytest.mark.raises_fault("NET-06")
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((HTTPStatus.FORBIDDEN, {}, b"not\nyou"), "status 403 Forbidden: 'not you'"),
        ((HTTPStatus.ACCEPTED, {"Retry-After": "7200"}, b""), "has not signed it"),
        ((HTTPStatus.OK, {"Content-Type": "text/html"}, b"<html>"), "'text/html': allowed"),
        (
            (HTTPStatus.OK, {"Content-Type": "application/pkcs7-mime"}, b"x" * 70_000),
            "more than 65536 bytes",
        ),
        (
            (HTTPStatus.OK, {"Content-Type": "application/pkcs7-mime"}, b"AAAA"),
            "not a certs-only message",
        ),
    ],
)
def test_a_server_that_signs_nothing_leaves_the_present_certificate(
    box: RenewingBox, est: EstServer, answer: Answer, why: str
) -> None:
    est.answers = [answer]
    box.stage.check()
    assert why in box.fault()
    assert not box.trial_file.exists()
    first_key = (box.file.parent / "request.key").read_bytes()
    box.stage.check()
    assert est.requests[0].public_key() == est.requests[1].public_key()
    assert first_key in box.trial_file.read_bytes()
    box.connect()
    assert box.faults.active() == ()


@pytest.mark.raises_fault("NET-06")
def test_the_servers_wish_for_the_next_try_is_kept(box: RenewingBox, est: EstServer) -> None:
    est.answers = [(HTTPStatus.ACCEPTED, {"Retry-After": "7200"}, b"")]
    box.stage.check()
    box.clock.ahead_s = 7100
    box.stage.run_once(threading.Event())
    assert len(est.requests) == 1


@pytest.mark.raises_fault("NET-06")
@pytest.mark.parametrize("case", HOSTILE)
def test_a_certificate_that_a_box_must_not_have_is_not_tried(
    box: RenewingBox, est: EstServer, case: str
) -> None:
    sign, why = HOSTILE[case]
    est.make_answer = lambda request: encode_certs_only(sign(est.authority, request))
    box.stage.check()
    assert len(est.requests) == 1
    assert why in box.fault()
    assert "\n" not in box.fault()
    assert not box.trial_file.exists()


@pytest.mark.parametrize(
    "sign",
    [
        change(),
        change(days=(-1, 398)),
        change(replaced=(x509.BasicConstraints(ca=False, path_length=None),)),
        by_intermediate(),
        by_intermediate(path_lengths=(2, 1, 0)),
    ],
)
def test_a_certificate_of_the_profile_is_tried_with_its_intermediate_ones(
    box: RenewingBox, est: EstServer, sign: Sign
) -> None:
    sent: list[x509.Certificate] = []

    def answer(request: x509.CertificateSigningRequest) -> Answer:
        sent.extend(sign(est.authority, request))
        return encode_certs_only(sent)

    est.make_answer = answer
    box.stage.check()
    assert box.faults.active() == ()
    assert x509.load_pem_x509_certificates(box.trial_file.read_bytes()) == sent


def test_the_clock_of_the_authority_may_be_ahead(box: RenewingBox, est: EstServer) -> None:
    ahead = change(days=(4 / 1440, 90))
    est.make_answer = lambda request: encode_certs_only(ahead(est.authority, request))
    box.stage.check()
    assert box.trial_file.exists()


@pytest.mark.raises_fault("NET-06")
def test_a_certificate_of_another_authority_is_not_tried(
    box: RenewingBox, est: EstServer, tmp_path: Path
) -> None:
    rogue = SigningAuthority.load(Certificates(tmp_path).folder)
    est.make_answer = lambda request: encode_certs_only([rogue.sign(request), rogue.certificate])
    box.stage.check()
    assert "candidates exhausted" in box.fault()
    assert not box.trial_file.exists()


@pytest.mark.raises_fault("NET-06")
def test_a_server_with_a_certificate_of_another_authority_gets_no_request(
    secured: Secured, tmp_path: Path
) -> None:
    other = Certificates(tmp_path)
    other.make_certificate("localhost")
    server = EstServer(tmp_path)
    try:
        box = RenewingBox(secured.certificates, server.url, tmp_path / "s", secured.config("due"))
        box.stage.check()
        assert "its certificate is not accepted" in box.fault()
        assert server.requests == []
    finally:
        server.close()


@pytest.mark.raises_fault("NET-06")
def test_a_server_that_answers_without_end_does_not_hold_the_stage(
    box: RenewingBox, est: EstServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "HEAD_TIMEOUT_S", 0.1)
    est.sends_no_answer = True
    box.stage.check()
    assert "no whole head of an answer in 0 s" in box.fault()


@pytest.mark.parametrize("rest", [b"", b"-----BEGIN", b"\0" * 900, b"x"])
def test_a_pair_that_is_damaged_is_not_used(
    secured: Secured, box: RenewingBox, rest: bytes
) -> None:
    box.stage.check()
    box.connect()
    assert len(box.credentials.candidates()) == 2
    box.file.write_bytes(rest)
    box.trial_file.write_bytes(rest)
    assert box.credentials.candidates() == (ClientPair(broker=secured.config("due")),)


def test_a_newer_pair_of_the_configuration_is_tried_first(
    secured: Secured, box: RenewingBox, tmp_path: Path
) -> None:
    box.stage.check()
    box.connect()
    secured.certificates.issue("newer", subject=f"CN={BOX}", days=(0, 90))
    newer = BoxCredentials(secured.config("newer"), tmp_path, BOX)
    first, second = newer.candidates()
    assert first.broker == secured.config("newer")
    assert second.broker.certificate == str(box.file)


def test_without_a_trusted_clock_nothing_is_renewed(
    box: RenewingBox, est: EstServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrusted = ClockTrust(synced=False, source="none", error_s=None)
    monkeypatch.setattr(box.clock, "trust", lambda: untrusted)
    box.stage.check()
    assert est.requests == []


def test_one_renewal_waits_at_a_time_and_a_stop_answers_it(box: RenewingBox) -> None:
    outcomes: list[RenewedCertificate | RenewalFailed] = []
    assert box.stage.request("amina", outcomes.append)
    assert not box.stage.request("badr", outcomes.append)
    box.stage.close()
    assert [str(outcome) for outcome in outcomes] == ["the agent stopped before it was begun"]


@given(st.binary(max_size=300), st.sampled_from(["application/pkcs7-mime", "text/html", ""]))
def test_any_answer_is_certificates_or_one_line(body: bytes, content_type: str) -> None:
    with pytest.raises(EstError) as error:
        est_client.decode_certs_only("https://est", content_type, body)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("120", 120),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("99999999", 86400),
        ("999999999999", None),
        ("-5", None),
    ],
)
def test_the_wait_of_a_server_is_bounded(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, est_client.MAX_RETRY_AFTER_S) == seconds
