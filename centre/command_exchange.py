"""One command to one box: its session from the birth, the command, and its replies up to the last."""

import random
from collections import deque
from collections.abc import Callable, Iterator

from agent.base.errors import UserError
from agent.base.model import CommandDone, CommandRefused, Reply
from agent.config.broker import BrokerConfig
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.payloads import ReplyMessage, StatusMessage
from centre.publisher import OutgoingPublish, Publisher, run_until

BIRTH_TIMEOUT_S = 3.0
"""For the retained status of the box, which follows the subscription at once."""
CONNECT_TIMEOUT_S = 15.0


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
        self._broker = broker
        self._box = box
        self._command_id = command_id
        self._clock_ns = clock_ns
        self._replies: deque[Reply] = deque()
        self._status: StatusMessage | None = None
        self._problem: str | None = None
        self._refusal: str | None = None
        self._publisher = Publisher(
            broker,
            f"vigie-send-{rng.getrandbits(32):08x}",
            [
                topics.up_topic(box, "status"),
                topics.up_topic(box, f"reply/{command_id}"),
            ],
            self._on_publish,
            rng,
            clock_ns,
            on_refused=self._set_refusal,
            on_connection_change=self._set_problem,
        )

    def close(self) -> None:
        """Disconnect."""
        self._publisher.close()

    def read_status(self) -> StatusMessage | None:
        """Return the box's retained status, or None if the broker has none. Raises: UserError if it cannot be reached."""
        if not run_until(
            self._publisher, self._publisher.online.is_set, CONNECT_TIMEOUT_S, self._clock_ns
        ):
            raise UserError(self._problem or f"{self._broker.url}: no answer")
        run_until(
            self._publisher, lambda: self._status is not None, BIRTH_TIMEOUT_S, self._clock_ns
        )
        return self._status

    def send(self, verb: str, payload: bytes, timeout_s: float) -> Iterator[Reply]:
        """Yield the replies up to the last. Raises: UserError if it has not come after `timeout_s`."""
        self._publisher.send(
            OutgoingPublish(
                topic=topics.down_topic(self._box, f"command/{verb}"),
                payload=payload,
                expiry_s=max(1, round(timeout_s)),
                response_topic=topics.up_topic(self._box, f"reply/{self._command_id}"),
                correlation=self._command_id.encode(),
            )
        )
        while True:
            has_reply = run_until(
                self._publisher,
                lambda: bool(self._replies) or self._refusal is not None,
                timeout_s,
                self._clock_ns,
            )
            if self._refusal is not None:
                raise UserError(self._refusal)
            if not has_reply:
                raise UserError(
                    self._problem or f"{self._box}: no reply to {verb} in {timeout_s:g} s"
                )
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

    def _set_refusal(self, refusal: str) -> None:
        self._refusal = refusal

    def _set_problem(self, problem: str | None) -> None:
        self._problem = problem
