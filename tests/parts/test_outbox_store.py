"""agent.reporting.outbox.store: its drop rule and its numbers, checked against a plain list."""

import sqlite3

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.reporting.outbox import schema
from agent.reporting.outbox.in_flight import InFlightMessages
from agent.reporting.outbox.schema import ROW_OVERHEAD_BYTES, OutboxRow, OutboxState
from agent.reporting.outbox.store import Store
from agent.reporting.outgoing_messages import Priority
from agent.reporting.payloads import OutboxMessageType, SeqRange

TYPES: dict[Priority, OutboxMessageType] = {
    Priority.EMERGENCY: "event",
    Priority.EVENT: "event",
    Priority.RECEIPT: "receipt",
    Priority.TRAFFIC_COUNTS: "flow",
    Priority.SNAPSHOT: "snapshot",
}
CAP = 10 * ROW_OVERHEAD_BYTES


def message(priority: Priority, data: bytes = b"", seq: int = 0) -> OutboxRow:
    return OutboxRow(
        seq=seq,
        id="i",
        type=TYPES[priority],
        topic=TYPES[priority],
        priority=priority,
        boot="b",
        t_ns=1,
        time="t",
        clock="{}",
        expiry_s=None,
        data=data,
        header=None,
    )


def new_store(cap: int, book: InFlightMessages) -> tuple[sqlite3.Connection, Store]:
    connection = schema.open_connection(":memory:")  # type: ignore[arg-type]
    state = OutboxState(epoch="e", last_seq=0, session=0, lost=0)
    schema.create_tables(connection, state)
    return connection, Store(connection, cap, book)


class OutboxModel(RuleBasedStateMachine):
    """`waiting` is the expected content of the outbox, `gone` its dropped messages, and `reported` those
    named in its receipts.
    """

    @initialize()
    def begin(self) -> None:
        self.book = InFlightMessages()
        self.connection, self.store = new_store(CAP, self.book)
        self.waiting: dict[int, OutboxRow] = {}
        self.settled: set[int] = set()
        self.gone: set[int] = set()
        self.reported: set[int] = set()
        self.refused = 0
        self.refusals_reported = 0
        self.last_seq = 0
        self.loans: set[int] = set()

    def teardown(self) -> None:
        self.connection.close()

    def size(self) -> int:
        return sum(ROW_OVERHEAD_BYTES + len(row.data) for row in self.waiting.values())

    def expect(self, new: OutboxRow) -> int | None:
        """Apply the drop rule to a new message, in a second and simpler form."""
        wanted = self.size() + ROW_OVERHEAD_BYTES + len(new.data) - CAP
        for priority in (Priority.SNAPSHOT, Priority.TRAFFIC_COUNTS):
            for seq in sorted(self.waiting):
                if wanted <= 0 or priority < new.priority:
                    break
                row = self.waiting[seq]
                if row.priority == priority and seq not in self.loans:
                    wanted -= ROW_OVERHEAD_BYTES + len(row.data)
                    del self.waiting[seq]
                    self.gone.add(seq)
        if wanted > 0 and new.priority > Priority.RECEIPT:
            self.refused += 1
            return None
        self.last_seq += 1
        self.waiting[self.last_seq] = msgspec.structs.replace(new, seq=self.last_seq)
        return self.last_seq

    @rule(priority=st.sampled_from(list(TYPES)), length=st.integers(0, 1500))
    def put(self, priority: Priority, length: int) -> None:
        new = message(priority, bytes(length))
        self.store.begin()
        got = self.store.add(new)
        self.store.commit()
        self.book.release_reservations()
        assert got == self.expect(new)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def lend(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.waiting)))
        assert self.book.try_mark_in_flight(seq, is_urgent=False) == (seq not in self.loans)
        self.loans.add(seq)

    @rule()
    def take_back(self) -> None:
        self.book.requeue_in_flight()
        self.loans.clear()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        first = data.draw(st.sampled_from(sorted(self.waiting)))
        span = SeqRange(first, first + data.draw(st.integers(0, 3)))
        self.book.acknowledge((span,))
        self.store.begin()
        self.store.acknowledge((span,))
        self.store.commit()
        self.book.forget_deleted((span,))
        here = {seq for seq in self.waiting if span.first <= seq <= span.last}
        self.settled |= here
        self.loans -= here
        for seq in here:
            del self.waiting[seq]

    @rule()
    def report(self) -> None:
        self.store.begin()
        lost = self.store.pop_losses()
        self.store.commit()
        if lost is None:
            assert self.reported == self.gone
            return
        named = {seq for span in lost.ranges for seq in range(span.first, span.last + 1)}
        assert not named & self.reported
        self.reported |= named
        self.refusals_reported = self.refused
        assert lost.count == sum(lost.by_type.values())
        assert len(self.reported) == len(self.gone)

    @rule()
    def start_again(self) -> None:
        self.book.requeue_in_flight()
        self.loans.clear()
        self.store = Store(self.connection, CAP, self.book)

    @invariant()
    def no_number_is_unaccounted_for(self) -> None:
        rows = [
            schema.decode_row(row)
            for row in self.connection.execute(schema.SELECT_MESSAGES + "ORDER BY seq")
        ]
        assert {row.seq: row for row in rows} == self.waiting
        assert self.store.depth == len(self.waiting)
        assert self.store.total_bytes == self.size()
        assert self.store.state.last_seq == self.last_seq
        assert self.store.state.lost == len(self.gone) + self.refused
        assert set(range(1, self.last_seq + 1)) == set(self.waiting) | self.settled | self.gone
        assert self.store.has_losses == (
            self.reported != self.gone or self.refusals_reported != self.refused
        )
        schema.check_integrity(self.connection)


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_newer_report_replaces_one_that_was_never_in_flight() -> None:
    book = InFlightMessages()
    connection, store = new_store(CAP, book)
    store.begin()
    first = store.add(message(Priority.TRAFFIC_COUNTS, b"old"), newest_only=True)
    event = store.add(message(Priority.EVENT))
    assert store.add(message(Priority.TRAFFIC_COUNTS, b"newer"), newest_only=True) == first
    store.commit()
    book.release_reservations()
    rows = [schema.decode_row(row) for row in connection.execute(schema.SELECT_MESSAGES)]
    assert [(row.seq, row.data) for row in rows] == [(first, b"newer"), (event, b"")]
    assert store.total_bytes == 2 * ROW_OVERHEAD_BYTES + 5
    store.close()


def test_a_report_once_in_flight_keeps_its_number() -> None:
    book = InFlightMessages()
    _, store = new_store(CAP, book)
    store.begin()
    first = store.add(message(Priority.TRAFFIC_COUNTS, b"old"), newest_only=True)
    store.commit()
    book.release_reservations()
    assert first is not None
    assert book.try_mark_in_flight(first, is_urgent=False)
    book.advance_cursor(first)
    book.requeue_in_flight()
    store.begin()
    assert store.add(message(Priority.TRAFFIC_COUNTS, b"new"), newest_only=True) == first + 1
    store.close()


def test_a_message_settled_during_its_deletion_is_not_sent_again() -> None:
    book = InFlightMessages()
    assert book.try_mark_in_flight(5, is_urgent=False)
    book.acknowledge((SeqRange(1, 5),))
    assert not book.try_mark_in_flight(5, is_urgent=False)
    book.forget_deleted((SeqRange(1, 5),))
    assert book.tracked_count == 0


def test_a_rows_checksum_covers_its_types() -> None:
    assert schema.checksum(1, "2") != schema.checksum(1, 2)
    assert schema.checksum(1, b"2") != schema.checksum(1, "2")
