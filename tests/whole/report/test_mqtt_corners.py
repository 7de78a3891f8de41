"""Corners of MQTT 5 that a broker may use against a box: sessions taken over, topic aliases, reason codes, packets out
of order, malformed packets, and more than was asked for.

Receive Maximum 1 is in test_mqtt_session.py, Maximum Packet Size and Maximum QoS in test_broker_limits.py, forged and
kept commands in tests/whole/test_hostile_broker.py.
"""

import itertools
from functools import partial
from pathlib import Path

import msgspec
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.base.model import IncomingCommand
from agent.config.broker import BrokerConfig
from agent.reporting import topics
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.packets import Connack, Suback
from agent.reporting.mqtt.paho_transport import MAX_RECEIVED_BYTES, PahoTransport
from agent.reporting.mqtt.send_window import RESEND_AFTER_S
from tests.whole.report import raw_broker
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK, make_event
from tests.whole.report.mqtt_packets import PUBACK, PUBLISH
from tests.whole.report.raw_broker import RawBroker, connack, packet, puback, publish
from tests.whole.report.reporting_box import (
    CentreListener,
    ReportingBox,
    take_over,
    wait_until,
)
from tests.whole.report.test_mqtt_session import HookedClock

COMMAND_TOPIC = topics.down_topic("pole-17", "command/ptz")
TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM = b"\x23", b"\x22"
"""MQTT 5.0, 2.2.2.2; each has two bytes."""


def settled_by_broker(broker: RawBroker) -> BrokerConfig:
    return msgspec.structs.replace(broker.config, ack="broker")


def put_events(box: ReportingBox, count: int) -> None:
    tickets = [box.outbox.put(make_event(number)) for number in range(count)]
    assert all(ticket.wait(60) for ticket in tickets)


def events(broker: RawBroker) -> list[bytes]:
    return [body for _, body in list(broker.published) if b"/up/event/" in body]


def taken_over(box: ReportingBox, session: int | None) -> bool:
    return box.session.online_session() not in (None, session)


