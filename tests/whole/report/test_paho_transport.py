"""agent.reporting.mqtt.paho_transport: behaviour of paho that it prevents, each reproduced with paho 2.2."""

import random
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config.broker import BrokerConfig
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.connection import BirthInputs
from agent.reporting.mqtt.packets import Connack
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.runtime.stage import StageThread
from centre.client import CentreClient, ReceivedMessage
from tests.loopback_server import TcpProxy
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK, make_event
from tests.whole.report.mqtt_packets import InFlightProxy
from tests.whole.report.reporting_box import (
    BIRTH,
    BareClient,
    CentreListener,
    ReportingBox,
    wait_until,
)


def config(url: str, **options: object) -> BrokerConfig:
    return BrokerConfig(url=url, keepalive_s=5, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("maximum", "most"), [(1, 1), (5, 5), (100, 20)])
def test_at_most_twenty_and_the_servers_receive_maximum_are_in_flight(
    brokers: Callable[..., Mosquitto], tmp_path: Path, maximum: int, most: int
) -> None:
    broker = brokers(config=f"allow_anonymous true\nmax_inflight_messages {maximum}\n")
    box = ReportingBox(config(f"mqtt://127.0.0.1:{broker.port}"), tmp_path / "first")
    for number in range(200):
        box.outbox.put(make_event(number))
    box.outbox.close()
    with (
        InFlightProxy(broker.port) as proxy,
        CentreListener(config(broker.url), tmp_path / "centre.db") as centre,
    ):
        with ReportingBox(config(proxy.url), tmp_path / "first") as box:
            centre.wait_for(lambda: len(set(centre.event_numbers())) >= 200)
            wait_until(lambda: box.outbox.depth == 0)
        assert 1 <= proxy.max_in_flight <= most


def test_a_reconnect_does_not_send_everything_at_once(broker: Mosquitto, tmp_path: Path) -> None:
    with (
        InFlightProxy(broker.port) as proxy,
        CentreListener(config(broker.url), tmp_path / "centre.db") as centre,
        ReportingBox(config(proxy.url), tmp_path) as box,
    ):
        wait_until(lambda: box.session.health().centre_listening)
        proxy.freeze()
        for number in range(300):
            box.outbox.put(make_event(number))
        proxy.thaw()
        centre.wait_for(lambda: set(centre.event_numbers()) == set(range(300)))
        wait_until(lambda: box.outbox.depth == 0)
        assert proxy.connections >= 2
        assert proxy.max_in_flight <= 20


def test_nothing_is_published_without_a_connection(broker: Mosquitto) -> None:
    client = BareClient(config(broker.url), "x")
    client.link.abort()
    with pytest.raises(MqttConnectionError):
        client.link.publish("t", b"")


