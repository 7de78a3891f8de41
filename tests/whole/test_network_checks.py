"""agent.console.network_checks and mqtt_ping against a real broker, with the certificates of
docs/centre.md.
"""

import re
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from agent.base.clock import SystemClock
from agent.config.broker import BrokerConfig
from agent.console import network_checks
from agent.console.acts import link
from agent.console.check_result import CheckResult
from agent.console.messages import render
from agent.faults.texts import Language, load_texts
from tests.conftest import ManualClock
from tests.free_port import free_port
from tests.whole.report.broker import (
    Certificates,
    Mosquitto,
    documented_config,
    make_t61_certificate,
    write_access_list,
)

CLOCK = SystemClock()
BOX = "pole-17"


class Secured:
    """The broker of docs/centre.md."""

    def __init__(self, folder: Path) -> None:
        self.certificates = Certificates(folder)
        for name in ("localhost", BOX, "pole-18"):
            self.certificates.make_certificate(name)
        self.certificates.issue("expired", days=(-90, -1))
        self.certificates.issue("late", subject=f"CN={BOX}", days=(-90, 9))
        write_access_list(folder, "vigie.acl")
        self.broker = Mosquitto(folder, documented_config(folder))

    def config(self, name: str | None = BOX, *, port: int | None = None) -> BrokerConfig:
        path = self.certificates.path
        return BrokerConfig(
            url=f"mqtts://localhost:{port or self.broker.port}",
            ca=path("ca.crt"),
            certificate=name and path(f"{name}.crt"),
            key=name and path(f"{name}.key"),
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    one = Secured(tmp_path_factory.mktemp("secured"))
    yield one
    one.broker.stop(signal.SIGKILL)


def expected_message(verdicts: list[CheckResult]) -> list[tuple[bool | None, str | None]]:
    return [(verdict.ok, verdict.shown_code) for verdict in verdicts]


def pinged(broker: BrokerConfig, *, agent: bool = False) -> list[CheckResult]:
    return list(link.ping(broker, BOX, 2, CLOCK, agent_connected=agent))


def test_a_good_link_passes_each_step(secured: Secured) -> None:
    reached = list(network_checks.check_broker(secured.config(), CLOCK))
    assert expected_message(reached) == [(True, None)] * 3
    assert [str(verdict.subject).split()[0] for verdict in reached] == ["TCP", "TLS", "certificate"]
    pings = pinged(secured.config())
    assert expected_message(pings) == [(True, None)] * 3
    assert str(pings[0].subject) == "connection"
    assert str(pings[0].message).startswith(f"as {BOX}, ")


def test_a_closed_port_is_reported(secured: Secured) -> None:
    config = secured.config(port=free_port())
    verdicts = list(network_checks.check_broker(config, CLOCK))
    assert expected_message(verdicts) == [(False, "NET-01")]
    assert "the machine answers, but no broker on this port" in str(verdicts[0].message)
    advice = load_texts("en").faults["NET-01"].at_box
    assert advice.index("the broker does not run") < advice.index("antenna")
    assert expected_message(pinged(config)) == [(False, "NET-01")]


@pytest.mark.parametrize("host", ["broker..example", ".example", f"{'x' * 64}.example"])
def test_an_invalid_host_name_is_reported(host: str) -> None:
    config = BrokerConfig(url=f"mqtt://{host}")
    assert expected_message([network_checks.check_dns(config)]) == [(False, "NET-01")]
    assert expected_message(list(network_checks.check_broker(config, CLOCK))) == [(False, "NET-01")]
    assert expected_message(pinged(config)) == [(False, "NET-01")]


def test_a_certificate_refused_by_the_broker_is_reported(secured: Secured) -> None:
    (verdict,) = pinged(secured.config("expired"))
    assert (verdict.ok, verdict.shown_code) == (False, "NET-04")


def test_a_broker_that_requires_a_certificate_is_reported(secured: Secured) -> None:
    (verdict,) = pinged(secured.config(None))
    assert verdict.ok is False
    assert "certificate" in str(verdict.message)


def test_a_broker_of_an_unknown_authority_is_reported(secured: Secured, tmp_path: Path) -> None:
    other = Certificates(tmp_path)
    config = BrokerConfig(url=f"mqtts://localhost:{secured.broker.port}", ca=other.path("ca.crt"))
    verdicts = list(network_checks.check_broker(config, CLOCK))
    assert expected_message(verdicts) == [(True, None), (False, "NET-02")]


@pytest.mark.parametrize(
    ("name", "good", "code", "words"),
    [
        (BOX, True, None, "valid until"),
        ("late", False, "NET-05", "valid until"),
        ("pole-18", False, "NET-04", f"its name is not the box's id, {BOX}"),
    ],
)
def test_the_boxs_certificate_is_checked_by_its_name_and_dates(
    secured: Secured, name: str, good: bool, code: str | None, words: str
) -> None:
    now = CLOCK.utc(CLOCK.boottime_ns())
    own, ca = network_checks.check_certificates(secured.config(name), BOX, now)
    assert (own.ok, own.shown_code) == (good, code)
    assert words in str(own.message)
    assert str(ca.subject).startswith("broker.ca of ")


@pytest.fixture(scope="module")
def authorities(secured: Secured) -> Certificates:
    """Certificates of authorities that end, or begin, on other days than today."""
    certificates = secured.certificates
    for name, days in (
        ("ended", (-900, -1)),
        ("ending", (-900, 9)),
        ("early", (9, 900)),
        ("next", (-9, 900)),
    ):
        certificates.issue(name, subject=f"CN={name} authority", days=days)
    return certificates


def judged_authority(secured: Secured, *names: str) -> CheckResult:
    """Check a `broker.ca` that has these authorities."""
    file = secured.certificates.folder / "several.crt"
    held = [Path(secured.certificates.path(f"{name}.crt")).read_bytes() for name in names]
    file.write_bytes(b"".join(held))
    config = msgspec.structs.replace(secured.config(), ca=str(file))
    _, ca = network_checks.check_certificates(config, BOX, CLOCK.utc(CLOCK.boottime_ns()))
    return ca


@pytest.mark.usefixtures("authorities")
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("next", None, "valid until"),
        ("ending", "NET-05", "valid until"),
        ("ended", "NET-02", "expired on"),
        ("early", "NET-02", "not valid before"),
    ],
)
def test_an_authority_is_checked_by_its_dates_and_the_box_refuses_an_expired_one(
    secured: Secured, name: str, code: str | None, words: str
) -> None:
    verdict = judged_authority(secured, name)
    assert (verdict.ok, verdict.shown_code) == (code is None, code)
    assert words in str(verdict.message)


