"""MQTT client that publishes what it is given, and receives what it is subscribed to."""

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from agent.config.broker import BrokerConfig
from agent.reporting.mqtt.packets import Puback, ReceivedPublish
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.reporting.mqtt.send_window import MIN_FAILURE_CODE
from centre.reconnecting_client import ReconnectingClient


class OutgoingPublish(msgspec.Struct, frozen=True, kw_only=True):
    """A message to publish at QoS 1. The broker drops it after `expiry_s`, if that is not None."""

    topic: str
    payload: bytes
    retained: bool = False
    expiry_s: int | None = None
    response_topic: str | None = None
    correlation: bytes | None = None


class Publisher(ReconnectingClient):
    """A stage that publishes messages in order, and calls `on_publish` with those received on its thread.

    A message without a PUBACK is published again after a reconnection; one that the broker refuses is not:
    `on_refused` is called with the reason. `send` is thread-safe.
    """

    name = "publisher"

    def __init__(
        self,
        broker: BrokerConfig,
        client_id: str,
        topic_filters: Sequence[str],
        on_publish: Callable[[ReceivedPublish], None],
        rng: random.Random,
        clock_ns: Callable[[], int],
        *,
        on_refused: Callable[[str], None] = lambda _: None,
        on_connection_change: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        super().__init__(
            broker,
            client_id,
            topic_filters,
            rng,
            clock_ns,
            on_connection_change=on_connection_change,
        )
        self._on_received = on_publish
        self._on_refused = on_refused
        self._outgoing: deque[OutgoingPublish] = deque()

    @property
    def has_unsent(self) -> bool:
        """True if the broker has not acknowledged every message. Thread-safe."""
        return bool(self._outgoing)

    def send(self, message: OutgoingPublish) -> None:
        """Enqueue a message. Never blocks."""
        self._outgoing.append(message)
        self._wake()

    def _on_publish(self, received: ReceivedPublish) -> None:
        self._on_received(received)

    def _on_puback(self, puback: Puback) -> None:
        message = self._outgoing.popleft()
        if puback.reason_code >= MIN_FAILURE_CODE:
            self._on_refused(f"the broker refuses {message.topic}: {puback.reason}")

    def _after_poll(self, transport: PahoTransport) -> None:
        while self._has_send_quota and self._in_flight < len(self._outgoing):
            message = self._outgoing[self._in_flight]
            transport.publish(
                message.topic,
                message.payload,
                retained=message.retained,
                expiry_s=message.expiry_s,
                response_topic=message.response_topic,
                correlation=message.correlation,
            )
            self._in_flight += 1


def run_until(
    publisher: Publisher, is_over: Callable[[], bool], timeout_s: float, clock_ns: Callable[[], int]
) -> bool:
    """Run a publisher on this thread until `is_over`. Return False if that takes longer than `timeout_s`."""
    stopping = threading.Event()
    deadline_ns = clock_ns() + round(timeout_s * 1e9)
    while not is_over():
        if clock_ns() >= deadline_ns:
            return False
        publisher.run_once(stopping)
    return True