def test_a_box_whose_session_is_taken_over_again_and_again_delivers_each_message(
    broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = BrokerConfig(url=broker.url, keepalive_s=5)
    with (
        CentreListener(config, tmp_path / "centre.db") as centre,
        ReportingBox(config, tmp_path) as box,
    ):
        for turn in range(5):
            wait_until(lambda: box.session.health().connected)
            session = box.session.online_session()
            for number in range(25 * turn, min(25 * turn + 25, 100)):
                box.outbox.put(make_event(number))
            rival = take_over(config, "pole-17")
            wait_until(partial(taken_over, box, session))
            rival.abort()
            if turn == 3:
                centre.wait_for(lambda: set(centre.event_numbers()) == set(range(100)))
                wait_until(lambda: box.outbox.depth == 0)
    # While it sends, a reset may come before the reason. In the last turn it sends nothing.
    assert "the broker says: Session taken over" in caplog.text


@pytest.mark.parametrize(
    "allowance", [b"", TOPIC_ALIAS_MAXIMUM + b"\0\0", TOPIC_ALIAS_MAXIMUM + b"\0\x0a"]
)
def test_a_box_neither_uses_nor_permits_topic_aliases(tmp_path: Path, allowance: bytes) -> None:
    with RawBroker(greeting=connack(properties=allowance)) as broker:
        with ReportingBox(settled_by_broker(broker), tmp_path) as box:
            put_events(box, 5)
            wait_until(lambda: box.outbox.depth == 0)
        assert len(events(broker)) == 5
        for _, body in broker.published:
            length = int.from_bytes(body[:2], "big")
            assert body[2 : 2 + length].startswith(b"vigie/v1/pole-17/up/")
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.unpack(body[2 + length + 2 :])  # type: ignore[no-untyped-call]
            assert not hasattr(properties, "TopicAlias")
        (connect,) = broker.connects
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.unpack(connect[10:])  # type: ignore[no-untyped-call]
        assert not hasattr(properties, "TopicAliasMaximum")


PUBACK_CODES = (0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)


def test_messages_that_the_broker_refuses_stay_in_the_outbox(tmp_path: Path) -> None:
    codes = itertools.cycle(PUBACK_CODES)
    with (
        RawBroker(answer=lambda mid: puback(mid, next(codes))) as broker,
        ReportingBox(settled_by_broker(broker), tmp_path) as box,
    ):
        put_events(box, 20)
        wait_until(lambda: len(events(broker)) == 20)
        assert "the broker refuses a publication" in box.wait_for_fault("NET-02")
        assert box.outbox.depth == 20
        assert box.session.health().connected


class MoodyBroker(RawBroker):
    """Refuses publications while `refuses` is True."""

    def __init__(self) -> None:
        super().__init__(answer=lambda mid: puback(mid, 0x97 if self.refuses else 0))
        self.refuses = False


def settle(box: ReportingBox) -> None:
    """Send an event, and wait until the broker has answered it and all that was sent before."""
    put_events(box, 1)
    wait_until(lambda: box.outbox.depth == 0)


def test_the_fault_of_a_refused_message_ends_once_the_broker_has_taken_it(tmp_path: Path) -> None:
    ahead_ns = 0
    clock = HookedClock(lambda: CLOCK.boottime_ns() + ahead_ns)
    with (
        MoodyBroker() as broker,
        ReportingBox(settled_by_broker(broker), tmp_path, clock=clock) as box,
    ):
        settle(box)
        broker.refuses = True
        put_events(box, 1)
        assert "the broker refuses a publication" in box.wait_for_fault("NET-02")
        broker.refuses = False
        ahead_ns = int(RESEND_AFTER_S * 1e9)
        box.session.wake()
        wait_until(lambda: box.outbox.depth == 0)
        wait_until(lambda: not box.faults.active())
        assert len(broker.connects) == 1


def test_the_fault_of_a_refused_report_ends_once_the_broker_has_taken_one_of_its_topic(
    tmp_path: Path,
) -> None:
    with (
        MoodyBroker() as broker,
        ReportingBox(settled_by_broker(broker), tmp_path) as box,
    ):
        settle(box)
        broker.refuses = True
        box.session.request_reports()
        box.wait_for_fault("NET-02")
        broker.refuses = False
        settle(box)
        assert [fault.code for fault in box.faults.active()] == ["NET-02"]
        box.session.request_reports()
        wait_until(lambda: not box.faults.active())
        assert len(broker.connects) == 1


class ReversedPairs:
    """Answers each second message before the one that came before it, each twice, and one that was never sent."""

    def __init__(self) -> None:
        self._held: bytes | None = None

    def __call__(self, mid: bytes) -> bytes:
        held, self._held = self._held, mid
        if held is None:
            return puback(b"\xff\xf0")
        self._held = None
        return puback(mid) + puback(held) + puback(held) + puback(mid)


def test_acknowledgements_in_any_order_and_number_free_each_message_once(tmp_path: Path) -> None:
    with (
        RawBroker(answer=ReversedPairs()) as broker,
        ReportingBox(settled_by_broker(broker), tmp_path) as box,
    ):
        put_events(box, 60)
        # The last one may be waiting for its pair.
        wait_until(lambda: box.outbox.depth <= 1)
        assert len(events(broker)) == len(set(events(broker))) == 60
        assert box.outbox.counts().refused_acks == 0


CONNACK_CODES = [*range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, *range(0x9A, 0xA0)]


def test_each_refusal_of_a_connection_is_one_fault(tmp_path: Path) -> None:
    for code in (*CONNACK_CODES, 0x55):
        with (
            RawBroker(greeting=connack(code)) as broker,
            ReportingBox(broker.config, tmp_path / f"{code}") as box,
        ):
            wait_until(box.faults.active)
            (fault,) = box.faults.active()
            assert (fault.code, fault.subject) in (("NET-01", "broker"), ("NET-02", "broker"))
            assert fault.detail.startswith("127.0.0.1:"), code
            assert "\n" not in fault.detail


def has_connected(broker: RawBroker, times: int) -> bool:
    return len(broker.connects) >= times


DISCONNECT_REASONS = {
    0x00: "Normal disconnection",
    0x82: "Protocol error",
    0x8B: "Server shutting down",
    0x8E: "Session taken over",
    0x93: "Receive maximum exceeded",
    0x94: "Topic alias invalid",
    0x95: "Packet too large",
    0x97: "Quota exceeded",
    0x9C: "Use another server",
    0x9D: "Server moved",
}


def test_a_box_that_is_sent_away_says_why_and_connects_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RawBroker() as broker, ReportingBox(settled_by_broker(broker), tmp_path) as box:
        for number, (code, reason) in enumerate(DISCONNECT_REASONS.items(), start=1):
            wait_until(lambda: box.session.health().connected)
            assert broker.send(raw_broker.disconnect(code))
            wait_until(partial(has_connected, broker, number + 1))
            assert f"the broker says: {reason}" in caplog.text
        put_events(box, 1)
        wait_until(lambda: box.outbox.depth == 0)


MALFORMED = {
    "an alias in the place of a topic": publish("", b"x", properties=TOPIC_ALIAS + b"\0\1"),
    "a topic with wildcards": publish("vigie/v1/+/down/#", b"x"),
    "a topic with a NUL": publish(COMMAND_TOPIC + "\0", b"x"),
    "a topic that is not UTF-8": publish(b"\xff\xfe", b"x"),
    "a topic of another box": publish(topics.down_topic("pole-18", "command/ptz"), b"x"),
    "a verb with levels": publish(COMMAND_TOPIC + "/x", b"x"),
    "a retained status of its own": publish("vigie/v1/pole-17/up/status", b"x", retained=True),
    "a topic longer than its packet": packet(PUBLISH << 4, b"\xff\xffabc"),
    "properties longer than their packet": packet(PUBLISH << 4, raw_broker.text("a") + b"\x7f"),
    "an unknown property": publish("a", b"x", properties=b"\x7e\0"),
    "a property twice": publish("a", b"x", properties=b"\1\1\1\1"),
    "a PUBLISH without a topic": packet(PUBLISH << 4, b""),
    "QoS 3": packet(PUBLISH << 4 | 6, raw_broker.text("a") + b"\0\1\0"),
    "a length of five bytes": b"\x30\xff\xff\xff\xff\x7f",
    "a PUBACK without an identifier": packet(PUBACK << 4, b""),
    "a PUBACK with an unknown code": packet(PUBACK << 4, b"\0\1\x55"),
    "a SUBACK without codes": packet(raw_broker.SUBACK << 4, b""),
    "a PUBREC": packet(0x50, b"\0\1"),
    "a PUBREL": packet(0x62, b"\0\1"),
    "a CONNECT": packet(raw_broker.CONNECT << 4, b""),
    "a CONNACK without a code": packet(raw_broker.CONNACK << 4, b""),
    "an AUTH": packet(0xF0, b"\0\0"),
    "a type that does not exist": packet(0, b""),
    "a DISCONNECT with an unknown code": raw_broker.disconnect(0x55),
}


def test_malformed_packets_execute_nothing_and_lose_nothing(tmp_path: Path) -> None:
    received: list[IncomingCommand] = []
    proofs: list[bytes] = []
    with RawBroker() as broker:
        box = ReportingBox(settled_by_broker(broker), tmp_path, on_command=received.append)
        with box:
            for number, (name, data) in enumerate(MALFORMED.items()):
                wait_until(lambda: broker.ready.is_set() and box.session.health().connected)
                connects, before = len(broker.connects), len(received)
                box.outbox.put(make_event(number))
                proofs.append(name.encode())
                broker.send(data + publish(COMMAND_TOPIC, proofs[-1]))

                def is_over(connects: int = connects, before: int = before) -> bool:
                    return len(broker.connects) > connects or len(received) > before

                wait_until(is_over)
            wait_until(lambda: box.outbox.depth == 0)
    # The dispatcher knows no other verb. A packet that ends its connection takes the command behind it along.
    executed = [command.payload for command in received if command.verb == "ptz"]
    assert set(executed) <= set(proofs)
    assert len(executed) == len(set(executed)) >= 5


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        # Nothing of the packet's rest has to arrive.
        (b"\x30" + raw_broker.varint(200_000_000), "a packet of 200000000 bytes; allowed: 262144"),
        (publish(COMMAND_TOPIC, bytes(MAX_RECEIVED_BYTES)), "allowed: 262144"),
        (publish(COMMAND_TOPIC, b"x", qos=2), "QoS 2; allowed: 0 or 1"),
    ],
    ids=["200 MB", "a byte too much", "QoS 2"],
)
def test_a_broker_that_sends_more_than_was_asked_for_is_left(data: bytes, reason: str) -> None:
    with RawBroker() as broker:
        transport = PahoTransport(broker.config, "pole-17", None)
        transport.connect()
        transport.wait_for(Connack, 60)
        transport.subscribe(["a"])
        transport.wait_for(Suback, 60)
        broker.send(data)
        with pytest.raises(MqttConnectionError, match=reason):
            transport.wait_for(Suback, 60)
        transport.abort()
