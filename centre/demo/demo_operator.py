"""The demo's operators: publish commands over MQTT and receive the replies."""

import random
import uuid
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.base.model import Reply
from agent.config.broker import BrokerConfig
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.reporting.payloads import ReplyMessage
from centre.demo.ptz_script import Person
from centre.reconnecting_client import ReconnectingClient

COMMAND_TTL_S = 20.0


class _QueuedCommand(msgspec.Struct, frozen=True, kw_only=True):
    verb: str
    payload: bytes
    response_topic: str
    correlation: bytes


class DemoOperator(ReconnectingClient):
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
        super().__init__(
            broker,
            f"demo-operator-{rng.getrandbits(32):08x}",
            [topics.up_topic(box, "reply/#")],
            rng,
            clock.boottime_ns,
        )
        self._box = box
        self._on_reply = on_reply
        self._clock = clock
        self._rng = rng
        self._outgoing: deque[_QueuedCommand] = deque()
        """Commands without a PUBACK, in order. After a reconnection they are sent again: the box
        recognises a repeat by its id."""

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
        self._wake()
        return command_id

    def _on_publish(self, received: ReceivedPublish) -> None:
        message = topics.decode_as(ReplyMessage, received.payload)
        if message is not None:
            self._on_reply(message.data)

    def _on_puback(self) -> None:
        self._outgoing.popleft()

    def _after_poll(self, transport: PahoTransport) -> None:
        while self._has_send_quota and self._in_flight < len(self._outgoing):
            queued = self._outgoing[self._in_flight]
            transport.publish(
                topics.down_topic(self._box, f"command/{queued.verb}"),
                queued.payload,
                expiry_s=int(COMMAND_TTL_S),
                response_topic=queued.response_topic,
                correlation=queued.correlation,
            )
            self._in_flight += 1
