"""MQTT client of the centre: receives messages of boxes, and can store and acknowledge them."""

import logging
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from agent.base.clock import rfc3339
from agent.base.errors import UserError
from agent.config.configuration import BrokerConfig
from agent.reporting import topics
from agent.reporting.mqtt import tls
from agent.reporting.mqtt.backoff import ReconnectBackoff
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.paho_transport import (
    Connack,
    PahoTransport,
    Puback,
    ReceivedPublish,
    Suback,
    TransportEvent,
    Will,
)
from agent.reporting.mqtt.send_window import MAX_IN_FLIGHT
from agent.reporting.payloads import CentreState, Envelope, Message, SnapshotHeader
from centre.store import BoxEpoch, CentreStore, StoredArrival

log = logging.getLogger(__name__)

POLL_S = 0.5
_AWAY_STATE = msgspec.json.encode(CentreState(state="away"))
_LISTENING_STATE = msgspec.json.encode(CentreState(state="listening"))


class ReceivedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A received message, decoded as far as possible.

    `message` is None if the topic is not a box's, or if the payload violates the contract: `problem`
    says how, and `envelope` may be readable even then. `received` is RFC 3339, by this machine's clock.
    """

    topic: str
    retained: bool
    received: str
    payload: bytes
    properties: tuple[tuple[str, str], ...]
    envelope: Envelope | None
    message: Message | None
    problem: str | None


def decode_received(event: ReceivedPublish, now: datetime) -> ReceivedMessage:
    """Decode a message as far as possible."""
    topic = topics.parse_up_topic(event.topic)
    envelope: Envelope | None = None
    message: Message | None = None
    problem: str | None = None
    if topic is not None:
        properties = dict(event.properties)
        envelope = topics.decode_envelope(topic, event.payload, properties)
        try:
            message = topics.decode(topic, event.payload, properties)
        except ValueError as error:
            problem = str(error)
    return ReceivedMessage(
        topic=event.topic,
        retained=event.retained,
        received=rfc3339(now),
        payload=event.payload,
        properties=event.properties,
        envelope=envelope,
        message=message,
        problem=problem,
    )


def to_json_line(item: ReceivedMessage) -> bytes:
    """Encode a message as JSON without a newline; binary payloads as size and hash."""
    fields: dict[str, object] = {
        "topic": item.topic,
        "retained": item.retained,
        "received": item.received,
    }
    if item.problem is not None:
        fields["problem"] = item.problem
    if isinstance(item.message, SnapshotHeader):
        fields["payload"] = item.message
        fields["size_bytes"] = len(item.payload)
        fields["sha256"] = topics.sha256_hex(item.payload)
    else:
        try:
            msgspec.json.decode(item.payload)
            fields["payload"] = msgspec.Raw(item.payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            fields["payload"] = None
            fields["size_bytes"] = len(item.payload)
            fields["sha256"] = topics.sha256_hex(item.payload)
    return msgspec.json.encode(fields)


class CentreClient:
    """A stage that subscribes to one box or all, and calls `on_message` for each message.

    With a `store` it acts as the centre: it publishes its state (retained, with a will), stores each
    message and then acknowledges it. It reconnects if the connection is lost.
    `on_connection_change` is called with None once it is subscribed, else with the error.
    """

    name = "watch"

    def __init__(
        self,
        broker: BrokerConfig,
        on_message: Callable[[ReceivedMessage], None],
        rng: random.Random,
        clock_ns: Callable[[], int],
        *,
        box: str | None = None,
        store: CentreStore | None = None,
        on_connection_change: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        tls.load_ssl_context(broker)
        tls.read_password(broker)
        self._broker = broker
        self._on_message = on_message
        self._clock_ns = clock_ns
        self._box = box or "+"
        self._store = store
        self._on_connection_change = on_connection_change
        self._client_id = f"vigie-{'centre' if store else 'watch'}-{rng.getrandbits(32):08x}"
        self._backoff = ReconnectBackoff(rng)
        self._retry_s = 0.0
        self._transport: PahoTransport | None = None
        self._connected_since_s: float | None = None
        self._in_flight = 0
        self._max_in_flight = MAX_IN_FLIGHT
        self._to_ack: dict[BoxEpoch, None] = {}
        self.online = threading.Event()
        """Set as long as it is subscribed."""

    def run_once(self, stopping: threading.Event) -> None:
        """Connect, or receive messages for `POLL_S` seconds. Raises: what `on_message` raises."""
        if self._transport is None:
            wait_s = self._retry_s - self._now_s()
            if wait_s > 0:
                stopping.wait(min(wait_s, POLL_S))
                return
        try:
            self._poll()
        except (MqttConnectionError, UserError) as error:
            self._on_connection_change(str(error))
            self._abandon()
        except BaseException:
            self._abandon()
            raise

    def close(self) -> None:
        """Disconnect. A centre publishes first that it is away."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        try:
            if self._store is not None and self.online.is_set():
                transport.publish(topics.CENTRE_STATE_TOPIC, _AWAY_STATE, retained=True)
                transport.poll(POLL_S)
            transport.close()
        except MqttConnectionError as error:
            log.info("the broker closed the connection first: %s", error)
            transport.abort()
        self.online.clear()

    def _poll(self) -> None:
        transport = self._transport
        if transport is None:
            will = (
                Will(topic=topics.CENTRE_STATE_TOPIC, payload=_AWAY_STATE) if self._store else None
            )
            transport = self._transport = PahoTransport(self._broker, self._client_id, will)
            self._connected_since_s = None
            self._in_flight = 0
            transport.connect()
        arrivals: list[StoredArrival] = []
        for event in transport.poll(POLL_S):
            self._handle(transport, event, arrivals)
        if self._store is not None:
            for key in self._store.commit(arrivals) if arrivals else ():
                self._to_ack[key] = None
            self._acknowledge(transport, self._store)

    def _handle(
        self, transport: PahoTransport, event: TransportEvent, arrivals: list[StoredArrival]
    ) -> None:
        match event:
            case Connack():
                self._connected_since_s = self._now_s()
                self._max_in_flight = min(MAX_IN_FLIGHT, event.receive_maximum)
                transport.subscribe([topics.up_topic(self._box, "#"), topics.CENTRE_STATE_TOPIC])
            case Suback():
                if event.failure_reason is not None:
                    raise MqttConnectionError(
                        "refused", f"the broker refuses the subscription: {event.failure_reason}"
                    )
                if self._store is not None:
                    transport.publish(topics.CENTRE_STATE_TOPIC, _LISTENING_STATE, retained=True)
                    self._in_flight += 1
                self._on_connection_change(None)
                self.online.set()
            case Puback():
                self._in_flight -= 1
            case ReceivedPublish():
                item = decode_received(event, datetime.now(UTC))
                self._on_message(item)
                if item.envelope is not None:
                    arrivals.append(_to_stored_arrival(item, item.envelope))

    def _acknowledge(self, transport: PahoTransport, store: CentreStore) -> None:
        """Publish acknowledgements, at most as many as the broker accepts in flight."""
        while self._to_ack and self._in_flight < self._max_in_flight:
            key = next(iter(self._to_ack))
            del self._to_ack[key]
            ack = store.deduplicator(key).build_ack()
            transport.publish(topics.down_topic(key.box, "ack"), msgspec.json.encode(ack))
            self._in_flight += 1

    def _abandon(self) -> None:
        self.online.clear()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        connected_s = (
            0.0 if self._connected_since_s is None else self._now_s() - self._connected_since_s
        )
        self._retry_s = self._now_s() + self._backoff.next_delay_s(connected_s)

    def _now_s(self) -> float:
        return self._clock_ns() / 1e9


def _to_stored_arrival(item: ReceivedMessage, envelope: Envelope) -> StoredArrival:
    properties_json = None
    if item.properties:
        properties_json = msgspec.json.encode(dict(item.properties)).decode()
    return StoredArrival(
        topic=item.topic,
        received=item.received,
        envelope=envelope,
        message=item.message,
        payload=item.payload,
        properties_json=properties_json,
    )