@pytest.mark.usefixtures("authorities")
@pytest.mark.parametrize("names", [("ended", "next"), ("next", "ended"), ("ending", "next")])
def test_an_authority_may_expire_once_its_successor_is_in_the_file(
    secured: Secured, names: tuple[str, ...]
) -> None:
    verdict = judged_authority(secured, *names)
    assert (verdict.ok, str(verdict.subject)) == (True, "broker.ca of next authority")


def test_a_certificate_name_in_an_old_encoding_is_omitted_and_its_dates_are_checked(
    tmp_path: Path,
) -> None:
    file, key = make_t61_certificate(tmp_path)
    listens = f"listener 8883\nallow_anonymous true\ncertfile {file}\nkeyfile {key}\n"
    broker = Mosquitto(tmp_path, listens)
    try:
        config = BrokerConfig(url=f"mqtts://localhost:{broker.port}", ca=str(file))
        reached = list(network_checks.check_broker(config, CLOCK))
        own, ca = network_checks.check_certificates(config, BOX, CLOCK.utc(CLOCK.boottime_ns()))
    finally:
        broker.stop(signal.SIGKILL)
    assert expected_message(reached) == [(True, None)] * 3
    assert str(reached[-1].subject) == "certificate of an unreadable name"
    assert (own.ok, ca.ok, str(ca.subject)) == (None, True, "broker.ca of an unreadable name")


def test_certificate_dates_with_a_wrong_clock_point_to_the_clock(secured: Secured) -> None:
    then = CLOCK.utc(CLOCK.boottime_ns()) - timedelta(days=3000)
    own, _ = network_checks.check_certificates(secured.config(), BOX, then)
    assert "is the clock right?" in str(own.message)


def test_a_missing_file_is_named(secured: Secured) -> None:
    (verdict,) = network_checks.check_certificates(secured.config("nobody"), BOX, CLOCK.utc(0))
    assert (verdict.ok, verdict.shown_code) == (False, "NET-04")
    assert "nobody.crt" in str(verdict.message)


def test_next_to_a_connected_agent_the_ping_uses_another_client_id(mosquitto: Mosquitto) -> None:
    message = pinged(BrokerConfig(url=mosquitto.url), agent=True)[0].message
    assert str(message).startswith(f"as {BOX}-console, ")


@pytest.mark.parametrize(
    ("host", "good"), [("localhost", True), ("127.0.0.1", True), ("no-such-host.invalid", False)]
)
def test_the_brokers_host_name_is_resolved(host: str, good: bool) -> None:
    assert network_checks.check_dns(BrokerConfig(url=f"mqtt://{host}")).ok is good


@pytest.mark.parametrize(
    ("language", "servers", "name_servers"),
    [
        ("en", "name servers: none is configured", "name servers"),
        ("fr", "serveurs de noms\u00a0: rien n'est configuré", "serveurs de noms"),
        ("ar", "خوادم الأسماء: لا شيء في الإعدادات", "خوادم الأسماء"),
    ],
)
def test_a_box_without_a_name_server_is_advised_to_check_that_and_not_the_antenna(
    tmp_path: Path, language: Language, servers: str, name_servers: str
) -> None:
    result = network_checks.check_dns(BrokerConfig(url="mqtt://no-such-host.invalid"), tmp_path)
    assert (result.ok, result.shown_code) == (False, "NET-01")
    message = render(result.message, language, str)
    assert servers in message
    assert result.advice is not None
    assert name_servers in render(result.advice, language, str)
    if language != "en":
        assert not re.search(r"known|failure|service", message)


def test_an_unset_clock_of_a_box_without_time_servers_has_that_reason(
    clock: ManualClock, tmp_path: Path
) -> None:
    clock.synced = False
    assert "time server" not in str(network_checks.check_clock(clock, tmp_path).message)
    runtime = tmp_path / "run/vigie-time"
    runtime.mkdir(parents=True)
    verdict = network_checks.check_clock(clock, tmp_path)
    assert (verdict.ok, verdict.shown_code) == (False, "SYS-01")
    assert "the settings name no time server" in str(verdict.message)
    (runtime / "source").write_text("nts\n")
    assert "time server" not in str(network_checks.check_clock(clock, tmp_path).message)
