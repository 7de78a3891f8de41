"""One version of a box's configuration: what is in force, the new version, and what the box reports about it."""

import random
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from agent.base.errors import UserError
from agent.base.sha256 import sha256_hex
from agent.config.broker import BrokerConfig
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.payloads import ConfigMessage, ReportedConfig
from centre.publisher import OutgoingPublish, Publisher, run_until

REPORT_TIMEOUT_S = 3.0
"""For the retained report of the box, which follows the subscription at once."""
CONNECT_TIMEOUT_S = 15.0


class ConfigExchange:
    """Publishes a version, retained, and yields the reports about it. Runs on the caller's thread."""

    def __init__(
        self, broker: BrokerConfig, box: str, rng: random.Random, clock_ns: Callable[[], int]
    ) -> None:
        """Raise UserError if a file of the broker's configuration cannot be read."""
        self._broker = broker
        self._box = box
        self._clock_ns = clock_ns
        self._reports: deque[ReportedConfig] = deque()
        self._problem: str | None = None
        self._refusal: str | None = None
        self._publisher = Publisher(
            broker,
            f"vigie-configure-{rng.getrandbits(32):08x}",
            [topics.up_topic(box, "config")],
            self._on_publish,
            rng,
            clock_ns,
            on_refused=self._set_refusal,
            on_connection_change=self._set_problem,
        )

    def close(self) -> None:
        """Disconnect."""
        self._publisher.close()

    def read_report(self) -> ReportedConfig | None:
        """Return what the box has reported last, or None. Raises: UserError if the broker cannot be reached."""
        if not self._run_until(self._publisher.online.is_set, CONNECT_TIMEOUT_S):
            raise UserError(self._problem or f"{self._broker.url}: no answer")
        self._run_until(lambda: bool(self._reports), REPORT_TIMEOUT_S)
        return self._reports[-1] if self._reports else None

    def send(self, payload: bytes, timeout_s: float) -> Iterator[ReportedConfig]:
        """Yield the reports about this version, up to the one that it is kept or refused.

        Raises: UserError if none has come after `timeout_s`.
        """
        digest = sha256_hex(payload)
        topic = topics.down_topic(self._box, "config")
        self._reports.clear()
        self._publisher.send(OutgoingPublish(topic=topic, payload=payload, retained=True))
        while True:
            has_report = self._run_until(
                lambda: bool(self._reports) or self._refusal is not None, timeout_s
            )
            if self._refusal is not None:
                raise UserError(self._refusal)
            if not has_report:
                raise UserError(self._problem or f"{self._box}: no report in {timeout_s:g} s")
            report = self._reports.popleft()
            is_refused = report.refused is not None and report.refused.digest == digest
            if is_refused or report.digest == digest:
                yield report if is_refused else msgspec.structs.replace(report, refused=None)
                if is_refused or report.state == "in_force":
                    return

    def _run_until(self, is_over: Callable[[], bool], timeout_s: float) -> bool:
        return run_until(self._publisher, is_over, timeout_s, self._clock_ns)

    def _on_publish(self, received: ReceivedPublish) -> None:
        message = topics.decode_as(ConfigMessage, received.payload)
        if message is not None and message.box == self._box:
            self._reports.append(message.data)

    def _set_refusal(self, refusal: str) -> None:
        self._refusal = refusal

    def _set_problem(self, problem: str | None) -> None:
        self._problem = problem
