"""agent.reporting.mqtt.connection: a broker with limits of its own, messages without a limit, and the content
types that docs/asyncapi.json states.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import msgspec
import numpy as np
import paho.mqtt.client as paho
import pytest

from agent.base.health_model import FlightSample, HealthReport, StageHealth
from agent.base.message import Message
from agent.base.sha256 import sha256_hex
from agent.capture.jpeg import encode_jpeg
from agent.capture.snapshot_command import SNAPSHOT_MAX_BYTES
from agent.config.configuration import BrokerConfig
from agent.reporting import outgoing_messages, topics
from agent.reporting.mqtt.packets import ReceivedPublish, Suback
from agent.reporting.mqtt.paho_transport import MAX_RECEIVED_BYTES
from agent.reporting.outgoing_messages import build_snapshot_message
from agent.reporting.payloads import HealthMessage, ReceiptMessage, Restarted, SnapshotHeader
from tests.loopback_server import TcpProxy
from tests.whole.demo_values import make_health_report
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK, make_event
from tests.whole.report.reporting_box import BareClient, CentreListener, ReportingBox, wait_until

LIMITS = "allow_anonymous true\n"


RESTARTED = Restarted(
    cause="power_cut",
    detail="the board reports a power-on",
    new_boot=True,
    boot_before="b315249b-0ed7-4d01-a635-1d19fbf29cf1",
    last_seen="2026-11-03T07:39:58.113Z",
    last_sample=FlightSample(t_ns=1),
    flight="a" * 24_000,
)
MessageT = TypeVar("MessageT")


def messages(centre: CentreListener, message_type: type[MessageT]) -> list[MessageT]:
    return [m.message for m in list(centre.received) if isinstance(m.message, message_type)]


def config(broker: Mosquitto | TcpProxy) -> BrokerConfig:
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


def noisy_jpeg(max_bytes: int) -> bytes:
    """A picture in which nothing can be left out: the larger it is, the less fits."""
    noise = np.random.default_rng(1).integers(0, 256, (90, 160, 3), np.uint8)
    image = cv2.resize(noise, (1280, 720), interpolation=cv2.INTER_CUBIC)
    return encode_jpeg(np.asarray(image, np.uint8), max_bytes)


def large_report() -> HealthReport:
    report = make_health_report()
    return msgspec.structs.replace(
        report,
        stages=tuple(
            StageHealth(
                name=f"stage {number}",
                state="running",
                heartbeat_age_s=0.1,
                failures=0,
                last_error=None,
            )
            for number in range(300)
        ),
        cameras=report.cameras * 50,
    )


@pytest.mark.parametrize(
    ("max_packet_bytes", "omitted"),
    [
        (2_000, ("stages", "detectors", "footage", "cameras")),
        (20_000, ("stages",)),
        (200_000, ()),
    ],
)
def test_pictures_health_and_a_restart_are_made_small_enough_for_the_broker(
    brokers: Callable[..., Mosquitto],
    tmp_path: Path,
    max_packet_bytes: int,
    omitted: tuple[str, ...],
) -> None:
    broker = brokers(config=LIMITS + f"max_packet_size {max_packet_bytes}\n")
    still, requested = noisy_jpeg(20_000), noisy_jpeg(SNAPSHOT_MAX_BYTES)
    assert len(requested) > 60_000
    with (
        CentreListener(config(broker), tmp_path / "centre.db") as centre,
        ReportingBox(config(broker), tmp_path) as box,
    ):
        box.outbox.put(build_snapshot_message("north", still, 1, event_id="event-1"))
        box.outbox.put(
            build_snapshot_message(
                "north", requested, 1, event_id=None, max_bytes=SNAPSHOT_MAX_BYTES
            )
        )
        box.outbox.put(outgoing_messages.build_receipt_message(RESTARTED, 1))
        assert box.outbox.put(make_event(1)).wait(60)
        box.session.unstored.put(
            outgoing_messages.build_health_message(large_report(), CLOCK.boottime_ns(), 600)
        )
        wait_until(lambda: box.outbox.depth == 0)
        centre.wait_for(lambda: len(messages(centre, HealthMessage)) == 1)
        assert centre.event_numbers() == [1]
        assert box.faults.active() == ()
        assert {birth.session for birth in centre.births()} == {1}
    (health,) = messages(centre, HealthMessage)
    assert health.data.omitted == omitted
    (restart,) = messages(centre, ReceiptMessage)
    assert isinstance(restart.data, Restarted)
    assert restart.data.cause == "power_cut"
    assert (restart.data.flight is None) == (max_packet_bytes < len(RESTARTED.flight or ""))
    pictures = [item for item in centre.received if isinstance(item.message, SnapshotHeader)]
    for item, original in zip(pictures, (still, requested), strict=True):
        assert isinstance(item.message, SnapshotHeader)
        header = item.message.data
        assert (header.sha256, header.size_bytes) == (sha256_hex(item.payload), len(item.payload))
        is_smaller = len(item.payload) < len(original)
        assert header.original_sha256 == (sha256_hex(original) if is_smaller else None)
        image = cv2.imdecode(np.frombuffer(item.payload, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape[1] >= 64
    sizes = [len(item.payload) for item in pictures]
    assert max(sizes) <= max_packet_bytes
    # As large as the broker allows, but for the envelope and a step of the quality.
    assert sizes[1] > max_packet_bytes / 4 or sizes[1] == len(requested)


def test_a_birth_that_is_too_large_names_what_it_omits(
    brokers: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    broker = brokers(config=LIMITS + "max_packet_size 1200\n")
    with (
        CentreListener(config(broker)) as watcher,
        TcpProxy(broker.port) as proxy,
        ReportingBox(config(proxy), tmp_path) as box,
    ):
        watcher.wait_for(watcher.births)
        for number in range(20):
            box.faults.raise_fault("CAM-01", f"camera {number}", Message("not there"))
        proxy.cut_connections()
        watcher.wait_for(lambda: len(watcher.births()) == 2)
    (first, second) = watcher.births()
    assert (first.versions, first.omitted) == ({"vigie": "0.1.0"}, ())
    assert (second.faults, second.omitted) == ((), ("versions", "faults"))


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
        assert arrived.wait(60)
    integrator.loop_stop()
    integrator.disconnect()
    assert seen == {
        "status": ("application/json", 1),
        "declaration": ("application/json", 1),
        "event": ("application/json", 1),
        "snapshot": ("image/jpeg", 0),
    }
