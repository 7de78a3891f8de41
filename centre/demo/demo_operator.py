"""The other side of the command path: it publishes commands over MQTT, and hears what is said to them."""

import queue
import random
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from agent.base.clock import Clock
from agent.base.model import Reply
from agent.config.configuration import BrokerConfig
from agent.reporting import topics
from agent.reporting.mqtt.connect_error import LinkError
from agent.reporting.mqtt.paho_transport import Accepted, PahoTransport, Received, Subscribed
from agent.reporting.payloads import ReplyMessage
from centre.demo.ptz_script import Person

TURN_S = 0.5
AGAIN_S = 1.0
VALID_S = 20.0


class _Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A command on its way to the broker."""

    verb: str
    payload: bytes
    reply_to: str
    correlation: bytes


class DemoOperator:
    """A stage; `send` may come from any thread. `on_reply` is called in the stage's thread."""

    name = "control room"

    def __init__(
        self,
        broker_url: str,
        box: str,
        on_reply: Callable[[Reply], None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._broker = BrokerConfig(url=broker_url)
        self._box = box
        self._on_reply = on_reply
        self._clock = clock
        self._rng = rng
        self._client_id = f"control-room-{rng.getrandbits(32):08x}"
        self._posted: queue.SimpleQueue[_Posted] = queue.SimpleQueue()
        self._link: PahoTransport | None = None
        self.online = threading.Event()
        """Set while it hears."""

    def send(self, who: Person, verb: str, args: dict[str, Any]) -> str:
        """Give a command in somebody's name; its id, by which replies name it."""
        command = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        expires = self._clock.utc(self._clock.boottime_ns()) + timedelta(seconds=VALID_S)
        payload = {
            "id": command,
            "expires": topics.rfc3339(expires),
            "by": who.name,
            "role": who.role,
            "args": args,
        }
        self._posted.put(
            _Posted(
                verb=verb,
                payload=msgspec.json.encode(payload),
                reply_to=topics.up(self._box, f"reply/{who.name}"),
                correlation=command.encode(),
            )
        )
        link = self._link
        if link is not None:
            link.wake()
        return command

    def run_once(self, stopping: threading.Event) -> None:
        """Connect, or send what waits and hear what comes within TURN_S seconds."""
        try:
            link = self._link or self._connected()
            if self.online.is_set():
                self._send_all(link)
            for event in link.turn(TURN_S):
                match event:
                    case Accepted():
                        link.subscribe([topics.up(self._box, "reply/#")])
                    case Subscribed():
                        self.online.set()
                    case Received():
                        self._hear(event)
        except LinkError:
            self._drop()
            stopping.wait(AGAIN_S)

    def close(self) -> None:
        """Say goodbye to the broker."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _connected(self) -> PahoTransport:
        link = self._link = PahoTransport(self._broker, self._client_id, None)
        link.connect()
        return link

    def _send_all(self, link: PahoTransport) -> None:
        while True:
            try:
                posted = self._posted.get_nowait()
            except queue.Empty:
                return
            link.publish(
                topics.down(self._box, f"command/{posted.verb}"),
                posted.payload,
                expiry_s=int(VALID_S),
                response_topic=posted.reply_to,
                correlation=posted.correlation,
            )

    def _hear(self, event: Received) -> None:
        message = topics.decode_as(ReplyMessage, event.payload)
        if message is not None:
            self._on_reply(message.data)

    def _drop(self) -> None:
        self.online.clear()
        link, self._link = self._link, None
        if link is not None:
            link.abandon()
