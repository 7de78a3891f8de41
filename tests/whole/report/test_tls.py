"""TLS with the documented configuration: only boxes and centres with their certificates connect."""

import re
import shutil
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agent.base.clock import ClockTrust, SystemClock
from agent.base.errors import UserError
from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting import topics
from agent.reporting.mqtt import packets, tls
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.mqtt_stage import MqttStage
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox.outbox import Outbox
from centre.broker_connection import BrokerConnection
from centre.signing import sign_revocations
from tests.authority_rig import ControlKeys
from tests.whole.report.broker import (
    Certificates,
    Mosquitto,
    documented_config,
    write_access_list,
)
from tests.whole.report.conftest import CLOCK, make_event
from tests.whole.report.reporting_box import (
    BIRTH,
    BareClient,
    CentreListener,
    FastRandom,
    ReportingBox,
    run_until,
    wait_until,
)

CLIENTS = ("localhost", "centre", "active", "standby", "pole-17", "pole-18", "pole-20", "revoked")
PEOPLE = ("amina", "jonas", "karim", "watch", "authority")


class Secured:
    """The broker of docs/centre.md, and certificates for its clients."""

    def __init__(self, folder: Path, start: Callable[..., Mosquitto]) -> None:
        self.certificates = Certificates(folder)
        for name in CLIENTS:
            self.certificates.make_certificate(name)
        for name in PEOPLE:
            self.certificates.make_certificate(name, "person")
        self.certificates.revoke("revoked")
        self.certificates.issue("expired", days=(-90, -1))
        self.certificates.issue("early", days=(1, 90))
        self.certificates.issue("nameless", subject="O=Somebody", days=(-1, 90))
        write_access_list(folder, "vigie.acl", "two-centres.acl")
        self.broker = start(config=documented_config(folder, with_revocations=True))
        self.url = f"mqtts://localhost:{self.broker.port}"

    def config(self, name: str | None, *, ca: str = "ca.crt") -> BrokerConfig:
        is_person = name in PEOPLE
        return BrokerConfig(
            url=f"mqtts://localhost:{self.broker.people_port}" if is_person else self.url,
            ca=self.certificates.path(ca),
            certificate=name and self.certificates.path(f"{name}.crt"),
            key=name and self.certificates.path(f"{name}.key"),
            keepalive_s=5,
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    started: list[Mosquitto] = []

    def start(config: str) -> Mosquitto:
        started.append(Mosquitto(tmp_path_factory.mktemp("mosquitto"), config))
        return started[-1]

    yield Secured(tmp_path_factory.mktemp("tls"), start)
    for broker in started:
        broker.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def unknown_authority(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of an authority that the broker does not know."""
    certificates = Certificates(tmp_path_factory.mktemp("other"))
    certificates.make_certificate("pole-17")
    return certificates


def test_a_box_and_a_centre_with_their_certificates_connect(
    secured: Secured, tmp_path: Path
) -> None:
    with (
        CentreListener(secured.config("centre"), tmp_path / "centre.db") as centre,
        ReportingBox(secured.config("pole-17"), tmp_path) as box,
    ):
        for number in range(50):
            box.outbox.put(make_event(number))
        centre.wait_for(lambda: len(centre.event_numbers()) >= 50)
        wait_until(lambda: box.outbox.depth == 0)


@pytest.mark.raises_fault("NET-04")
def test_a_box_without_a_certificate_gets_an_error_that_requires_one(
    secured: Secured, tmp_path: Path
) -> None:
    with ReportingBox(secured.config(None), tmp_path) as box:
        assert re.search("wants? a certificate: set", box.wait_for_fault("NET-04"))


@pytest.mark.raises_fault("NET-04")
def test_a_certificate_of_an_unknown_authority_is_refused(
    secured: Secured, unknown_authority: Certificates, tmp_path: Path
) -> None:
    config = BrokerConfig(
        url=secured.url,
        ca=secured.certificates.path("ca.crt"),
        certificate=unknown_authority.path("pole-17.crt"),
        key=unknown_authority.path("pole-17.key"),
    )
    with ReportingBox(config, tmp_path) as box:
        assert "broker.certificate" in box.wait_for_fault("NET-04")


@pytest.mark.parametrize("name", ["expired", "early", "revoked", "nameless"])
def test_a_certificate_refused_by_the_broker_has_its_own_error(
    secured: Secured, tmp_path: Path, name: str
) -> None:
    with ReportingBox(secured.config(name), tmp_path, box=name) as box:
        assert box.wait_for_fault("NET-04")
        assert {f.code for f in box.faults.active()} <= {"NET-04", "NET-05"}


def test_a_box_with_a_new_valid_certificate_connects_and_its_fault_clears(
    secured: Secured, tmp_path: Path
) -> None:
    for suffix in ("crt", "key"):
        shutil.copy(secured.certificates.path(f"expired.{suffix}"), tmp_path / f"box.{suffix}")
    config = msgspec.structs.replace(
        secured.config("pole-17"),
        certificate=str(tmp_path / "box.crt"),
        key=str(tmp_path / "box.key"),
    )
    with ReportingBox(config, tmp_path / "outbox") as box:
        box.wait_for_fault("NET-04")
        for suffix in ("key", "crt"):
            shutil.copy(secured.certificates.path(f"pole-17.{suffix}"), tmp_path / f"new.{suffix}")
            (tmp_path / f"new.{suffix}").replace(tmp_path / f"box.{suffix}")
        wait_until(lambda: box.session.health().connected)
        assert not [f for f in box.faults.active() if f.code.startswith("NET")]


class Trusted(SystemClock):
    """The machine's clock, taken for right."""

    def trust(self) -> ClockTrust:
        return ClockTrust(synced=True, source="test", error_s=0.1)


@pytest.mark.raises_fault("NET-05")
def test_a_box_with_an_expiring_certificate_connects_and_reports_it(
    secured: Secured, outboxes: Callable[..., Outbox], tmp_path: Path
) -> None:
    secured.certificates.issue("pole-19", days=(-1, 12))
    clock = Trusted()
    faults = FaultRegistry(clock.boottime_ns)
    outbox = outboxes(tmp_path, box="pole-19", clock=clock)
    session = MqttSession(outbox, clock)
    stage = MqttStage(session, secured.config("pole-19"), faults, lambda: BIRTH, FastRandom(3))
    run_until(stage, lambda: session.health().connected)
    (fault,) = faults.active()
    assert (fault.code, fault.subject) == ("NET-05", "broker.certificate")
    assert fault.detail.endswith(", in 11 days")
    stage.close()


@pytest.mark.raises_fault("NET-02")
def test_a_broker_of_an_unknown_authority_is_refused_by_the_box(
    secured: Secured, unknown_authority: Certificates, tmp_path: Path
) -> None:
    config = BrokerConfig(url=secured.url, ca=unknown_authority.path("ca.crt"))
    with ReportingBox(config, tmp_path) as box:
        assert "certificate is not accepted: " in box.wait_for_fault("NET-02")


def test_a_broker_under_another_name_is_refused_by_the_box(
    secured: Secured, tmp_path: Path
) -> None:
    url = f"mqtts://127.0.0.1:{secured.broker.port}"
    config = BrokerConfig(url=url, ca=secured.certificates.path("ca.crt"))
    with ReportingBox(config, tmp_path) as box:
        assert "IP address mismatch" in box.wait_for_fault("NET-02")


@pytest.mark.parametrize(
    ("name", "ca", "problem"),
    [
        (None, "ca.crt", "--certificate and --key"),
        ("pole-17", "people-ca.crt", "certificate is not accepted: "),
    ],
)
def test_a_command_that_the_broker_or_its_certificate_refuses_ends_at_the_first_attempt(
    secured: Secured, name: str | None, ca: str, problem: str
) -> None:
    # The clock stands still: no other attempt is due, and no time limit ends the wait.
    connection = BrokerConnection(
        secured.config(name, ca=ca), [], lambda _: None, "test", FastRandom(3), lambda: 0
    )
    with closing(connection), pytest.raises(UserError, match=problem):
        connection.connect()


@pytest.mark.raises_fault("NET-01")
def test_a_port_without_tls_has_its_own_error(
    secured: Secured, broker: Mosquitto, tmp_path: Path
) -> None:
    config = BrokerConfig(
        url=f"mqtts://localhost:{broker.port}", ca=secured.certificates.path("ca.crt")
    )
    with ReportingBox(config, tmp_path) as box:
        assert "may not speak TLS" in box.wait_for_fault("NET-01")


def test_a_second_box_cannot_take_the_id_of_the_first(secured: Secured, tmp_path: Path) -> None:
    with (
        CentreListener(secured.config("centre"), tmp_path / "centre.db") as centre,
        ReportingBox(secured.config("pole-17"), tmp_path) as box,
    ):
        centre.wait_for(centre.births)
        # It claims to be "pole-17" with the certificate of pole-18: the broker calls it pole-18.
        rival = BareClient(secured.config("pole-18"), "pole-17")
        assert rival.publish("vigie/v1/pole-17/up/status", b"{}").reason_code == 0x87
        rival.link.close()
        box.outbox.put(make_event(1))
        centre.wait_for(lambda: centre.event_numbers() == [1])
        assert {birth.session for birth in centre.births()} == {1}


@pytest.mark.raises_fault("NET-04")
def test_a_certificate_of_a_box_is_refused_where_people_connect_and_choose_their_client_id(
    secured: Secured, tmp_path: Path
) -> None:
    url = f"mqtts://localhost:{secured.broker.people_port}"
    config = msgspec.structs.replace(secured.config("pole-18"), url=url)
    with ReportingBox(config, tmp_path, box="pole-17") as box:
        assert "broker.certificate" in box.wait_for_fault("NET-04")


@pytest.mark.parametrize(
    "topic",
    [
        "vigie/v1/pole-18/up/event/a/line",
        "vigie/v1/pole-17/down/ack/centre",
        "vigie/v1/centre/centre/state",
        "x",
    ],
)
def test_a_box_publishes_under_its_own_name_only(secured: Secured, topic: str) -> None:
    box = BareClient(secured.config("pole-17"), "pole-17")
    assert box.publish(topic, b"{}").reason_code == 0x87
    box.link.close()


def test_a_box_receives_no_message_of_other_boxes(secured: Secured, tmp_path: Path) -> None:
    spy = BareClient(secured.config("pole-18"), "pole-18")
    spy.link.subscribe(["#"])
    spy.wait_for(packets.Suback)
    with (
        CentreListener(secured.config("centre"), tmp_path / "centre.db") as centre,
        ReportingBox(secured.config("pole-17"), tmp_path) as box,
    ):
        box.outbox.put(make_event(1))
        centre.wait_for(lambda: centre.event_numbers() == [1])
        wait_until(lambda: box.outbox.depth == 0)
        spy.publish("vigie/v1/pole-18/up/status", b"{}")
        spy.events += spy.link.poll(0.2)
    received = {e.topic for e in spy.events if isinstance(e, packets.ReceivedPublish)}
    assert not {topic for topic in received if "pole-17" in topic}
    spy.link.close()


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ca": "nowhere.crt"}, "broker.ca = '.*nowhere.crt': No such file or directory"),
        ({"ca": "rubbish"}, "broker.ca = '.*rubbish': holds no certificate in PEM form"),
        ({"certificate": "nowhere.crt"}, "broker.certificate = '.*': No such file or directory"),
        ({"key": "pole-18.key"}, "the key does not belong to the certificate"),
        ({"key": "rubbish"}, "not a certificate and its unencrypted key in PEM form"),
        ({"certificate": "rubbish"}, "not a certificate and its unencrypted key in PEM form"),
        ({"ca": "."}, "broker.ca = '.*': Is a directory"),
    ],
)
def test_unusable_certificate_files_are_named(
    secured: Secured, change: dict[str, str], message: str
) -> None:
    write(secured.certificates.folder, "rubbish", "not PEM")
    fields = {"ca": "ca.crt", "certificate": "pole-17.crt", "key": "pole-17.key", **change}
    paths = {key: secured.certificates.path(name) for key, name in fields.items()}
    with pytest.raises(UserError) as caught:
        tls.load_ssl_context(BrokerConfig(url=secured.url, **paths))
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damaged", ["box.crt", "box.key"])
def test_a_damaged_certificate_stops_no_agent_and_it_connects_once_the_file_is_mended(
    secured: Secured, tmp_path: Path, damaged: str
) -> None:
    for suffix in ("crt", "key"):
        shutil.copy(secured.certificates.path(f"pole-17.{suffix}"), tmp_path / f"box.{suffix}")
    whole = (tmp_path / damaged).read_bytes()
    (tmp_path / damaged).write_bytes(whole[: len(whole) // 2])
    config = msgspec.structs.replace(
        secured.config("pole-17"),
        certificate=str(tmp_path / "box.crt"),
        key=str(tmp_path / "box.key"),
    )
    with ReportingBox(config, tmp_path) as box:
        assert str(tmp_path / damaged) in box.wait_for_fault("NET-02")
        (tmp_path / damaged).write_bytes(whole)
        wait_until(lambda: box.session.health().connected)


def test_tls_below_1_2_is_refused(secured: Secured) -> None:
    context = tls.load_ssl_context(secured.config("pole-17"))
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_connection_error_names_the_unreachable_address() -> None:
    link = PahoTransport(BrokerConfig(url="mqtt://no-such-host.invalid"), "x", None)
    with pytest.raises(
        MqttConnectionError, match=r"no-such-host\.invalid:1883: the name is not known"
    ):
        link.connect()
    link.abort()


@pytest.mark.parametrize(
    ("client", "topic", "is_allowed"),
    [
        ("centre", "vigie/v1/pole-17/down/ack/centre", True),
        ("centre", "vigie/v1/pole-17/down/ack/standby", False),
        ("centre", "vigie/v1/centre/centre/state", True),
        ("centre", "vigie/v1/centre/standby/state", False),
        ("centre", "vigie/v1/pole-17/up/event/a/line", False),
        ("standby", "vigie/v1/pole-17/down/ack/standby", True),
        ("standby", "vigie/v1/pole-17/down/ack/active", False),
        ("standby", "vigie/v1/centre/active/state", False),
        ("centre", "vigie/v1/pole-17/down/command/ptz", True),
        ("centre", "vigie/v1/pole-17/down/config", True),
        ("centre", "vigie/v1/incident/i-1", True),
        ("centre", "vigie/v1/centre/revocations", True),
        ("standby", "vigie/v1/pole-17/down/config", False),
        ("amina", "vigie/v1/pole-17/down/config", False),
        ("amina", "vigie/v1/incident/i-1", True),
        ("amina", "vigie/v1/centre/revocations", False),
        ("jonas", "vigie/v1/pole-17/down/config", True),
        ("jonas", "vigie/v1/pole-17/down/command/gpio", True),
        ("jonas", "vigie/v1/incident/i-1", True),
        ("jonas", "vigie/v1/pole-17/down/ack/centre", False),
        ("karim", "vigie/v1/pole-17/down/command/restart", True),
        ("karim", "vigie/v1/pole-17/down/command/snapshot", False),
        ("karim", "vigie/v1/pole-17/down/config", False),
        ("authority", "vigie/v1/centre/revocations", True),
        ("authority", "vigie/v1/pole-17/down/command/ptz", False),
        ("amina", "vigie/v1/pole-17/down/command/ptz", True),
        ("amina", "vigie/v1/pole-17/down/command/gpio", False),
        ("amina", "vigie/v1/pole-17/down/ack/centre", False),
        ("amina", "vigie/v1/centre/centre/state", False),
        ("watch", "vigie/v1/pole-17/down/command/ptz", False),
        ("pole-17", "vigie/v1/centre/pole-17/state", False),
    ],
)
def test_each_client_publishes_only_what_the_access_list_has_for_it(
    secured: Secured, client: str, topic: str, is_allowed: bool
) -> None:
    bare = BareClient(secured.config(client), client)
    assert (bare.publish(topic, b"{}").reason_code != 0x87) == is_allowed
    bare.link.close()


def test_an_active_and_a_standby_centre_serve_a_box_with_the_documented_access_list(
    secured: Secured, tmp_path: Path
) -> None:
    with (
        CentreListener(secured.config("active"), tmp_path / "active.db", centre="active") as active,
        ReportingBox(secured.config("pole-17"), tmp_path) as box,
    ):
        with CentreListener(
            secured.config("standby"), tmp_path / "standby.db", centre="standby"
        ) as standby:
            wait_until(lambda: {"active", "standby"} <= set(box.outbox.centres.awaited))
            box.outbox.put(make_event(1))
            standby.wait_for(lambda: standby.event_numbers() == [1])
            active.wait_for(lambda: active.event_numbers() == [1])
            wait_until(lambda: box.outbox.depth == 0)
        box.outbox.put(make_event(2))
        active.wait_for(lambda: active.event_numbers() == [1, 2])
        wait_until(lambda: box.outbox.depth == 0)


def test_a_box_with_a_control_authority_works_with_the_documented_access_list(
    secured: Secured, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    keys = ControlKeys(now)
    authority = keys.load(tmp_path, CLOCK)
    publisher = BareClient(secured.config("centre"), "centre")
    revocations = sign_revocations(7, now, [], keys.authority)
    assert (
        publisher.publish(topics.REVOCATIONS_TOPIC, revocations, retained=True).reason_code < 0x80
    )
    publisher.link.close()
    identity = keys.identity("centre", "centre")
    with (
        CentreListener(
            secured.config("centre"), tmp_path / "centre.db", identity=identity
        ) as centre,
        ReportingBox(secured.config("pole-17"), tmp_path, authority=authority) as box,
    ):
        box.outbox.put(make_event(1))
        centre.wait_for(lambda: centre.event_numbers() == [1])
        wait_until(lambda: box.outbox.depth == 0)
        wait_until(lambda: authority.health().revocation_list == 7)


@pytest.mark.raises_fault("NET-04")
def test_a_revoked_box_is_refused_after_a_reload_and_thrown_out_by_a_restart(
    secured: Secured, tmp_path: Path
) -> None:
    with ReportingBox(secured.config("pole-20"), tmp_path, box="pole-20") as box:
        wait_until(lambda: box.session.health().connected)
        secured.certificates.revoke("pole-20")
        secured.broker.reload()
        with ReportingBox(secured.config("pole-20"), tmp_path / "second", box="pole-20") as again:
            again.wait_for_fault("NET-04")
        # The session that was open stays open.
        assert box.session.health().connected
        secured.broker.stop(signal.SIGTERM)
        secured.broker.start()
        box.wait_for_fault("NET-04")
    # Others are not concerned.
    with ReportingBox(secured.config("pole-17"), tmp_path / "other") as other:
        wait_until(lambda: other.session.health().connected)
