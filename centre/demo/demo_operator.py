"""The demo's operators: publish commands over MQTT and receive the replies."""

import random
import threading
import uuid
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.base.model import Reply
from agent.config.configuration import BrokerConfig
from agent.reporting import topics
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.paho_transport import (
    Connack,
    PahoTransport,
    Puback,
    ReceivedPublish,
    Suback,
)
from agent.reporting.payloads import ReplyMessage
from centre.demo.ptz_script import Person

POLL_S = 0.5
RETRY_S = 1.0
COMMAND_TTL_S = 20.0


class _QueuedCommand(msgspec.Struct, frozen=True, kw_only=True):
    verb: str
    payload: bytes
    response_topic: str
    correlation: bytes


class DemoOperator:
    """A stage that sends commands and calls `on_reply` on its thread. `send` is thread-safe."""

    name = "demo operator"

    def __init__(
        self,
        broker: BrokerConfig,
        box: str,
        on_reply: Callable[[Reply], None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._broker = broker
        self._box = box
        self._on_reply = on_reply
        self._clock = clock
        self._rng = rng
        self._client_id = f"demo-operator-{rng.getrandbits(32):08x}"
        self._outgoing: deque[_QueuedCommand] = deque()
        """Commands without a PUBACK, in order. After a reconnection they are sent again: the box
        recognises a repeat by its id."""
        self._in_flight = 0
        """How many of them were published on this connection."""
        self._transport: PahoTransport | None = None
        self.online = threading.Event()
        """Set while it is subscribed to the replies."""

    def send(self, person: Person, verb: str, args: dict[str, Any]) -> str:
        """Enqueue a command in a person's name. Return its id, which its replies carry."""
        command_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        expires = self._clock.utc(self._clock.boottime_ns()) + timedelta(seconds=COMMAND_TTL_S)
        payload = {
            "id": command_id,
            "expires": rfc3339(expires),
            "by": person.name,
            "role": person.role,
            "args": args,
        }
        self._outgoing.append(
            _QueuedCommand(
                verb=verb,
                payload=msgspec.json.encode(payload),
                response_topic=topics.up_topic(self._box, f"reply/{person.name}"),
                correlation=command_id.encode(),
            )
        )
        transport = self._transport
        if transport is not None:
            transport.wake()
        return command_id

    def run_once(self, stopping: threading.Event) -> None:
        """Connect, or send queued commands and receive replies for `POLL_S` seconds."""
        try:
            transport = self._transport or self._connect()
            if self.online.is_set():
                self._send_all(transport)
            for event in transport.poll(POLL_S):
                match event:
                    case Connack():
                        transport.subscribe([topics.up_topic(self._box, "reply/#")])
                    case Suback():
                        self.online.set()
                    case Puback():
                        self._outgoing.popleft()
                        self._in_flight -= 1
                    case ReceivedPublish():
                        self._handle_reply(event)
        except MqttConnectionError:
            self._abandon()
            stopping.wait(RETRY_S)

    def close(self) -> None:
        """Disconnect."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def _connect(self) -> PahoTransport:
        transport = self._transport = PahoTransport(self._broker, self._client_id, None)
        transport.connect()
        return transport

    def _send_all(self, transport: PahoTransport) -> None:
        for queued in list(self._outgoing)[self._in_flight :]:
            transport.publish(
                topics.down_topic(self._box, f"command/{queued.verb}"),
                queued.payload,
                expiry_s=int(COMMAND_TTL_S),
                response_topic=queued.response_topic,
                correlation=queued.correlation,
            )
            self._in_flight += 1

    def _handle_reply(self, event: ReceivedPublish) -> None:
        message = topics.decode_as(ReplyMessage, event.payload)
        if message is not None:
            self._on_reply(message.data)

    def _abandon(self) -> None:
        self.online.clear()
        self._in_flight = 0
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
