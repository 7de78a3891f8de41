"""agent.reporting.outbox.submit: an event or a receipt refused by the disk is submitted again."""

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.base.uuid7 import uuid7_factory
from agent.faults.registry import FaultRegistry
from agent.reporting import outgoing_messages
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.submit import MessageSubmitter
from agent.reporting.outgoing_messages import OutgoingMessage, Priority
from agent.reporting.payloads import CustodyHead, HoldBroken, ReceiptData, RecordingGap, Restarted
from tests.conftest import ManualClock


@contextmanager
def a_full_disk() -> Iterator[None]:
    """No file of this process may grow: writes fail as they do where there is no room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def outbox(tmp_path: Path, clock: ManualClock) -> Iterator[Outbox]:
    outbox = Outbox.open(
        tmp_path,
        box="casa-0001",
        boot="b",
        clock=clock,
        max_bytes=10_000_000,
        new_id=uuid7_factory(lambda t_ns: t_ns, random.Random(1)),
        faults=FaultRegistry(clock.boottime_ns),
    )
    yield outbox
    outbox.close()


def draft(number: int, priority: Priority) -> OutgoingMessage:
    return OutgoingMessage(
        topic="event/north/line", type="event", priority=priority, t_ns=1, data=b"%d" % number
    )


def stored(outbox: Outbox) -> list[bytes]:
    outbox.put(draft(0, Priority.EMERGENCY)).wait(60)
    rows = outbox.fetch(1000)
    outbox.requeue_in_flight()
    return sorted(row.data for row in rows if row.data != b"0")


def test_events_that_a_full_disk_refused_are_stored_when_there_is_room(outbox: Outbox) -> None:
    intake = MessageSubmitter(outbox)
    with a_full_disk():
        for number in (1, 2, 3):
            intake.submit(draft(number, Priority.EVENT))
            outbox.put(draft(0, Priority.EMERGENCY))  # at once: the group is tried, and fails
        with pytest.raises(Exception, match="outbox"):
            outbox.put(draft(0, Priority.EMERGENCY)).wait(60)
    intake.submit(draft(4, Priority.EVENT))
    assert stored(outbox) == [b"1", b"2", b"3", b"4"]
    assert intake.lost_count == 0


TIME = "2026-11-03T07:40:55.250Z"
GAP = RecordingGap(camera="north", begin=TIME, end=TIME, reason="the disk did not keep up")
BROKEN = HoldBroken(hold="h", camera="north", begin=TIME, end=TIME, owner="event", reason="no room")

RESTARTED = Restarted(
    cause="power_cut",
    detail="",
    new_boot=True,
    boot_before="b",
    last_seen=TIME,
    last_sample=None,
    flight=None,
)


def test_refused_receipts_are_stored_later_and_superseded_messages_are_not(outbox: Outbox) -> None:
    intake = MessageSubmitter(outbox)
    lasting: list[ReceiptData] = [GAP, BROKEN, RESTARTED]
    passing = [
        outgoing_messages.build_receipt_message(CustodyHead(seq=7, sha256="0" * 64, time=TIME), 1),
        draft(1, Priority.TRAFFIC_COUNTS),
        draft(2, Priority.SNAPSHOT),
    ]
    wanted = [outgoing_messages.build_receipt_message(data, 1) for data in lasting]
    with a_full_disk():
        for each in (*wanted, *passing):
            intake.submit(each)
            outbox.put(draft(0, Priority.EMERGENCY))  # at once: the group is tried, and fails
        with pytest.raises(Exception, match="outbox"):
            outbox.put(draft(0, Priority.EMERGENCY)).wait(60)
    intake.resubmit_failed()
    assert stored(outbox) == sorted(each.data for each in wanted)
    assert intake.lost_count == 0


def test_a_stored_message_is_not_submitted_twice(outbox: Outbox) -> None:
    intake = MessageSubmitter(outbox)
    for number in range(1, 50):
        intake.submit(draft(number, Priority.EVENT))
    assert len(stored(outbox)) == 49
