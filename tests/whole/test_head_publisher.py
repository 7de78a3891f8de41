"""agent.recording.custody.head_publisher: the chain head is sent within a minute of a receipt, and queued
receipts are not lost.
"""

import base64
from pathlib import Path

import pytest

from agent.base.device_identity import DeviceIdentity
from agent.faults.registry import FaultRegistry
from agent.recording.custody import receipt_queue
from agent.recording.custody.chain import ChainHead
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.damage_reporter import DamageReporter
from agent.recording.custody.head_publisher import ChainHeadPublisher
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import (
    AgentStarted,
    FootageExported,
    FootageGap,
    SegmentOpened,
    ServiceAction,
    parse_line,
)
from tests.conftest import ManualClock


class Rig:
    """A chain, and the stage that publishes its head."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.folder = folder / "custody"
        self.identity = DeviceIdentity.load_or_create(folder / "identity")
        self.custody = self.open()
        self.faults = FaultRegistry(clock.boottime_ns)
        self.sent: list[ChainHead] = []
        self.queue = ReceiptQueue(self.custody.append, self.faults)
        self.publisher = ChainHeadPublisher(
            self.custody,
            self.queue,
            clock,
            self.faults,
            lambda head, _inventory, _t_ns: self.sent.append(head),
            segment_exists=lambda camera, name: (folder / camera / name).exists(),
            damage_reporter=DamageReporter(folder, self.queue, self.faults, clock),
        )

    def open(self) -> CustodyLog:
        return CustodyLog.open(self.folder, "pole-17", "boot", self.clock, self.identity)

    def look_after_s(self, seconds: float) -> list[int]:
        """The numbers of the heads that went out, after a look."""
        self.clock.advance_s(seconds)
        self.publisher.flush()
        return [head.seq for head in self.sent]

    def codes(self) -> list[str]:
        return [fault.code for fault in self.faults.active()]

    def kinds(self) -> list[type]:
        return [type(parse_line(line).receipt.body) for line in self.custody.read_lines()]


@pytest.fixture
def rig(tmp_path: Path, clock: ManualClock) -> Rig:
    return Rig(tmp_path, clock)


GAP = FootageGap(camera="north", begin_ns=1, end_ns=2, reason="the disk")
OPENED = SegmentOpened(camera="north", segment="1.mp4")
EXPORTED = FootageExported(
    camera="north",
    begin_time="2026-11-25T00:00:05.000Z",
    end_time="2026-11-25T00:00:25.000Z",
    by="A",
    purpose="B",
    segments=(),
    sha256="0" * 64,
)


def test_an_empty_chain_sends_no_head(rig: Rig) -> None:
    assert rig.look_after_s(120) == []


def test_the_head_is_sent_at_once_then_with_each_minute_and_an_unchanged_one_each_hour(
    rig: Rig,
) -> None:
    key = base64.b64encode(rig.identity.public_key_raw).decode()
    rig.queue.enqueue(AgentStarted(public_key=key, versions={}, recipients=()), 1)
    assert rig.look_after_s(4) == [1]
    rig.custody.append(OPENED, 2)
    assert rig.look_after_s(57.9) == [1], "the minute is over, and its counts may still come"
    assert rig.look_after_s(0.1) == [1, 2]
    assert rig.look_after_s(3599) == [1, 2]
    assert rig.look_after_s(1) == [1, 2, 2]


def test_an_export_sends_the_head_at_once_even_from_another_process(rig: Rig) -> None:
    rig.queue.enqueue(GAP, 1)
    assert rig.look_after_s(1) == [1]
    rig.open().append(EXPORTED, 2)
    assert rig.look_after_s(1) == [1, 2]
    assert rig.look_after_s(1) == [1, 2]


def test_at_the_stop_the_last_head_is_sent_once(rig: Rig) -> None:
    rig.queue.enqueue(GAP, 1)
    assert rig.look_after_s(1) == [1]
    rig.queue.enqueue(GAP, 2)
    rig.publisher.close()
    rig.publisher.close()
    assert [head.seq for head in rig.sent] == [1, 2]


@pytest.mark.raises_fault("CUS-01")
def test_a_receipt_waits_for_a_failing_disk(rig: Rig) -> None:
    rig.queue.enqueue(OPENED, 1)
    rig.look_after_s(1)
    away = rig.folder.rename(rig.folder.with_name("away"))
    rig.folder.write_text("no folder")
    rig.queue.enqueue(GAP, 2)
    rig.look_after_s(1)
    assert rig.codes() == ["CUS-01"]
    rig.folder.unlink()
    away.rename(rig.folder)
    rig.look_after_s(1)
    assert rig.codes() == []
    assert rig.kinds() == [SegmentOpened, FootageGap]


def test_the_receipt_queue_is_bounded_and_drops_the_oldest(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipt_queue, "MAX_PENDING_RECEIPTS", 2)
    for body in (OPENED, GAP, EXPORTED):
        rig.queue.enqueue(body, 1)
    rig.look_after_s(1)
    assert rig.kinds() == [FootageGap, FootageExported]


def test_an_unparsable_receipt_does_not_block_later_ones(rig: Rig) -> None:
    unparsable = ServiceAction(by="\udcff", action="status")
    rig.queue.enqueue(unparsable, 1)
    rig.queue.enqueue(GAP, 2)
    assert rig.look_after_s(1) == [1]
    assert rig.kinds() == [FootageGap]
    assert rig.codes() == []
