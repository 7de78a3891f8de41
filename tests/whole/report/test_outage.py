"""A long outage of the network: the messages of the outbox arrive whole and in order, emergencies first.

`python -m bench outage` has the long form, 72 hours of a normal street.
"""

import random
from collections.abc import Callable
from pathlib import Path

from agent.config.broker import BrokerConfig
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outgoing_messages import Priority
from agent.reporting.payloads import EventMessage, OnlineStatus, StatusMessage
from bench.street_day import BUSY, PICTURE_BYTES, StreetReports
from centre.client import ReceivedMessage
from tests.conftest import ManualClock
from tests.loopback_server import TcpProxy
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import make_event
from tests.whole.report.reporting_box import CentreListener, ReportingBox, wait_until

MINUTES = 8 * 60
HEADS = MINUTES
"""Of the custody chain. Only the newest waits."""
NEW_ALARMS = 5


def numbers(items: list[ReceivedMessage]) -> list[int]:
    """The numbers of stored messages, in the order of their arrival."""
    return [item.envelope.seq for item in items if item.envelope and item.envelope.seq]


def split_by_births(items: list[ReceivedMessage]) -> dict[int, list[ReceivedMessage]]:
    """The messages of each session of the box."""
    sessions: dict[int, list[ReceivedMessage]] = {}
    session = 0
    for item in items:
        if isinstance(item.message, StatusMessage) and isinstance(item.message.data, OnlineStatus):
            session = item.message.data.session
        sessions.setdefault(session, []).append(item)
    return sessions


def is_alarm(item: ReceivedMessage) -> bool:
    return isinstance(item.message, EventMessage) and item.message.data.kind == "wrong_way"


def begins_with(items: list[ReceivedMessage], alarms: list[int]) -> bool:
    return numbers(items)[: len(alarms)] == sorted(alarms, reverse=True)


def test_an_outage_is_drained_whole_and_in_order_with_emergencies_first(
    broker: Mosquitto, outboxes: Callable[..., Outbox], tmp_path: Path, clock: ManualClock
) -> None:
    outbox = outboxes(tmp_path, clock=clock)
    reports = StreetReports(BUSY, random.Random(1), clock.utc)
    messages = reports.messages(clock.now_ns, MINUTES)
    for message in messages:
        clock.now_ns = max(clock.now_ns, message.t_ns)
        ticket = outbox.put(message)
    assert ticket.wait(60)
    outbox.close()
    kept = len(messages) - HEADS + 1
    assert outbox.depth == kept > 1000

    config = BrokerConfig(url=broker.url, keepalive_s=5)
    with (
        CentreListener(config, tmp_path / "centre.db") as centre,
        TcpProxy(broker.port) as proxy,
        ReportingBox(BrokerConfig(url=proxy.url, keepalive_s=5), tmp_path) as box,
    ):
        assert box.outbox.depth == kept
        centre.wait_for(lambda: len(centre.received) >= kept // 3)
        # The link breaks in the middle, and meanwhile there are new emergencies.
        proxy.freeze()
        tickets = [box.outbox.put(make_event(n, "wrong_way")) for n in range(NEW_ALARMS)]
        assert all(ticket.wait(60) for ticket in tickets)
        proxy.thaw()
        wait_until(lambda: box.outbox.depth == 0)
        counts = box.outbox.counts()
        assert (counts.lost, counts.refused_acks) == (0, 0)

    sessions = split_by_births(centre.received)
    first, second = sessions[1], sessions[max(sessions)]
    new = [ticket.seq or 0 for ticket in tickets]
    old = [seq for item in first if is_alarm(item) for seq in numbers([item])]
    assert len(old) == sum(message.priority == Priority.EMERGENCY for message in messages) > 20
    assert begins_with(first, old)
    assert begins_with(second, new)
    for items, alarms in ((first, old), (second, new)):
        rest = numbers(items)[len(alarms) :]
        assert rest == sorted(rest)
    # Every message but the heads that a newer one has replaced.
    assert len(set(numbers(centre.received))) == kept + NEW_ALARMS
    pictures = [item.payload for item in centre.received if "/up/snapshot/" in item.topic]
    assert {len(payload) for payload in pictures} == {PICTURE_BYTES}
