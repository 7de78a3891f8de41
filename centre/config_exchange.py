"""One version of a box's configuration: what is in force, the new version, and what the box reports about it."""

import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.base.sha256 import sha256_hex
from agent.config.broker import BrokerConfig
from agent.config.desired_store import WINDOW_S
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.payloads import (
    ConfigContentMessage,
    ConfigMessage,
    ConfigRehearsalMessage,
    ReportedConfig,
    ReportedContent,
)
from agent.reporting.rehearsal import ReportedRehearsal
from centre.broker_connection import BrokerConnection
from centre.fleet.wire_text import clean_text
from centre.publisher import OutgoingPublish

REPORT_TIMEOUT_S = 3.0
"""For the retained report of the box, which follows the subscription at once."""

REHEARSAL_TIMEOUT_S = 1800.0
"""Without a report: the box sends one each 30 s if it has time to spare, and ends a child that hangs after ten minutes."""
PAUSE_TIMEOUT_S = 86_400.0
"""A box that is short of something pauses a rehearsal, by night as well."""

Withdrawal = Literal["withdrawn", "stays", "replaced"]


class ConfigExchange:
    """Publishes a version, and yields the reports about it. Runs on the caller's thread."""

    def __init__(
        self, broker: BrokerConfig, box: str, rng: random.Random, clock_ns: Callable[[], int]
    ) -> None:
        """Raise UserError if a file of the broker's configuration cannot be read."""
        self._box = box
        self._reports: deque[ReportedConfig] = deque()
        self._content: ReportedContent | None = None
        self._rehearsals: deque[ReportedRehearsal] = deque()
        self._topic_payloads: deque[bytes] = deque(maxlen=2)
        """The newest different messages for the box, of this person and others: the one that the broker has, and the one before."""
        self._rehearsed: bytes | None = None
        self._connection = BrokerConnection(
            broker,
            [
                topics.up_topic(box, "config"),
                topics.up_topic(box, "config/content"),
                topics.up_topic(box, "config/rehearsal"),
                topics.down_topic(box, "config"),
            ],
            self._on_publish,
            "configure",
            rng,
            clock_ns,
        )

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def read_report(self) -> ReportedConfig | None:
        """Return what the box has reported last, or None. Raises: UserError if the broker cannot be reached."""
        self._connection.connect()
        self._connection.wait_until(lambda: bool(self._reports), REPORT_TIMEOUT_S)
        return self._reports[-1] if self._reports else None

    def read_content(self, report: ReportedConfig | None) -> ReportedContent:
        """Return the content of the version that a report names. Raises: UserError if the box has not reported it.

        A broker may return other content: a version that was made from it is refused by the box, see `DesiredConfig.base`.
        """
        if report is None:
            raise UserError("it has reported no configuration")
        if report.state == "damaged":
            raise UserError("the stored version is damaged")
        self._connection.wait_until(
            lambda: self._content is not None and self._content.digest == report.digest,
            REPORT_TIMEOUT_S,
        )
        # A stored version that does not fit the box's file is reported as refused.
        stored = report.digest if report.refused is None else report.refused.digest
        if self._content is None or self._content.digest not in (report.digest, stored):
            raise UserError(f"it has not reported the content of version {report.version}")
        if checked_convert.is_too_deep(self._content.content.settings):
            raise UserError(f"nested too deeply; allowed: {checked_convert.MAX_DEPTH} levels")
        return self._content

    def send(self, payload: bytes, timeout_s: float) -> Iterator[ReportedConfig]:
        """Publish a version, retained, and yield the reports about it, up to the one that it is kept or refused.

        Raises: UserError if none has come after `timeout_s`; one of a model that is fetched begins this time again, and a
        version that waits for a restart has the time of its wait in addition.
        """
        digest = sha256_hex(payload)
        topic = topics.down_topic(self._box, "config")
        self._reports.clear()
        self._connection.send(OutgoingPublish(topic=topic, payload=payload, retained=True))
        wait_s = timeout_s
        while True:
            self._connection.wait_for(
                lambda: bool(self._reports), wait_s, f"{self._box}: no report"
            )
            report = self._reports.popleft()
            is_refused = report.refused is not None and report.refused.digest == digest
            is_fetching = report.fetching is not None and report.fetching.digest == digest
            is_deferred = report.deferred is not None and report.deferred.digest == digest
            wait_s = timeout_s + WINDOW_S if is_deferred else timeout_s
            is_waiting = is_fetching or is_deferred
            if is_refused or is_waiting or report.digest == digest:
                yield report if is_refused else msgspec.structs.replace(report, refused=None)
                if is_refused or (report.state == "in_force" and not is_waiting):
                    return

    def rehearse(self, payload: bytes) -> Iterator[ReportedRehearsal]:
        """Publish a version that is to be rehearsed, and yield the reports about it, up to the last one.

        The message is not retained: that of the version in force stays, and no later connection repeats it. Raises: UserError if
        the box refuses it, or reports nothing for REHEARSAL_TIMEOUT_S and is not paused.
        """
        digest = sha256_hex(payload)
        self._rehearsed = payload
        self._reports.clear()
        self._rehearsals.clear()
        topic = topics.down_topic(self._box, "config")
        self._connection.send(OutgoingPublish(topic=topic, payload=payload))
        wait_s = REHEARSAL_TIMEOUT_S
        while True:
            self._connection.wait_for(
                lambda: bool(self._reports or self._rehearsals), wait_s, f"{self._box}: no report"
            )
            while self._reports:
                refused = self._reports.popleft().refused
                if refused is not None and refused.digest == digest:
                    raise UserError(f"{self._box}: {'; '.join(map(clean_text, refused.reasons))}")
            while self._rehearsals:
                report = self._rehearsals.popleft()
                if report.digest != digest:
                    continue
                yield report
                if report.state in ("done", "failed"):
                    return
                wait_s = PAUSE_TIMEOUT_S if report.state == "paused" else REHEARSAL_TIMEOUT_S

    def withdraw(self, refused: bytes, report: ReportedConfig) -> Withdrawal:
        """Publish the message of the version in force again, in the place of a refused one; an empty one if none is in force.

        `report` is the one of the refusal. The refused message stays if the broker had another one before it, if another
        version is on trial meanwhile, or if this person may not read the topic. Raises: UserError.
        """
        if not self._topic_payloads:
            return "stays"
        if self._topic_payloads[-1] != refused:
            return "replaced"
        if report.state != "in_force":
            return "stays"
        before = self._topic_payloads[0] if len(self._topic_payloads) > 1 else b""
        payload = b"" if report.digest is None else before
        if payload and sha256_hex(payload) != report.digest:
            return "stays"
        topic = topics.down_topic(self._box, "config")
        self._connection.send(OutgoingPublish(topic=topic, payload=payload, retained=True))
        self._connection.flush()
        return "withdrawn"

    def _on_publish(self, received: ReceivedPublish) -> None:
        if received.topic == topics.down_topic(self._box, "config"):
            # A rehearsal is not retained. After a reconnection the broker delivers its message again.
            newest = self._topic_payloads[-1] if self._topic_payloads else None
            if received.payload not in (self._rehearsed, newest):
                self._topic_payloads.append(received.payload)
            return
        message = topics.decode_as(ConfigMessage, received.payload)
        if message is not None and message.box == self._box:
            self._reports.append(message.data)
        rehearsal = topics.decode_as(ConfigRehearsalMessage, received.payload)
        if rehearsal is not None and rehearsal.box == self._box:
            self._rehearsals.append(rehearsal.data)
        content = topics.decode_as(ConfigContentMessage, received.payload)
        if content is not None and content.box == self._box:
            self._content = content.data
