"""The outbox: messages on the disk until the centre has them. No loss goes unreported.

`put` from any thread; the session takes messages with `fetch` and frees them with `acknowledge`.
"""

import logging
import sqlite3
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import IO, Self, TypeVar

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.base.message import Message
from agent.faults.registry import FaultRegistry
from agent.reporting import outgoing_messages, topics
from agent.reporting.outbox import files, schema
from agent.reporting.outbox.centres import Centres
from agent.reporting.outbox.in_flight import InFlightMessages
from agent.reporting.outbox.reader import Reader
from agent.reporting.outbox.schema import OutboxRow
from agent.reporting.outbox.store import Store
from agent.reporting.outbox.writer import CommitTicket, OutboxError, Writer
from agent.reporting.outgoing_messages import OutgoingMessage, Priority
from agent.reporting.payloads import ReceiptData, SeqRange
from agent.reporting.seq_ranges import merge_ranges

log = logging.getLogger(__name__)

SESSION_TIMEOUT_S = 5.0

CLEAR_AFTER_NS = 30 * 1_000_000_000
"""STO-01 is cleared this long after the last failed read."""
T = TypeVar("T")


class ReadFault:
    """STO-01 while the outbox cannot be read. Used by the session's thread and the health stage."""

    def __init__(self, faults: FaultRegistry, clock_ns: Callable[[], int]) -> None:
        self._faults = faults
        self._clock_ns = clock_ns
        self._failed_ns: int | None = None

    def guard(self, query: Callable[[], T], default: T) -> T:
        """Return a query's result, or `default` with a fault if the database cannot be read. Health is
        still sent then.
        """
        try:
            return query()
        except sqlite3.Error as error:
            self._failed_ns = self._clock_ns()
            self._faults.raise_fault(
                "STO-01", "outbox reader", Message("it cannot be read: {reason}", reason=str(error))
            )
            return default

    def clear_if_over(self) -> None:
        """Clear the fault if the last failure is long ago."""
        failed_ns = self._failed_ns
        if failed_ns is None or self._clock_ns() - failed_ns < CLEAR_AFTER_NS:
            return
        self._failed_ns = None
        self._faults.clear("STO-01", "outbox reader")


class RowFactory:
    """Makes the rows of one box and boot. `new_id` makes a UUIDv7 of a `t_ns`. Thread-safe."""

    def __init__(self, box: str, boot: str, clock: Clock, new_id: Callable[[int], str]) -> None:
        self._box = box
        self._boot = boot
        self._clock = clock
        self._new_id = new_id

    def make(self, outgoing: OutgoingMessage) -> OutboxRow:
        """Return the row of a message, without a number."""
        return OutboxRow(
            seq=0,
            id=self._new_id(outgoing.t_ns),
            type=outgoing.type,
            topic=outgoing.topic,
            priority=outgoing.priority,
            boot=self._boot,
            t_ns=outgoing.t_ns,
            time=rfc3339(self._clock.utc(outgoing.t_ns)),
            clock=msgspec.json.encode(self._clock.trust()).decode(),
            expiry_s=outgoing.expiry_s,
            data=outgoing.data,
            header=outgoing.header,
        )

    def make_receipt(self, data: ReceiptData) -> OutboxRow:
        """Return the row of a receipt of this moment, without a number."""
        return self.make(outgoing_messages.build_receipt_message(data, self._clock.boottime_ns()))

    def make_envelope(self, t_ns: int, epoch: str, seq: int | None) -> topics.EnvelopeFields:
        """Return the envelope of a message that is not stored."""
        return topics.EnvelopeFields(
            id=self._new_id(t_ns),
            box=self._box,
            epoch=epoch,
            seq=seq,
            boot=self._boot,
            time=rfc3339(self._clock.utc(t_ns)),
            clock=self._clock.trust(),
        )

    def age_s(self, row: OutboxRow) -> float | None:
        """Return the age by boot time for a row of this boot, else by UTC if that is not negative."""
        now_ns = self._clock.boottime_ns()
        if row.boot == self._boot:
            return (now_ns - row.t_ns) / 1e9
        age_s = (self._clock.utc(now_ns) - datetime.fromisoformat(row.time)).total_seconds()
        return age_s if age_s >= 0 else None


class OutboxCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of the outbox. `lost` counts messages shed or refused under this epoch, `refused_acks`
    acknowledgements of messages that were never sent, since the agent started.
    """

    depth: int
    total_bytes: int
    oldest_age_s: float | None
    lost: int
    refused_acks: int


class Outbox:
    """The messages of one box. Created with `open`."""

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        box: str,
        boot: str,
        clock: Clock,
        max_bytes: int,
        new_id: Callable[[int], str],
        faults: FaultRegistry,
        centres: tuple[str, ...] = (),
    ) -> Self:
        """Open or create the outbox in a folder. A damaged one is quarantined.

        If the disk does not allow it now, messages fail with STO-02 until a later message finds that it
        does: the box must record meanwhile. `boot` is the kernel's boot id, `new_id` makes a UUIDv7
        of a `t_ns`. Each of `centres` has to acknowledge each message; without any, a message is freed by
        the first acknowledgement. Raises: UserError if another agent uses the folder.
        """
        outbox = cls(folder, box, boot, clock, max_bytes, new_id, faults, centres)
        outbox._start()
        return outbox

    def __init__(
        self,
        folder: Path,
        box: str,
        boot: str,
        clock: Clock,
        max_bytes: int,
        new_id: Callable[[int], str],
        faults: FaultRegistry,
        centres: tuple[str, ...],
    ) -> None:
        self.box = box
        self.boot = boot
        self._folder = folder
        self._lock_file: IO[bytes] | None = None
        self._is_checked = False
        """True once the database was found to be good, or was replaced."""
        self._epoch = str(uuid.uuid4())
        self._clock = clock
        self._max_bytes = max_bytes
        self._faults = faults
        self._rows = RowFactory(box, boot, clock, new_id)
        self._in_flight = InFlightMessages()
        self.centres = Centres(centres, self._in_flight.lock)
        self._commit_listener: Callable[[], None] = lambda: None
        self._session_number = 0
        self._refused_ack_count = 0
        self._ack_callback: tuple[int, Callable[[], None]] | None = None
        self._reader: Reader | None = None
        self._read_fault = ReadFault(faults, clock.boottime_ns)
        self._ackable_epoch: str | None = None
        """The epoch whose numbers may be acknowledged; None while a database is replaced."""
        self._writer = Writer(
            self._open_store,
            self._replace_damaged,
            self._in_flight,
            self._on_commit,
            self._on_write_error,
            self._write_centres,
        )

    def _start(self) -> None:
        try:
            self._writer.start()
        except BaseException:
            if self._lock_file is not None:
                self._lock_file.close()
            raise
        self._reader = Reader(files.database_path(self._folder), self._in_flight, self._on_damage)

    @property
    def epoch(self) -> str:
        """Name of the database. It changes if a damaged one is replaced."""
        return self._epoch

    @property
    def has_losses(self) -> bool:
        """True if messages were shed or refused that no receipt names yet."""
        return self._writer.has_losses

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit on the writer's thread; it must be quick."""
        self._commit_listener = listener

    def put(
        self, outgoing: OutgoingMessage, on_acked: Callable[[], None] | None = None
    ) -> CommitTicket:
        """Queue a message. It is on the disk once the ticket says so.

        `on_acked` is called when the message is acknowledged, on the acknowledging thread; it must be
        quick. Only the latest `on_acked` is kept. Raises: OutboxError if the outbox is closed or the
        disk has not kept up for seconds.
        """
        row = self._rows.make(outgoing)
        newest_only = outgoing.newest_only
        is_urgent = outgoing.priority == Priority.EMERGENCY

        def add(store: Store) -> int | None:
            seq = store.add(row, newest_only=newest_only)
            if seq and on_acked is not None:
                # Before the commit, so before the message can be sent.
                self._ack_callback = (seq, on_acked)
            return seq

        return self._writer.submit(add, is_urgent=is_urgent)

    def fetch(
        self, limit: int, limit_bytes: int = files.NO_LIMIT, emergency_limit: int = 0
    ) -> list[OutboxRow]:
        """Return messages to send now, each once until `requeue_in_flight`: at most `limit`, and emergencies up to
        `emergency_limit` if that is more; the last is the one that reaches `limit_bytes`. Empty, with a fault, if the database
        cannot be read now.
        """
        emergency_limit = max(limit, emergency_limit)
        if emergency_limit <= 0:
            return []
        return self._read(lambda r: r.fetch(limit, limit_bytes, emergency_limit), [])

    def refetch(self, seqs: Iterable[int]) -> list[OutboxRow] | None:
        """Return messages in flight, to be sent again, without those that were deleted; None if the
        database cannot be read now.
        """
        return self._read(lambda r: r.refetch(seqs), None)

    def requeue_in_flight(self) -> frozenset[int]:
        """Let messages that were fetched and have not arrived be fetched again. Return their numbers."""
        self.expect_centres(frozenset())
        return self._reader.requeue_in_flight() if self._reader else frozenset()

    def acknowledge(
        self, epoch: str, ranges: tuple[SeqRange, ...], centre: str | None = None
    ) -> tuple[SeqRange, ...]:
        """Note that messages have arrived, at a centre or, if that is None, at the broker. Return those that are
        free, or settled. Numbers of another epoch are ignored; others that were never sent are refused.
        """
        last_seq = self._writer.counts.last_seq
        with self._in_flight.lock:
            # Not while a database is replaced: the new one assigns the same numbers again.
            if epoch != self._ackable_epoch:
                return ()
            may_acknowledge = centre is None or self.centres.may_acknowledge(centre)
            accepted = tuple(
                span
                for span in ranges
                if may_acknowledge
                and 0 < span.first <= span.last <= last_seq
                and self._in_flight.was_sent(span)
            )
            refused_count = sum(span.last > 0 for span in ranges) - len(accepted)
            if refused_count:
                self._refused_ack_count += refused_count
                reason = "of messages never sent" if may_acknowledge else f"of centre {centre!r}"
                log.warning("refused: %d acknowledgements %s", refused_count, reason)
            if not accepted:
                return ()
            free = accepted if centre is None else self.centres.acknowledge(centre, accepted)
            settled = self._settle(free)
            if self.centres.named:
                self._writer.note_centres()
        ack_callback = self._ack_callback
        if ack_callback is not None and any(s.first <= ack_callback[0] <= s.last for s in accepted):
            self._ack_callback = None
            ack_callback[1]()
        return merge_ranges((*free, *settled))

    def acked_upto(self, centre: str | None = None) -> int:
        """Return the number up to which no message will be sent any more, or a named centre has each; 0 if
        it cannot be read.
        """
        acked = () if centre is None else self.centres.acked_by(centre)
        return self._read(lambda r: r.acked_upto(acked), 0)

    def acked_upto_by_centre(self) -> dict[str, int]:
        """Return `acked_upto` for each named centre."""
        return {name: self.acked_upto(name) for name in self.centres.named}

    def next_session_number(self) -> int:
        """Return the number of a new connection. On a full disk it is counted in memory only, so that
        the box can still connect and free messages.
        """
        stored = 0
        try:
            ticket = self._writer.submit(lambda store: store.next_session(), is_urgent=True)
            ticket.wait(SESSION_TIMEOUT_S)
            stored = ticket.seq
        except OutboxError as error:
            log.warning("the session's number is not stored: %s", error)
        self._session_number = max(self._session_number + 1, stored)
        return self._session_number

    def remember_centre(self, name: str, *, is_retired: bool) -> None:
        """Store that there is a centre, or no more, over restarts of the box and of the broker."""
        with self._in_flight.lock:
            if not self.centres.remember(name, is_retired=is_retired):
                return
            # What only that one lacked is free if it has retired.
            self._settle(self.centres.free())
        self._writer.note_centres()

    def expect_centres(self, names: frozenset[str]) -> tuple[SeqRange, ...]:
        """Set the named centres that acknowledge now. Return the messages that all of them have, which are not
        sent again until others are expected.
        """
        with self._in_flight.lock:
            self.centres.expect(names)
            settled = self._settle(())
        if self._reader:
            self._reader.note_change()
        return settled

    def report_losses(self) -> None:
        """Write a receipt of the losses since the last one, if there are any."""

        def report(store: Store) -> int | None:
            losses = store.pop_losses()
            return 0 if losses is None else store.add(self._rows.make_receipt(losses))

        self._writer.submit(report, is_urgent=False)

    def counts(self) -> OutboxCounts:
        """Return the contents for health, without the age if the database cannot be read."""
        writer_counts = self._writer.counts
        oldest = self._read(Reader.oldest_unacked, None) if writer_counts.depth else None
        self._read_fault.clear_if_over()
        return OutboxCounts(
            depth=writer_counts.depth,
            total_bytes=writer_counts.total_bytes,
            oldest_age_s=None if oldest is None else self._rows.age_s(oldest),
            lost=writer_counts.lost,
            refused_acks=self._refused_ack_count,
        )

    @property
    def depth(self) -> int:
        """Number of messages as of the last commit."""
        return self._writer.counts.depth

    def has_unsettled(self) -> bool:
        """Return True if there are messages that a listening centre, or the broker, has not acknowledged."""
        return self.depth > 0 and self._read(Reader.has_unsettled, default=True)

    @property
    def is_writing(self) -> bool:
        """True if a message was put that is neither on the disk nor refused yet."""
        return self._writer.is_writing

    def make_envelope(self, t_ns: int, *, seq: int | None) -> topics.EnvelopeFields:
        """Return the envelope of a message that is not stored."""
        return self._rows.make_envelope(t_ns, self._epoch, seq)

    def envelope_now(self) -> topics.EnvelopeFields:
        """Return the envelope of a message of this moment that is not stored."""
        return self.make_envelope(self._clock.boottime_ns(), seq=None)

    def close(self) -> None:
        """Commit the messages that wait, and unlock the folder."""
        self._writer.close()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        if self._lock_file is not None:
            self._lock_file.close()

    def _read(self, query: Callable[[Reader], T], default: T) -> T:
        reader = self._reader
        return default if reader is None else self._read_fault.guard(lambda: query(reader), default)

    def _open_store(self) -> Store:
        """Lock the folder, check the database once, and open it.

        Raises: UserError if another agent uses the folder, OSError, sqlite3.Error.
        """
        if self._lock_file is None:
            self._lock_file = files.lock_dir(self._folder)
        if not self._is_checked:
            reason = files.find_damage(self._folder)
            if reason is not None:
                self._replace_damaged(reason)
        connection = schema.open_connection(files.database_path(self._folder))
        try:
            schema.set_pragmas(connection)
            store = Store(connection, self._max_bytes, self._in_flight)
            if self._ackable_epoch is None:
                self._load_centres(store)
        except BaseException:
            connection.close()
            raise
        if not self._is_checked:
            self._is_checked = True
            self._in_flight.earlier_upto = store.state.last_seq
        self._epoch = self._ackable_epoch = store.state.epoch
        self._session_number = max(self._session_number, store.state.session)
        return store

    def _load_centres(self, store: Store) -> None:
        """Read the table of centres. A change of the configuration may have freed messages."""
        free = self.centres.load(store.read_centres())
        if free:
            store.begin()
            store.acknowledge(free)
            store.commit()

    def _replace_damaged(self, reason: str) -> None:
        """Replace the damaged database; the reader waits. Raises: OSError or sqlite3.Error, with a
        fault, if the disk does not allow it now.
        """
        with self._in_flight.lock:
            if self._reader:
                self._reader.close()
            self._ackable_epoch = None
            try:
                damaged_name = files.replace_damaged_database(
                    self._folder, reason, self._rows.make_receipt
                )
            except (OSError, sqlite3.Error) as error:
                detail = Message(
                    "{reason}; not set aside: {error}", reason=reason, error=str(error)
                )
                self._faults.raise_fault("STO-01", "outbox", detail)
                raise
            self._in_flight.reset()
        log.error("outbox damaged: %s; set aside as %s", reason, damaged_name)
        detail = Message("{reason}; set aside as {name}", reason=reason, name=damaged_name)
        self._faults.raise_fault("STO-01", "outbox", detail)

    def _settle(self, free: tuple[SeqRange, ...]) -> tuple[SeqRange, ...]:
        """Delete what is free, and return what all expected centres have. The caller holds the lock."""
        if free:
            self._in_flight.acknowledge(free)
            self._writer.acknowledge(free)
        settled = self.centres.settled()
        self._in_flight.settle(settled)
        return settled

    def _write_centres(self, store: Store) -> None:
        store.write_centres(self.centres.rows())

    def _on_damage(self, reason: str) -> None:
        self._writer.report_damage(reason)

    def _on_commit(self) -> None:
        if self._reader:
            self._reader.note_change()
        self._commit_listener()

    def _on_write_error(self, problem: str | None) -> None:
        if problem is None:
            self._faults.clear("STO-02", "outbox")
        else:
            self._faults.raise_fault("STO-02", "outbox", Message("{reason}", reason=problem))
