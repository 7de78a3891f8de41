"""One connection to a broker for one request: it publishes, and waits for an answer on the caller's thread."""

import random
from collections.abc import Callable, Sequence

from agent.base.errors import UserError
from agent.config.broker import BrokerConfig
from agent.reporting.mqtt.packets import ReceivedPublish
from centre.publisher import OutgoingPublish, Publisher, run_until

ANSWER_TIMEOUT_S = 15.0


class BrokerConnection:
    """Subscribed to `topic_filters`; `on_publish` gets each message, retained ones first.

    `program` is the command whose name the client id has. The random part of the id keeps two commands of one person from
    ending each other's session. `on_subscribed` is called at each connection: an answer may have come while there was none.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        topic_filters: Sequence[str],
        on_publish: Callable[[ReceivedPublish], None],
        program: str,
        rng: random.Random,
        clock_ns: Callable[[], int],
        on_subscribed: Callable[[], None] = lambda: None,
    ) -> None:
        """Raise UserError if a file of the broker's configuration cannot be read."""
        self._url = broker.url
        self._clock_ns = clock_ns
        self._on_subscribed = on_subscribed
        self._problem: str | None = None
        self._refusal: str | None = None
        self._publisher = Publisher(
            broker,
            f"vigie-{program}-{rng.getrandbits(32):08x}",
            topic_filters,
            on_publish,
            rng,
            clock_ns,
            on_refused=self._set_refusal,
            on_connection_change=self._set_problem,
        )

    def connect(self) -> None:
        """Raise UserError if the broker cannot be reached, or at once if it refuses the connection."""
        publisher = self._publisher
        self.wait_until(lambda: publisher.online.is_set() or publisher.is_refused, ANSWER_TIMEOUT_S)
        if not publisher.online.is_set():
            raise UserError(self._problem or f"{self._url}: no answer")

    def close(self) -> None:
        """Disconnect."""
        self._publisher.close()

    def wait_until(self, is_over: Callable[[], bool], timeout_s: float) -> bool:
        """Receive until `is_over`. Return False after `timeout_s`."""
        return run_until(self._publisher, is_over, timeout_s, self._clock_ns)

    @property
    def has_unsent(self) -> bool:
        """True if the broker has not acknowledged every message."""
        return self._publisher.has_unsent

    def send(self, message: OutgoingPublish) -> None:
        """Publish a message with the next wait."""
        self._publisher.send(message)

    def flush(self) -> None:
        """Wait until the broker has taken every message. Raises: UserError if it refuses one or does not answer."""
        is_sent = self.wait_until(lambda: not self.has_unsent, ANSWER_TIMEOUT_S)
        if self._refusal is not None or not is_sent:
            raise UserError(self._refusal or self._problem or f"{self._url}: no answer")

    def wait_for(self, is_there: Callable[[], bool], timeout_s: float, missing: str) -> None:
        """Receive until the answer is there.

        Raises: UserError if the broker refuses the message, or with `missing` after `timeout_s`.
        """
        self.wait_until(lambda: is_there() or self._refusal is not None, timeout_s)
        if not is_there():
            raise UserError(self._refusal or self._problem or f"{missing} in {timeout_s:g} s")

    def _set_refusal(self, refusal: str) -> None:
        self._refusal = refusal

    def _set_problem(self, problem: str | None) -> None:
        self._problem = problem
        if problem is None:
            self._on_subscribed()
