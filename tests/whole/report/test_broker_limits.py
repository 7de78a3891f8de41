"""agent.reporting.mqtt.connection: a broker with limits of its own, messages without a limit, and the content
types that docs/asyncapi.json states.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho

from agent.config.configuration import BrokerConfig
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish, Suback
from agent.reporting.mqtt.paho_transport import MAX_RECEIVED_BYTES
from agent.reporting.topics import build_snapshot_message
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import make_event
from tests.whole.report.reporting_box import BareClient, CentreListener, ReportingBox, wait_until

LIMITS = "allow_anonymous true\n"


def config(broker: Mosquitto) -> BrokerConfig:
    return BrokerConfig(url=broker.url, keepalive_s=5)


def test_what_fits_arrives_at_a_broker_with_small_packets_and_the_rest_waits_with_a_fault(
    brokers: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    broker = brokers(config=LIMITS + "max_packet_size 2000\n")
    with (
        CentreListener(config(broker), tmp_path / "centre.db") as centre,
        ReportingBox(config(broker), tmp_path) as box,
    ):
        box.outbox.put(build_snapshot_message("north", os.urandom(20_000), 1, event_id=None))
        for number in range(50):
            box.outbox.put(make_event(number))
        centre.wait_for(lambda: len(centre.event_numbers()) >= 50)
        wait_until(lambda: box.outbox.depth == 1)
        assert "the broker takes 2000" in box.wait_for_fault("NET-02")
        assert box.session.health().connected
        assert centre.status_names() == ["OnlineStatus"]
    # A broker without the limit takes what has waited.
    other = brokers()
    with (
        CentreListener(config(other), tmp_path / "centre2.db") as centre,
        ReportingBox(config(other), tmp_path) as box,
    ):
        centre.wait_for(lambda: any("/snapshot/" in item.topic for item in centre.received))
        wait_until(lambda: box.outbox.depth == 0)


def test_a_broker_that_takes_no_retained_will_is_a_fault_that_says_so(
    brokers: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    broker = brokers(config=LIMITS + "retain_available false\n")
    with ReportingBox(config(broker), tmp_path) as box:
        assert "Retain not supported" in box.wait_for_fault("NET-02")


def test_a_broker_that_acknowledges_nothing_is_a_fault_that_says_so(
    brokers: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    broker = brokers(config="listener 8883\nmax_qos 0\n" + LIMITS)
    with ReportingBox(config(broker), tmp_path) as box:
        detail = box.wait_for_fault("NET-02")
        assert "QoS" in detail


def test_a_message_larger_than_any_command_does_not_reach_the_box(
    brokers: Callable[..., Mosquitto],
) -> None:
    broker = brokers()
    topic = topics.down_topic("pole-17", "command/ptz")
    box = BareClient(config(broker), "pole-17", MAX_RECEIVED_BYTES)
    box.link.subscribe([topic])
    box.wait_for(Suback)
    sender = BareClient(config(broker), "sender")
    sender.publish(topic, bytes(MAX_RECEIVED_BYTES))
    sender.publish(topic, b"small")
    received = box.wait_for(ReceivedPublish)
    assert isinstance(received, ReceivedPublish)
    assert received.payload == b"small"
    sender.link.close()
    box.link.close()


def test_each_message_names_its_content_type(broker: Mosquitto, tmp_path: Path) -> None:
    seen: dict[str, tuple[str, int]] = {}
    arrived = threading.Event()

    def note(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        properties = message.properties
        assert properties is not None
        kind = message.topic.split("/")[4]
        seen[kind] = (properties.ContentType, properties.PayloadFormatIndicator)
        if {"status", "event", "snapshot"} <= set(seen):
            arrived.set()

    integrator = paho.Client(
        paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTProtocolVersion.MQTTv5
    )
    integrator.on_message = note
    integrator.connect("127.0.0.1", broker.port)
    integrator.subscribe("vigie/v1/+/up/#")
    integrator.loop_start()
    with ReportingBox(config(broker), tmp_path) as box:
        box.outbox.put(build_snapshot_message("north", b"\xff\xd8jpeg", 1, event_id=None))
        box.outbox.put(make_event(1))
        assert arrived.wait(30)
    integrator.loop_stop()
    integrator.disconnect()
    assert seen == {
        "status": ("application/json", 1),
        "declaration": ("application/json", 1),
        "event": ("application/json", 1),
        "snapshot": ("image/jpeg", 0),
    }