@pytest.mark.raises_fault("NET-02")
def test_a_publication_refused_by_the_broker_stays_queued_and_is_a_fault(
    brokers: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write vigie/v1/pole-17/up/status\ntopic read vigie/v1/#\n")
    acl.chmod(0o600)
    broker = brokers(config=f"allow_anonymous true\nacl_file {acl}\n")
    with ReportingBox(config(broker.url, ack="broker"), tmp_path / "outbox") as box:
        box.outbox.put(make_event(1)).wait(60)
        assert "Not authorized" in box.wait_for_fault("NET-02")
        assert box.outbox.depth == 1


def test_an_exception_in_a_handler_closes_the_connection(
    broker: Mosquitto,
) -> None:
    received: list[ReceivedMessage] = []
    twice = threading.Event()

    def stumble(item: ReceivedMessage) -> None:
        received.append(item)
        if len(received) == 1:
            raise RuntimeError("stumbled")
        twice.set()

    watch = CentreClient(config(broker.url), stumble, random.Random(1), CLOCK.boottime_ns)
    thread = StageThread(watch, CLOCK.boottime_ns, random.Random(2), vital=False)
    thread.start()
    assert watch.online.wait(60)
    speaker = BareClient(config(broker.url), "speaker")
    speaker.publish("vigie/v1/pole-17/up/status", b"one", retained=True)
    # The retained message comes again with the new subscription.
    assert twice.wait(60)
    assert thread.health().last_error == "RuntimeError: stumbled"
    assert watch.online.is_set()
    thread.stop()
    assert thread.join(60)
    speaker.link.close()


def test_a_session_that_raises_connects_again(broker: Mosquitto, tmp_path: Path) -> None:
    calls: list[None] = []

    def birth() -> BirthInputs:
        calls.append(None)
        if len(calls) == 1:
            raise RuntimeError("no birth yet")
        return BIRTH

    box = ReportingBox(config(broker.url), tmp_path, get_birth=birth)
    with CentreListener(config(broker.url)) as watcher:
        box._thread.start()
        watcher.wait_for(watcher.births)
        assert watcher.births()[-1].session == 2
        # The will waits for the next connection.
        assert watcher.status_names() == ["OnlineStatus"]
        box._thread.stop()
        assert box._thread.join(60)
    box.outbox.close()


def test_a_stop_with_messages_in_flight_does_not_hang(broker: Mosquitto, tmp_path: Path) -> None:
    with TcpProxy(broker.port) as proxy:
        with ReportingBox(config(proxy.url, ack="broker"), tmp_path) as box:
            wait_until(lambda: box.session.health().connected)
            proxy.freeze()
            for number in range(50):
                box.outbox.put(make_event(number)).wait(60)
            begin_ns = CLOCK.boottime_ns()
        # Box.__exit__ stopped it. Flushing has 3 s, the farewell 1 s, a turn up to 1 s.
        assert (CLOCK.boottime_ns() - begin_ns) / 1e9 < 15
        proxy.thaw()


def test_a_half_open_connection_is_found_by_keep_alive(broker: Mosquitto, tmp_path: Path) -> None:
    quick = BrokerConfig(url="", keepalive_s=1)
    with (
        TcpProxy(broker.port) as proxy,
        CentreListener(config(broker.url), tmp_path / "c.db") as centre,
    ):
        broker_config = BrokerConfig(url=proxy.url, keepalive_s=quick.keepalive_s)
        with ReportingBox(broker_config, tmp_path) as box:
            wait_until(lambda: box.session.health().centre_listening)
            proxy.freeze()
            box.outbox.put(make_event(1)).wait(60)
            box.wait_for_fault("NET-01")
            assert box.outbox.depth == 1
            proxy.thaw()
            centre.wait_for(lambda: centre.event_numbers() == [1])
            wait_until(lambda: box.outbox.depth == 0)


def test_the_socket_has_no_delay_and_a_user_timeout(
    broker: Mosquitto,
) -> None:
    client = BareClient(BrokerConfig(url=broker.url, keepalive_s=60), "x")
    stream = client.link._client.socket()
    assert isinstance(stream, socket.socket)
    assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
    client.link.close()


def test_a_link_has_no_thread_that_could_die(broker: Mosquitto) -> None:
    before = threading.active_count()
    client = BareClient(config(broker.url), "x")
    assert threading.active_count() == before
    client.link.close()


def test_packet_ids_may_wrap_around(broker: Mosquitto) -> None:
    link = PahoTransport(config(broker.url), "x", None)
    link.connect()
    while not any(isinstance(e, Connack) for e in link.poll(1)):
        pass
    link._client._last_mid = 65_534
    assert [link.publish("t", b"") for _ in range(3)] == [65_535, 1, 2]
    link.close()


def test_a_service_without_the_right_to_listen_reaches_its_broker(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel answers under SocketBindDeny=tcp, which the units set."""

    def forbidden(_self: socket.socket, _address: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket.socket, "bind", forbidden, raising=False)
    link = PahoTransport(config(broker.url), "x", None)
    link.connect()
    while not any(isinstance(e, Connack) for e in link.poll(1)):
        pass
    link.close()
