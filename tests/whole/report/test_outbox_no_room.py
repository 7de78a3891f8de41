"""An outbox whose file is damaged or unreadable while the disk is full or fails: readable messages are
sent when possible, and health reports continue.
"""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from agent.base.uuid7 import uuid7_factory
from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting import outgoing_messages
from agent.reporting.mqtt.mqtt_stage import MqttStage
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox import files, writer
from agent.reporting.outbox.outbox import CLEAR_AFTER_NS, Outbox
from agent.reporting.outbox.salvage import salvage
from agent.reporting.outbox.schema import OutboxRow
from agent.reporting.outbox.submit import MessageSubmitter
from agent.reporting.outbox.writer import OutboxError
from agent.reporting.payloads import HealthMessage, OutboxDamaged, ReceiptData, SeqRange
from tests.conftest import ManualClock
from tests.parts.test_health_file import REPORT
from tests.whole.no_room import no_room
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK, event_number, make_event
from tests.whole.report.reporting_box import (
    BIRTH,
    CentreListener,
    FastRandom,
    run_until,
    wait_until,
)


class Kept:
    """An outbox, its clock and its faults."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.folder = folder
        self.clock = clock
        self.faults = FaultRegistry(clock.boottime_ns)
        self.outbox = Outbox.open(
            folder,
            box="pole-17",
            boot="c0ffee00-0000-4000-8000-000000000000",
            clock=clock,
            max_bytes=50_000_000,
            new_id=uuid7_factory(lambda t_ns: t_ns, random.Random(1)),
            faults=self.faults,
        )

    def put(self, *numbers: int) -> None:
        for number in numbers:
            assert self.outbox.put(make_event(number)).wait(60)

    def numbers(self) -> list[int]:
        self.outbox.requeue_in_flight()
        return [event_number(row.data) for row in self.outbox.fetch(1000) if row.type == "event"]

    def receipts(self) -> list[ReceiptData]:
        self.outbox.requeue_in_flight()
        rows = [row for row in self.outbox.fetch(1000) if row.type == "receipt"]
        return [msgspec.json.decode(row.data, type=ReceiptData) for row in rows]

    def reported(self, code: str, subject: str) -> str | None:
        """The detail of a fault, None where it is not there."""
        standing = self.faults.active()
        return next((f.detail for f in standing if (f.code, f.subject) == (code, subject)), None)

    def damage(self, seq: int) -> None:
        """A bit has flipped in a message, as in a worn card."""
        other = sqlite3.connect(files.database_path(self.folder))
        other.execute("UPDATE message SET data = X'00' WHERE seq = ?", (seq,))
        other.commit()
        other.close()


@pytest.fixture
def kept(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    monkeypatch.setattr(writer, "RETRY_S", 0.01)
    kept = Kept(tmp_path / "outbox", clock)
    yield kept
    kept.outbox.close()


@pytest.mark.raises_fault("STO-01", "STO-02")
def test_an_outbox_damaged_on_a_full_disk_is_repaired_when_there_is_room(kept: Kept) -> None:
    kept.put(*range(1, 11))
    epoch = kept.outbox.epoch
    kept.damage(7)
    with no_room():
        assert kept.outbox.fetch(100) == []
        wait_until(lambda: "not set aside" in (kept.reported("STO-01", "outbox") or ""))
        wait_until(lambda: kept.reported("STO-02", "outbox"))
        # `put` raises an error: a message in a damaged file might never leave it.
        with pytest.raises(OutboxError, match="cannot write to the outbox"):
            kept.outbox.put(make_event(11)).wait(60)
        assert kept.outbox.counts().depth == 10
        assert kept.outbox.acked_upto() == 0
        assert kept.outbox.fetch(100) == []
    wait_until(lambda: kept.outbox.epoch != epoch)
    kept.put(12)
    assert kept.numbers() == [1, 2, 3, 4, 5, 6, 8, 9, 10, 12]
    (receipt,) = kept.receipts()
    assert isinstance(receipt, OutboxDamaged)
    assert (receipt.quarantined_as, receipt.recovered, receipt.unreadable) == ("damaged-1", 9, 1)
    assert (
        kept.reported("STO-01", "outbox")
        == "message 7 has a wrong checksum; set aside as damaged-1"
    )
    assert kept.reported("STO-02", "outbox") is None


def test_an_outbox_damaged_on_a_full_disk_can_be_closed(kept: Kept) -> None:
    kept.put(1, 2)
    kept.damage(1)
    with no_room():
        kept.outbox.fetch(100)
        wait_until(lambda: kept.reported("STO-02", "outbox"))
        kept.outbox.close()
    again = Kept(kept.folder, kept.clock)
    assert again.numbers() == [2]
    again.outbox.close()


def test_acknowledgements_of_the_old_database_delete_nothing_in_the_new_one(
    kept: Kept,
) -> None:
    kept.put(*range(1, 11))
    epoch = kept.outbox.epoch
    kept.outbox.fetch(4)
    kept.damage(7)
    held = sqlite3.connect(files.database_path(kept.folder), isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    ticket = kept.outbox.put(make_event(11))
    # The writer waits for its turn: what follows comes to it at once.
    assert kept.outbox.acknowledge(epoch, (SeqRange(1, 4),)) == (SeqRange(1, 4),)
    assert kept.outbox.fetch(100) == []
    held.execute("ROLLBACK")
    held.close()
    assert ticket.wait(60)
    wait_until(lambda: kept.outbox.epoch != epoch)
    kept.put(12)
    assert kept.outbox.acknowledge(epoch, (SeqRange(1, 4),)) == ()
    kept.put(13)
    assert len(kept.receipts()) == 1
    assert set(kept.numbers()) >= {5, 6, 8, 9, 10, 11, 12, 13}


def test_an_outbox_that_cannot_be_opened_at_the_start_is_opened_later(tmp_path: Path) -> None:
    clock = ManualClock()
    earlier = Kept(tmp_path, clock)
    earlier.put(1, 2)
    earlier.outbox.close()
    with no_room():
        kept = Kept(tmp_path, clock)
        submitter = MessageSubmitter(kept.outbox)
        assert kept.reported("STO-02", "outbox")
        assert kept.outbox.next_session_number() == 1
        submitter.submit(make_event(3))
        with pytest.raises(OutboxError, match="cannot write to the outbox"):
            kept.outbox.put(make_event(4)).wait(60)
    # The next message finds that the disk has room.
    wait_until(lambda: submitter.submit(make_event(5)) or kept.outbox.depth >= 4)
    assert kept.reported("STO-02", "outbox") is None
    assert kept.numbers()[:4] == [1, 2, 3, 5]
    kept.outbox.close()


def test_an_outbox_in_a_place_that_is_no_folder_is_a_fault_and_no_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    kept = Kept(tmp_path / "file" / "outbox", ManualClock())
    assert "Not a directory" in str(kept.reported("STO-02", "outbox"))
    assert kept.outbox.fetch(10) == []
    assert kept.outbox.counts().depth == 0
    with pytest.raises(OutboxError, match="Not a directory"):
        kept.outbox.put(make_event(1)).wait(60)
    kept.outbox.close()


RECEIPT = OutboxRow(
    seq=0,
    id="019a4901-3c62-7d2a-9f0e-5c1b7a20e4d7",
    type="receipt",
    topic="receipt",
    priority=outgoing_messages.Priority.RECEIPT,
    boot="c0ffee00-0000-4000-8000-000000000000",
    t_ns=1,
    time="2026-11-03T07:41:05.250Z",
    clock='{"synced":false,"source":"none","error_s":null}',
    expiry_s=None,
    data=b"{}",
    header=None,
)


def test_a_database_that_cannot_be_opened_now_does_not_count_as_damaged(kept: Kept) -> None:
    kept.put(1, 2, 3)
    kept.outbox.close()
    # There is no room for the index of the WAL, so SQLite cannot even begin to read.
    with no_room(), pytest.raises(sqlite3.OperationalError):
        salvage(files.database_path(kept.folder))
    assert files.replace_damaged_database(kept.folder, "a reason", lambda _: RECEIPT) == "damaged-1"
    again = Kept(kept.folder, kept.clock)
    assert again.numbers() == [1, 2, 3]
    again.outbox.close()


@pytest.mark.parametrize("came_to", ["a new one beside it", "a new one alone"])
def test_an_interrupted_replacement_is_continued(kept: Kept, came_to: str) -> None:
    kept.put(1, 2, 3)
    kept.outbox.close()
    current, new = kept.folder / "current", kept.folder / "new"
    assert files.replace_damaged_database(kept.folder, "a reason", lambda _: RECEIPT) == "damaged-1"
    current.rename(new)
    if came_to == "a new one beside it":
        (kept.folder / "damaged-1").rename(current)
    assert files.replace_damaged_database(kept.folder, "a reason", lambda _: RECEIPT) == "damaged-1"
    assert not new.exists()
    again = Kept(kept.folder, kept.clock)
    assert again.numbers() == [1, 2, 3]
    again.outbox.close()


def test_a_reader_reopens_a_closed_database_connection(kept: Kept) -> None:
    kept.put(1, 2)
    reader = kept.outbox._reader
    assert reader is not None
    assert reader.oldest_unacked() is not None
    assert reader._db is not None
    reader._db.close()
    assert kept.outbox.counts().depth == 2
    assert kept.numbers() == [1, 2]


@contextmanager
def nothing_to_be_read(kept: Kept) -> Iterator[None]:
    """SQLite answers each question with an error, as it does where the disk gives nothing."""
    reader = kept.outbox._reader
    assert reader is not None
    aside = kept.folder / "aside"
    reader.close()
    (kept.folder / "current").rename(aside)
    with pytest.raises(sqlite3.OperationalError):
        reader.oldest_unacked()
    try:
        yield
    finally:
        aside.rename(kept.folder / "current")


@pytest.mark.raises_fault("STO-01")
def test_an_unreadable_outbox_is_a_fault_and_does_not_silence_health(
    broker: Mosquitto, kept: Kept
) -> None:
    received = CentreListener(BrokerConfig(url=broker.url, keepalive_s=5))
    session = MqttSession(kept.outbox, CLOCK)
    stage = MqttStage(
        session,
        BrokerConfig(url=broker.url, keepalive_s=5, ack="broker"),
        kept.faults,
        lambda: BIRTH,
        FastRandom(3),
    )

    def reported() -> list[float]:
        messages = [item.message for item in list(received.received)]
        return [m.data.uptime_s for m in messages if isinstance(m, HealthMessage)]

    with received:
        kept.put(1, 2, 3)
        with nothing_to_be_read(kept):
            health = session.health()
            assert (health.depth, health.oldest_age_s) == (3, None)
            assert "cannot be read" in (kept.reported("STO-01", "outbox reader") or "")
            session.unstored.put(
                outgoing_messages.build_health_message(REPORT, CLOCK.boottime_ns(), 600)
            )
            run_until(stage, reported)
            # Through the connection's own trouble with it, too: it stays connected.
            assert session.health().connected
            assert [birth.session for birth in received.births()] == [1]
        run_until(stage, lambda: kept.outbox.depth == 0)
        received.wait_for(lambda: sorted(received.event_numbers()) == [1, 2, 3])
        assert [birth.session for birth in received.births()] == [1]
        session.health()
        assert kept.reported("STO-01", "outbox reader")
        kept.clock.advance_s(CLEAR_AFTER_NS / 1e9)
        session.health()
        assert kept.faults.active() == ()
        stage.close()
