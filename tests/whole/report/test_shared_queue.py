"""Boxes with a backlog at a real mosquitto whose queue for the centre is short: it drops, and answers success."""

import socket
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from agent.config.broker import BrokerConfig
from tests.loopback_server import TcpProxy
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import make_event
from tests.whole.report.mqtt_packets import PUBLISH, MqttPacketSplitter
from tests.whole.report.reporting_box import CentreListener, ReportingBox, wait_until

BOXES, EVENTS = 5, 300
QUEUE = 100
"""The window of one box may grow to 256."""


class EventCounter(TcpProxy):
    """Counts the publications of events by its clients."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.events: Counter[socket.socket] = Counter()
        self._splitters: defaultdict[socket.socket, MqttPacketSplitter] = defaultdict(
            MqttPacketSplitter
        )

    def observe(self, data: bytes, client: socket.socket, *, is_from_client: bool) -> None:
        if is_from_client:
            packets = self._splitters[client].feed(data)
            self.events[client] += sum(
                first >> 4 == PUBLISH and b"/up/event/" in body for first, body in packets
            )


def test_boxes_that_share_a_queue_send_little_twice_and_lose_nothing(
    brokers: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    broker = brokers(config=f"allow_anonymous true\nmax_queued_messages {QUEUE}\n")
    with (
        EventCounter(broker.port) as proxy,
        CentreListener(BrokerConfig(url=broker.url), tmp_path / "centre.db") as centre,
        ExitStack() as running,
    ):
        boxes = [
            ReportingBox(BrokerConfig(url=proxy.url), tmp_path / name, box=name)
            for name in (f"pole-{number}" for number in range(BOXES))
        ]
        for box in boxes:
            for number in range(EVENTS):
                ticket = box.outbox.put(make_event(number))
            assert ticket.wait(60)
        for box in boxes:
            running.enter_context(box)
        wait_until(lambda: not any(box.outbox.depth for box in boxes))
        assert centre.store is not None
        assert centre.store.missing_ranges() == {}
        stored = {
            (item.envelope.box, item.envelope.seq)
            for item in centre.received
            if item.envelope and "/up/event/" in item.topic
        }
        assert len(stored) == BOXES * EVENTS
        assert all(box.outbox.counts().refused_acks == 0 for box in boxes)
        assert proxy.events.total() / (BOXES * EVENTS) < 1.2
