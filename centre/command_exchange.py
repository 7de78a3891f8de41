"""One command to one box: its session from the birth, the command, and its replies up to the last."""

import random
from collections import deque
from collections.abc import Callable, Iterator

from agent.base.model import CommandDone, CommandRefused, Reply
from agent.config.broker import BrokerConfig
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.payloads import ReplyMessage, StatusMessage
from centre.broker_connection import BrokerConnection
from centre.publisher import OutgoingPublish

BIRTH_TIMEOUT_S = 3.0
"""For the retained status of the box, which follows the subscription at once."""


class CommandExchange:
    """Sends one command, and yields its replies. Runs on the caller's thread.

    `command_id` is also the last level of the reply topic, so that the replies to others do not come here.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        box: str,
        command_id: str,
        rng: random.Random,
        clock_ns: Callable[[], int],
    ) -> None:
        """Raise UserError if a file of the broker's configuration cannot be read."""
        self._box = box
        self._command_id = command_id
        self._reply_topic = topics.up_topic(box, f"reply/{command_id}")
        self._replies: deque[Reply] = deque()
        self._status: StatusMessage | None = None
        filters = [topics.up_topic(box, "status"), self._reply_topic]
        self._connection = BrokerConnection(
            broker, filters, self._on_publish, "send", rng, clock_ns
        )

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def read_status(self) -> StatusMessage | None:
        """Return the box's retained status, or None if the broker has none. Raises: UserError if it cannot be reached."""
        self._connection.connect()
        self._connection.wait_until(lambda: self._status is not None, BIRTH_TIMEOUT_S)
        return self._status

    def send(self, verb: str, payload: bytes, timeout_s: float) -> Iterator[Reply]:
        """Yield the replies up to the last. Raises: UserError if it has not come after `timeout_s`."""
        self._connection.send(
            OutgoingPublish(
                topic=topics.down_topic(self._box, f"command/{verb}"),
                payload=payload,
                expiry_s=max(1, round(timeout_s)),
                response_topic=self._reply_topic,
                correlation=self._command_id.encode(),
            )
        )
        while True:
            missing = f"{self._box}: no reply to {verb}"
            self._connection.wait_for(lambda: bool(self._replies), timeout_s, missing)
            reply = self._replies.popleft()
            yield reply
            if isinstance(reply, CommandDone | CommandRefused):
                return

    def _on_publish(self, received: ReceivedPublish) -> None:
        if received.topic == topics.up_topic(self._box, "status"):
            self._status = topics.decode_as(StatusMessage, received.payload) or self._status
            return
        message = topics.decode_as(ReplyMessage, received.payload)
        if message is not None and message.box == self._box:
            self._replies.append(message.data)
