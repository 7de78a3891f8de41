"""MQTT client that connects again after each failure: one stage for the centre and the demo's operators."""

import logging
import random
import threading
from collections.abc import Callable, Sequence

from agent.base.errors import UserError
from agent.config.broker import BrokerConfig
from agent.reporting.mqtt import tls
from agent.reporting.mqtt.backoff import ReconnectBackoff
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.connection import ANSWER_TIMEOUT_S
from agent.reporting.mqtt.packets import (
    Connack,
    Puback,
    ReceivedPublish,
    Suback,
    TransportEvent,
    Will,
)
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.reporting.mqtt.send_window import MAX_IN_FLIGHT
from agent.runtime.pause import Pause

log = logging.getLogger(__name__)

POLL_S = 0.5
MAX_RECEIVED_BYTES = 16_777_216
"""A picture of a box has some hundred kB; the broker drops what is larger than this."""


class ReconnectingClient:
    """A stage that subscribes to `topic_filters`, and again after each failure of the connection.

    A subclass overrides the hooks that it needs. An exception of a hook ends the connection and is
    raised.
    `on_connection_change` is called with None once it is subscribed, else with the error.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        client_id: str,
        topic_filters: Sequence[str],
        rng: random.Random,
        clock_ns: Callable[[], int],
        *,
        will: Will | None = None,
        on_connection_change: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        """Raise UserError if a file of the broker's configuration cannot be read."""
        tls.load_ssl_context(broker)
        tls.read_password(broker)
        self._broker = broker
        self._client_id = client_id
        self._topic_filters = topic_filters
        self._clock_ns = clock_ns
        self._will = will
        self._on_connection_change = on_connection_change
        self._backoff = ReconnectBackoff(rng)
        self._connect_pause = Pause()
        self._transport: PahoTransport | None = None
        self._connect_sent_s = 0.0
        self._connected_since_s: float | None = None
        self._in_flight = 0
        """Messages without a PUBACK on this connection."""
        self._max_in_flight = MAX_IN_FLIGHT
        self.online = threading.Event()
        """Set as long as it is subscribed."""
        self.is_refused = False
        """True if the newest attempt was refused, by the broker or its certificate: another one fails the same way."""

    def run_once(self, stopping: threading.Event) -> None:
        """Connect, or receive messages for `POLL_S` seconds. Raises: what a handler raises."""
        if self._transport is None:
            wait_s = self._connect_pause.remaining_s(self._clock_ns())
            if wait_s > 0:
                stopping.wait(min(wait_s, POLL_S))
                return
        try:
            self._poll()
        except (MqttConnectionError, UserError) as error:
            self.is_refused = isinstance(error, UserError) or error.kind != "unreachable"
            self._on_connection_change(str(error))
            self._abandon()
        except BaseException:
            self._abandon()
            raise

    def close(self) -> None:
        """Send the last messages, and disconnect."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        try:
            if self.online.is_set():
                self._publish_last(transport)
            transport.close()
        except MqttConnectionError as error:
            log.info("the broker closed the connection first: %s", error)
            transport.abort()
        self.online.clear()

    def _on_publish(self, received: ReceivedPublish) -> None:
        """Handle a received message."""

    def _after_poll(self, transport: PahoTransport) -> None:
        """Publish what is due, after the received messages were handled."""

    def _on_subscribed(self, transport: PahoTransport) -> None:
        """Publish the first messages of a connection."""

    def _on_puback(self, puback: Puback) -> None:
        """Forget the oldest message in flight, which the broker took or refused."""

    def _publish_last(self, transport: PahoTransport) -> None:
        """Publish before the disconnection. Raises: MqttConnectionError."""

    @property
    def _has_send_quota(self) -> bool:
        """True if the broker accepts one more message in flight."""
        return self.online.is_set() and self._in_flight < self._max_in_flight

    def _wake(self) -> None:
        """End the wait for the network, so that `_after_poll` is called. Thread-safe."""
        transport = self._transport
        if transport is not None:
            transport.wake()

    def _poll(self) -> None:
        transport = self._transport
        if transport is None:
            transport = self._transport = PahoTransport(
                self._broker, self._client_id, self._will, MAX_RECEIVED_BYTES
            )
            self._connected_since_s = None
            self._in_flight = 0
            transport.connect()
            self._connect_sent_s = self._now_s()
        for event in transport.poll(POLL_S):
            self._handle(transport, event)
        if not self.online.is_set() and self._now_s() - self._connect_sent_s >= ANSWER_TIMEOUT_S:
            raise MqttConnectionError(
                "unreachable", f"{self._broker.url}: no answer in {ANSWER_TIMEOUT_S:g} s"
            )
        self._after_poll(transport)

    def _handle(self, transport: PahoTransport, event: TransportEvent) -> None:
        match event:
            case Connack():
                self._connected_since_s = self._now_s()
                self._max_in_flight = min(MAX_IN_FLIGHT, event.receive_maximum)
                transport.subscribe(self._topic_filters)
            case Suback():
                if event.failure_reason is not None:
                    raise MqttConnectionError(
                        "refused",
                        f"{self._broker.url}: the broker refuses the subscription: {event.failure_reason}",
                    )
                self._on_subscribed(transport)
                self._on_connection_change(None)
                self.online.set()
            case Puback():
                self._in_flight -= 1
                self._on_puback(event)
            case ReceivedPublish():
                self._on_publish(event)

    def _abandon(self) -> None:
        self.online.clear()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        connected_s = (
            0.0 if self._connected_since_s is None else self._now_s() - self._connected_since_s
        )
        self._connect_pause.begin(self._clock_ns(), self._backoff.next_delay_s(connected_s))

    def _now_s(self) -> float:
        return self._clock_ns() / 1e9
