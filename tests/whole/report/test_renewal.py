"""agent.reporting.renewal: a real EST exchange over TLS, a real broker that takes the new certificate, and what is refused."""

import random
import signal
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from agent.base.clock import ClockTrust, SystemClock
from agent.config.broker import BrokerConfig
from agent.config.renewal import RenewalConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.renewal import est_client
from agent.reporting.renewal.credentials import CREDENTIALS_FILE, FOLDER, BoxCredentials
from agent.reporting.renewal.est_client import EstError
from agent.reporting.renewal.renewal_stage import AUTOMATIC, RenewalStage
from agent.reporting.renewal.renewed import RenewalFailed, RenewedCertificate
from tests.whole.report.broker import Certificates, Mosquitto
from tests.whole.report.conftest import make_event
from tests.whole.report.est_server import (
    Answer,
    CertificateHook,
    EstServer,
    SigningAuthority,
    encode_certs_only,
)
from tests.whole.report.reporting_box import CentreListener, ReportingBox, wait_until
from tests.whole.report.test_tls import Secured

BOX = "pole-17"


class TrustedClock(SystemClock):
    """The machine's clock, which a box trusts; moved forward by a test."""

    ahead_s = 0.0

    def boottime_ns(self) -> int:
        return super().boottime_ns() + int(self.ahead_s * 1e9)

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
        self.renewals: list[tuple[str, str]] = []
        self.on_renewed: Callable[[], None] = lambda: None
        self.stage = RenewalStage(
            RenewalConfig(url=url),
            broker,
            self.credentials,
            self.clock,
            self.faults,
            random.Random(1),
            self._note,
        )

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

    def _note(self, requester: str, not_after: str) -> None:
        self.renewals.append((requester, not_after))
        self.on_renewed()


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
    ((requester, not_after),) = box.renewals
    assert requester == AUTOMATIC
    (request,) = est.requests
    assert est.peers == [f"CN={BOX}"]
    after = box.credentials.current()
    assert after.certificate == after.key == str(box.file)
    assert box.file.stat().st_mode & 0o777 == 0o600
    renewed = x509.load_pem_x509_certificate(box.file.read_bytes())
    assert renewed.public_key() == request.public_key()
    assert renewed.not_valid_after_utc.isoformat()[:16] == not_after[:16]
    assert isinstance(request.public_key(), ec.EllipticCurvePublicKey)
    old = x509.load_pem_x509_certificate(Path(before.certificate or "").read_bytes())
    assert renewed.public_key() != old.public_key()
    assert box.faults.active() == ()
    assert not (box.file.parent / "request.key").exists()

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
    assert box.renewals[0][0] == "amina"


def test_the_box_reports_on_with_its_new_certificate_and_loses_no_message(
    secured: Secured, box: RenewingBox, tmp_path: Path
) -> None:
    with (
        CentreListener(secured.config("centre"), tmp_path / "centre.db") as centre,
        ReportingBox(
            secured.config("due"), tmp_path / "outbox", read_brokers=box.credentials.candidates
        ) as reporting,
    ):
        box.on_renewed = lambda: reporting.session.reconnect("the certificate was renewed")
        wait_until(lambda: reporting.session.health().connected)
        for number in range(200):
            reporting.outbox.put(make_event(number))
            if number == 50:
                box.stage.check()
        assert len(box.renewals) == 1
        centre.wait_for(lambda: set(range(200)) <= set(centre.event_numbers()))
        centre.wait_for(lambda: len(centre.births()) >= 2)
        wait_until(lambda: reporting.outbox.depth == 0)
        assert centre.status_names().count("LostStatus") == 0
        assert reporting.faults.active() == ()


