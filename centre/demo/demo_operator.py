"""The demo's operators: publish signed commands over MQTT and receive the replies."""

import random
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from agent.base.clock import Clock
from agent.base.model import Reply
from agent.config.broker import BrokerConfig
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.payloads import ReplyMessage, StatusMessage
from centre import signing
from centre.command_request import needed_session
from centre.demo.demo_authority import DemoAuthority
from centre.demo.ptz_script import Person
from centre.publisher import OutgoingPublish, Publisher

COMMAND_TTL_S = 20.0


class DemoOperator(Publisher):
    """A stage that sends commands and calls `on_reply` on its thread. `send_command` is thread-safe."""

    name = "demo operator"

    def __init__(
        self,
        broker: BrokerConfig,
        box: str,
        authority: DemoAuthority,
        on_reply: Callable[[Reply], None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        super().__init__(
            broker,
            f"demo-operator-{rng.getrandbits(32):08x}",
            [topics.up_topic(box, "reply/#"), topics.up_topic(box, "status")],
            self._on_box_message,
            rng,
            clock.boottime_ns,
        )
        self._box = box
        self._authority = authority
        self._on_reply = on_reply
        self._clock = clock
        self._rng = rng
        self._session: int | None = None

    def send_command(self, person: Person, verb: str, args: dict[str, Any]) -> str:
        """Sign a command with a person's key, and enqueue it. Return its id, which its replies carry."""
        command_id, now = self._new_id(), self._now()
        payload = signing.sign_command(
            box=self._box,
            verb=verb,
            args=args,
            command_id=command_id,
            issued=now,
            expires=now + timedelta(seconds=COMMAND_TTL_S),
            signers=[self._authority.identity(person.name, person.role)],
            session=self._session,
        )
        return self._enqueue(person, verb, command_id, payload)

    def send_unsigned(self, person: Person, verb: str, args: dict[str, Any]) -> str:
        """Enqueue a command that claims a person's name, as a forger would. Return its id."""
        command_id = self._new_id()
        command = {
            "id": command_id,
            "expires": self._now() + timedelta(seconds=COMMAND_TTL_S),
            "by": person.name,
            "role": person.role,
            "args": args,
        }
        return self._enqueue(person, verb, command_id, msgspec.json.encode(command))

    def _enqueue(self, person: Person, verb: str, command_id: str, payload: bytes) -> str:
        self.send(
            OutgoingPublish(
                topic=topics.down_topic(self._box, f"command/{verb}"),
                payload=payload,
                expiry_s=int(COMMAND_TTL_S),
                response_topic=topics.up_topic(self._box, f"reply/{person.name}"),
                correlation=command_id.encode(),
            )
        )
        return command_id

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def _now(self) -> datetime:
        return self._clock.utc(self._clock.boottime_ns())

    def _on_box_message(self, received: ReceivedPublish) -> None:
        status = topics.decode_as(StatusMessage, received.payload)
        reply = topics.decode_as(ReplyMessage, received.payload)
        if status is not None:
            self._session = needed_session(status)
        elif reply is not None:
            self._on_reply(reply.data)
