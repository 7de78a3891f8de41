"""MQTT client of the centre: receives messages of boxes, and can store and acknowledge them."""

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from agent.authority.signed_message import SigningIdentity
from agent.base.clock import rfc3339
from agent.base.json_decode import MalformedJson, decode_any_json
from agent.base.sha256 import sha256_hex
from agent.config.broker import BrokerConfig
from agent.reporting import centre_topics, topics
from agent.reporting.centre_payloads import CentreState, CentreStateName
from agent.reporting.mqtt.packets import ReceivedPublish, Will
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.reporting.payloads import (
    Envelope,
    Message,
    OnlineStatus,
    SnapshotHeader,
    StatusMessage,
)
from centre.ack_schedule import MAX_WAIT_S, AckSchedule
from centre.reconnecting_client import POLL_S, ReconnectingClient
from centre.signing import sign_ack, sign_centre_state
from centre.store import CentreStore, StoredArrival

DEFAULT_CENTRE = "centre"
"""Name of the only centre."""
ASSERT_INTERVAL_S = 600.0
MIN_ASSERT_INTERVAL_S = 2.0
"""Boxes that come back together, as after a restart of the broker, are answered together."""
_UNPRINTABLE = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""C1 controls, line separators and marks of direction: JSON may have them unescaped in a text."""


class ReceivedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A received message, decoded as far as possible.

    `message` is None if the topic is not a box's, or if the payload violates the contract: `problem`
    says how, and `envelope` may be readable even then. `received` is RFC 3339, by this machine's clock.
    `expiry_s` is what is left of its MQTT expiry.
    """

    topic: str
    retained: bool
    received: str
    payload: bytes
    properties: tuple[tuple[str, str], ...]
    envelope: Envelope | None
    message: Message | None
    problem: str | None
    expiry_s: int | None = None


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
        expiry_s=event.expiry_s,
    )


def to_json_line(item: ReceivedMessage) -> bytes:
    """Encode a message as JSON on one line, without characters that a terminal obeys; binary payloads as size
    and hash.
    """
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
        fields["sha256"] = sha256_hex(item.payload)
    else:
        try:
            decode_any_json(item.payload)
            fields["payload"] = msgspec.Raw(msgspec.json.format(item.payload, indent=-1))
        except MalformedJson:
            fields["payload"] = None
            fields["size_bytes"] = len(item.payload)
            fields["sha256"] = sha256_hex(item.payload)
    return encode_line(fields)


def encode_line(document: object) -> bytes:
    """Encode a document as JSON on one line, without characters that a terminal obeys."""
    line = msgspec.json.encode(document).decode()
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", line).encode()


class ActingCentre(msgspec.Struct, frozen=True, kw_only=True):
    """The centre that a client acts as: its name, and the store of its messages.

    With an `identity`, whose name is that of the centre, states and acknowledgements are signed.
    """

    store: CentreStore
    name: str = DEFAULT_CENTRE
    identity: SigningIdentity | None = None


class CentreClient(ReconnectingClient):
    """A stage that subscribes to one box or all, and calls `on_message` for each message.

    It may act as a centre: it publishes its state (retained, with a will), stores each message and then acknowledges
    it. It publishes its state again each ten minutes, after each birth, and if its topic has another state: the will of
    an earlier connection may come late. `on_connection_change`: see `ReconnectingClient`.
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
        centre: ActingCentre | None = None,
        on_connection_change: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        name, identity = (
            (DEFAULT_CENTRE, None) if centre is None else (centre.name, centre.identity)
        )
        state_topic = centre_topics.centre_state_topic(name)
        self._away_state = _encode_state("away", identity)
        self._listening_state = _encode_state("listening", identity)
        super().__init__(
            broker,
            f"vigie-{'centre' if centre else 'watch'}-{rng.getrandbits(32):08x}",
            [topics.up_topic(box or "+", "#"), centre_topics.CENTRE_STATE_FILTER],
            rng,
            clock_ns,
            will=Will(topic=state_topic, payload=self._away_state) if centre else None,
            on_connection_change=on_connection_change,
        )
        self._on_message = on_message
        self._centre = centre
        self._state_topic = state_topic
        self._asserted_s = 0.0
        self._is_assertion_due = False
        self._arrivals: list[StoredArrival] = []
        """Received by this poll; stored before they are acknowledged."""
        self._acks = AckSchedule()

    def _poll(self) -> None:
        # Those of a poll that failed were not acknowledged: their box sends them again.
        self._arrivals.clear()
        super()._poll()

    def _on_subscribed(self, transport: PahoTransport) -> None:
        if self._centre is not None:
            self._publish_listening(transport)

    def _on_publish(self, received: ReceivedPublish) -> None:
        item = decode_received(received, datetime.now(UTC))
        self._on_message(item)
        self._is_assertion_due |= self._calls_for_assertion(item)
        if item.envelope is not None:
            self._arrivals.append(_to_stored_arrival(item, item.envelope))

    def _after_poll(self, transport: PahoTransport) -> None:
        """Store what was received, and acknowledge as much as the broker accepts in flight."""
        centre = self._centre
        if centre is None:
            return
        self._publish_listening_if_due(transport)
        if self._arrivals:
            for arrival in centre.store.commit(self._arrivals, centre.name):
                self._acks.add(arrival.key, arrival.message, self._now_s())
        self._acknowledge(centre, transport, self._now_s())

    def _acknowledge(self, centre: ActingCentre, transport: PahoTransport, due_s: float) -> None:
        """Acknowledge what is due at `due_s`, as much as the broker accepts in flight."""
        while self._has_send_quota and (key := self._acks.pop_due(due_s)):
            ack = centre.store.deduplicator(key).build_ack()
            payload = (
                msgspec.json.encode(ack)
                if centre.identity is None
                else sign_ack(ack, key.box, centre.identity)
            )
            transport.publish(centre_topics.ack_topic(key.box, centre.name), payload)
            self._in_flight += 1

    def _publish_listening(self, transport: PahoTransport) -> None:
        transport.publish(self._state_topic, self._listening_state, retained=True)
        self._in_flight += 1
        self._asserted_s = self._now_s()
        self._is_assertion_due = False

    def _publish_listening_if_due(self, transport: PahoTransport) -> None:
        interval_s = MIN_ASSERT_INTERVAL_S if self._is_assertion_due else ASSERT_INTERVAL_S
        if self._now_s() - self._asserted_s >= interval_s and self._has_send_quota:
            self._publish_listening(transport)

    def _calls_for_assertion(self, item: ReceivedMessage) -> bool:
        """Return True after a birth, and if another state than `listening` is on this centre's topic."""
        if item.topic == self._state_topic:
            return item.payload != self._listening_state
        is_birth = isinstance(item.message, StatusMessage) and isinstance(
            item.message.data, OnlineStatus
        )
        return is_birth and not item.retained

    def _publish_last(self, transport: PahoTransport) -> None:
        """Acknowledge what waits, and publish that the centre is away."""
        if self._centre is not None:
            self._acknowledge(self._centre, transport, self._now_s() + MAX_WAIT_S)
            transport.publish(self._state_topic, self._away_state, retained=True)
            transport.poll(POLL_S)


def _encode_state(state: CentreStateName, identity: SigningIdentity | None) -> bytes:
    if identity is not None:
        return sign_centre_state(state, identity)
    return msgspec.json.encode(CentreState(state=state))


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
