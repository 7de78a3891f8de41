"""The will of a box waits for its next connection, and what waits with it at the broker does no harm."""

import socket
import threading
from pathlib import Path

import pytest

from agent.base.model import IncomingCommand
from agent.config.broker import BrokerConfig
from agent.reporting import topics
from agent.reporting.mqtt import connection
from agent.reporting.mqtt.packets import Connack, Will
from agent.reporting.mqtt.paho_transport import PahoTransport
from tests.loopback_server import LoopbackServer, TcpProxy, receive
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import make_event
from tests.whole.report.mqtt_packets import MqttPacketSplitter
from tests.whole.report.reporting_box import (
    BareClient,
    CentreListener,
    ReportingBox,
    wait_until,
)

CONNACK_WITHOUT_SUBSCRIPTION_IDS = bytes([0x20, 5, 0, 0, 2, 0x29, 0])
"""MQTT 5.0, 3.2.2.3.12."""
SUBSCRIBE = 8
"""MQTT 5.0, 2.1.2."""
NO_SUBSCRIBER = 0x10


def config(broker: Mosquitto | TcpProxy) -> BrokerConfig:
    return BrokerConfig(url=broker.url, keepalive_s=5)


def die(broker: Mosquitto, client_id: str, delay_s: int) -> None:
    """A client whose will waits for `delay_s` dies."""
    will = Will(topic=topics.up_topic(client_id, "status"), payload=b"lost", delay_s=delay_s)
    transport = PahoTransport(config(broker), client_id, will)
    transport.connect()
    transport.wait_for(Connack, 60)
    transport.abort()


def test_a_box_that_reconnects_is_not_reported_as_lost(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough to connect again next to any load.
    monkeypatch.setattr(connection, "WILL_DELAY_S", 20)
    with (
        CentreListener(config(broker)) as watcher,
        TcpProxy(broker.port) as proxy,
        ReportingBox(config(proxy), tmp_path),
    ):
        watcher.wait_for(watcher.births)
        proxy.cut_connections()
        # Once this later will has been published, the time of the box's is over.
        die(broker, "pole-18", connection.WILL_DELAY_S + 1)
        watcher.wait_for(lambda: [birth.session for birth in watcher.births()] == [1, 2])
        watcher.wait_for(lambda: any(item.payload == b"lost" for item in watcher.received))
        assert watcher.status_names() == ["OnlineStatus", "OnlineStatus"]


def test_a_box_that_stays_away_is_reported_as_lost(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WILL_DELAY_S", 1)
    with (
        CentreListener(config(broker)) as watcher,
        TcpProxy(broker.port) as proxy,
        ReportingBox(config(proxy), tmp_path),
    ):
        watcher.wait_for(watcher.births)
        proxy.freeze()
        proxy.cut_connections()
        watcher.wait_for(lambda: watcher.status_names() == ["OnlineStatus", "LostStatus"])
        proxy.thaw()
        watcher.wait_for(lambda: watcher.status_names()[2:] == ["OnlineStatus"])


def test_messages_of_an_earlier_connection_are_not_lost_by_its_session(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with (
        CentreListener(config(broker), tmp_path / "centre.db") as centre,
        TcpProxy(broker.port) as proxy,
        ReportingBox(config(proxy), tmp_path) as box,
    ):
        for turn in range(5):
            for number in range(50):
                box.outbox.put(make_event(50 * turn + number))
            proxy.cut_connections()
        centre.wait_for(lambda: set(centre.event_numbers()) == set(range(250)))
        wait_until(lambda: box.outbox.depth == 0)


def test_a_command_that_came_while_the_box_was_away_is_marked(
    broker: Mosquitto, tmp_path: Path
) -> None:
    received: list[IncomingCommand] = []
    sender = BareClient(config(broker), "sender")
    topic = topics.down_topic("pole-17", "command/ptz")
    with TcpProxy(broker.port) as proxy:
        box = ReportingBox(config(proxy), tmp_path, on_command=received.append)
        with box:
            wait_until(lambda: box.session.health().connected)
            sender.publish(topic, b"1")
            wait_until(lambda: len(received) == 1)
            proxy.freeze()
            proxy.cut_connections()
            # The broker keeps it: it has a subscriber.
            assert sender.publish(topic, b"2").reason_code == 0
            proxy.thaw()
            wait_until(lambda: received[-1].payload == b"2")
            wait_until(lambda: box.session.health().connected)
            sender.publish(topic, b"3")
            wait_until(lambda: received[-1].payload == b"3")
        # The session of a box that was stopped is over, once the proxy has passed its DISCONNECT on.
        wait_until(lambda: sender.publish(topic, b"4").reason_code == NO_SUBSCRIBER)
    commands = [(command.payload, command.has_waited) for command in received]
    # The broker sends the first again if the link froze before its acknowledgement had passed.
    assert [command for command in commands if command != (b"1", True)] == [
        (b"1", False),
        (b"2", True),
        (b"3", False),
    ]
    sender.link.close()


def test_a_broker_without_subscription_identifiers_gets_commands_at_qos_0() -> None:
    """It need not store them for a box that is away: MQTT 5.0, 4.1."""
    subscribe: list[bytes] = []

    has_subscribed = threading.Event()

    def serve(stream: socket.socket) -> None:
        splitter = MqttPacketSplitter()
        while not subscribe:
            for first, body in splitter.feed(receive(stream)):
                if first >> 4 == SUBSCRIBE:
                    subscribe.append(body)
                else:
                    stream.sendall(CONNACK_WITHOUT_SUBSCRIPTION_IDS)
        has_subscribed.set()

    with LoopbackServer(serve) as server:
        url = f"mqtt://127.0.0.1:{server.port}"
        transport = PahoTransport(BrokerConfig(url=url), "pole-17", None)
        transport.connect()
        assert not transport.wait_for(Connack, 60).has_subscription_ids
        transport.subscribe(["ack"], ["command"], subscription_id=7)
        assert has_subscribed.wait(60)
        transport.abort()
    (body,) = subscribe
    packet_id, properties, filters = body[:2], body[2:3], body[3:]
    assert packet_id
    assert properties == b"\0"
    assert filters == b"\0\x03ack\x01\0\x07command\x08"
