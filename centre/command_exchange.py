"""One command to one box: its session from the birth, the command, and its replies up to the last."""

import random
from collections import deque
from collections.abc import Callable, Iterator

from agent.base.errors import UserError
from agent.base.model import CommandDone, CommandRefused, Reply
from agent.config.broker import BrokerConfig
from agent.reporting import centre_topics, topics
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.payloads import OnlineStatus, ReplyMessage, StatusMessage
from centre.broker_connection import BrokerConnection
from centre.centre_states import CentreStates
from centre.publisher import OutgoingPublish

BIRTH_TIMEOUT_S = 3.0
"""For the retained status of the box, which follows the subscription at once."""
CENTRE_WAIT_S = 1.5
"""For the first reply of a box, before the state of the centres is its reason. Their retained states have come with that of the box."""


class CommandExchange:
    """Sends one command, and yields its replies. Runs on the caller's thread.

    `command_id` is also the last level of the reply topic, so that the replies to others do not come here. After a loss of
    the connection the same bytes are sent again: the box does a command once, and repeats its reply.
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
        self._centres = CentreStates()
        self._command: OutgoingPublish | None = None
        filters = [
            topics.up_topic(box, "status"),
            self._reply_topic,
            centre_topics.CENTRE_STATE_FILTER,
        ]
        self._connection = BrokerConnection(
            broker, filters, self._on_publish, "send", rng, clock_ns, self._send_again
        )

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def read_status(self) -> StatusMessage | None:
        """Return the box's retained status, or None if the broker has none. Raises: UserError if it cannot be reached."""
        self._connection.connect()
        self._connection.wait_until(lambda: self._status is not None, BIRTH_TIMEOUT_S)
        return self._status

    def send(
        self, verb: str, payload: bytes, timeout_s: float, *, is_signed: bool
    ) -> Iterator[Reply]:
        """Yield the replies up to the last.

        Raises: UserError if one has not come after `timeout_s`, or soon if no centre listens for which the box would send it.
        """
        self._command = OutgoingPublish(
            topic=topics.down_topic(self._box, f"command/{verb}"),
            payload=payload,
            expiry_s=max(1, round(timeout_s)),
            response_topic=self._reply_topic,
            correlation=self._command_id.encode(),
        )
        self._connection.send(self._command)
        self._connection.flush()
        self._connection.wait_until(lambda: bool(self._replies), min(CENTRE_WAIT_S, timeout_s))
        if not self._replies and self._is_reply_kept(is_signed=is_signed):
            raise UserError(
                f"{self._box}: {verb} is sent, and no centre listens (vigie/v1/centre/+/state), so the box keeps its reply; "
                "allowed: a centre that listens, such as vigie watch --ack"
            )
        while True:
            missing = f"{self._box}: no reply to {verb}"
            self._connection.wait_for(lambda: bool(self._replies), timeout_s, missing)
            reply = self._replies.popleft()
            yield reply
            if isinstance(reply, CommandDone | CommandRefused):
                return

    def _send_again(self) -> None:
        if self._command is not None and not self._connection.has_unsent:
            self._connection.send(self._command)

    def _is_reply_kept(self, *, is_signed: bool) -> bool:
        """Return True if the box is online and no centre listens. Without a control authority it sends as long as it knows of none."""
        if self._status is None or not isinstance(self._status.data, OnlineStatus):
            return False
        return not self._centres.is_any_listening and (is_signed or self._centres.is_any_away)

    def _on_publish(self, received: ReceivedPublish) -> None:
        if self._centres.receive(received):
            return
        if received.topic == topics.up_topic(self._box, "status"):
            self._status = topics.decode_as(StatusMessage, received.payload) or self._status
            return
        message = topics.decode_as(ReplyMessage, received.payload)
        if message is not None and message.box == self._box:
            self._replies.append(message.data)