@pytest.mark.raises_fault("NET-04")
def test_a_new_certificate_that_the_broker_refuses_gives_way_to_the_old_one(
    secured: Secured, box: RenewingBox, tmp_path: Path
) -> None:
    other = Certificates(tmp_path)
    other.make_certificate(BOX)
    box.file.parent.mkdir()
    box.file.write_bytes(
        Path(other.path(f"{BOX}.key")).read_bytes() + Path(other.path(f"{BOX}.crt")).read_bytes()
    )
    assert box.credentials.current().certificate == str(box.file)
    with (
        CentreListener(secured.config("centre"), tmp_path / "centre.db") as centre,
        ReportingBox(
            secured.config("due"), tmp_path / "outbox", read_brokers=box.credentials.candidates
        ) as reporting,
    ):
        reporting.wait_for_fault("NET-04")
        centre.wait_for(centre.births)
        wait_until(lambda: reporting.faults.active() == ())


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
    assert not box.file.exists()
    first_key = (box.file.parent / "request.key").read_bytes()
    box.stage.check()
    assert est.requests[0].public_key() == est.requests[1].public_key()
    assert first_key in box.file.read_bytes()
    assert box.faults.active() == ()


@pytest.mark.raises_fault("NET-06")
def test_the_servers_wish_for_the_next_try_is_kept(box: RenewingBox, est: EstServer) -> None:
    est.answers = [(HTTPStatus.ACCEPTED, {"Retry-After": "7200"}, b"")]
    box.stage.check()
    box.clock.ahead_s = 7100
    box.stage.run_once(threading.Event())
    assert len(est.requests) == 1


def other_name(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    name = x509.Name.from_rfc4514_string("CN=pole-18")
    return _rebuilt(builder, subject=name)


def other_key(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return _rebuilt(builder, key=ec.generate_private_key(ec.SECP256R1()).public_key())


def short_life(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return _rebuilt(builder, days=10)


def _rebuilt(
    builder: x509.CertificateBuilder,
    *,
    subject: x509.Name | None = None,
    key: ec.EllipticCurvePublicKey | None = None,
    days: float | None = None,
) -> x509.CertificateBuilder:
    begin, end = builder._not_valid_before, builder._not_valid_after
    assert begin is not None
    return x509.CertificateBuilder(
        builder._issuer_name,
        subject or builder._subject_name,
        key or builder._public_key,
        builder._serial_number,
        begin,
        end if days is None else begin + timedelta(days=days),
        builder._extensions,
    )


@pytest.mark.raises_fault("NET-06")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (other_name, "its name is not that of the present certificate"),
        (other_key, "no certificate for the key of the request"),
        (short_life, "not after the present one"),
    ],
)
def test_a_certificate_that_is_not_for_this_box_is_not_installed(
    box: RenewingBox,
    est: EstServer,
    change: CertificateHook,
    why: str,
) -> None:
    est.make_answer = lambda request: encode_certs_only([est.authority.sign(request, change)])
    box.stage.check()
    assert why in box.fault()
    assert not box.file.exists()


@pytest.mark.raises_fault("NET-06")
def test_a_certificate_of_another_authority_is_not_installed(
    box: RenewingBox, est: EstServer, tmp_path: Path
) -> None:
    rogue = SigningAuthority(Certificates(tmp_path).folder)
    est.make_answer = lambda request: encode_certs_only([rogue.sign(request), rogue.certificate])
    box.stage.check()
    assert box.fault() == "it is not signed by broker.ca"
    assert not box.file.exists()


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


@pytest.mark.parametrize("rest", [b"", b"-----BEGIN", b"\0" * 900, b"x"])
def test_a_pair_that_is_damaged_is_not_used(box: RenewingBox, rest: bytes) -> None:
    box.stage.check()
    assert len(box.credentials.candidates()) == 2
    box.file.write_bytes(rest)
    assert box.credentials.candidates() == (box.credentials._broker,)


def test_a_newer_pair_of_the_configuration_is_tried_first(
    secured: Secured, box: RenewingBox, tmp_path: Path
) -> None:
    box.stage.check()
    secured.certificates.issue("newer", subject=f"CN={BOX}", days=(0, 90))
    newer = BoxCredentials(secured.config("newer"), tmp_path, BOX)
    first, second = newer.candidates()
    assert first == secured.config("newer")
    assert second.certificate == str(box.file)


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
    assert est_client.parse_retry_after(text) == seconds
