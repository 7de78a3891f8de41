"""One order of an incident: the revision that the broker has, the order itself, and the reports of the boxes."""

import random
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from agent.base.model import IncidentReport
from agent.config.broker import BrokerConfig
from agent.reporting import centre_topics, topics
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.payloads import EventMessage
from centre.broker_connection import BrokerConnection
from centre.centre_states import CentreStates
from centre.publisher import OutgoingPublish
from centre.unverified_claims import decode_unverified

RETAINED_TIMEOUT_S = 3.0
"""For the order that the broker has, which follows the subscription at once."""
REPORTS_FILTER = f"{topics.TOPIC_ROOT}/+/up/event/box/incident"


class _Revision(msgspec.Struct, frozen=True):
    revision: int


class BoxReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report of one box."""

    box: str
    report: IncidentReport


class IncidentExchange:
    """Publishes one order, and yields the reports of it. Runs on the caller's thread."""

    def __init__(
        self,
        broker: BrokerConfig,
        incident_id: str,
        rng: random.Random,
        clock_ns: Callable[[], int],
    ) -> None:
        """Raise UserError if a file of the broker's configuration cannot be read."""
        self._incident_id = incident_id
        self._topic = topics.INCIDENT_FILTER.removesuffix("+") + incident_id
        self._clock_ns = clock_ns
        self._reports: deque[BoxReport] = deque()
        self._has_order = False
        self._revision = 0
        self._centres = CentreStates()
        filters = [self._topic, REPORTS_FILTER, centre_topics.CENTRE_STATE_FILTER]
        self._connection = BrokerConnection(
            broker, filters, self._on_publish, "incident", rng, clock_ns
        )

    @property
    def is_any_centre_listening(self) -> bool:
        """True if a centre listens. Without one, boxes with a control authority keep their reports."""
        return self._centres.is_any_listening

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def read_revision(self) -> int:
        """Return the revision of the order that the broker has, 0 if it has none. Raises: UserError if it cannot be
        reached.
        """
        self._connection.connect()
        self._connection.wait_until(lambda: self._has_order, RETAINED_TIMEOUT_S)
        return self._revision

    def publish(self, payload: bytes, expiry_s: int) -> None:
        """Publish an order, which the broker keeps for `expiry_s`. Raises: UserError if it does not take it."""
        self._connection.send(
            OutgoingPublish(topic=self._topic, payload=payload, retained=True, expiry_s=expiry_s)
        )
        self._connection.flush()

    def reports(self, revision: int, timeout_s: float) -> Iterator[BoxReport]:
        """Yield the reports of a revision that come within `timeout_s`."""
        deadline_ns = self._clock_ns() + round(timeout_s * 1e9)
        while (left_s := (deadline_ns - self._clock_ns()) / 1e9) > 0:
            self._connection.wait_until(lambda: bool(self._reports), left_s)
            while self._reports:
                report = self._reports.popleft()
                if report.report.revision == revision:
                    yield report

    def _on_publish(self, received: ReceivedPublish) -> None:
        if self._centres.receive(received):
            return
        if received.topic == self._topic:
            self._has_order = True
            self._revision = max(self._revision, read_revision(received.payload))
            return
        message = topics.decode_as(EventMessage, received.payload)
        topic = topics.parse_up_topic(received.topic)
        if message is None or topic is None or message.box != topic.box:
            return
        report = message.data.incident
        if isinstance(report, IncidentReport) and report.incident == self._incident_id:
            self._reports.append(BoxReport(box=message.box, report=report))


def read_revision(payload: bytes) -> int:
    """Return the revision of a signed or an unsigned order, 0 if it has none. The signature is not checked: of an order
    that the broker has, nothing else is used.
    """
    order = decode_unverified(payload, _Revision)
    return 0 if order is None else order.revision
