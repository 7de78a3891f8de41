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
from agent.faults.registry import FaultRegistry
from agent.reporting import topics
from agent.reporting.outbox import files, schema
from agent.reporting.outbox.in_flight import InFlightMessages
from agent.reporting.outbox.reader import Reader
from agent.reporting.outbox.schema import OutboxRow
from agent.reporting.outbox.store import Store
from agent.reporting.outbox.writer import CommitTicket, OutboxError, Writer
from agent.reporting.payloads import ReceiptData, SeqRange
from agent.reporting.topics import OutgoingMessage, Priority

log = logging.getLogger(__name__)

SESSION_TIMEOUT_S = 5.0
READ_FAULT_CLEAR_NS = 30 * 1_000_000_000
"""The fault of a failed read is cleared this long after the last one."""
T = TypeVar("T")


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
    ) -> Self:
        """Open or create the outbox in a folder. A damaged one is quarantined.

        If the disk does not allow it now, messages fail with STO-02 until a later message finds that it
        does: the box must record meanwhile. `boot` is the kernel's boot id, `new_id` makes a UUIDv7
        of a `t_ns`. Raises: UserError if another agent uses the folder.
        """
        outbox = cls(folder, box, boot, clock, max_bytes, new_id, faults)
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
    ) -> None:
        self.box = box
        self.boot = boot
        self._folder = folder
        self._lock_file: IO[bytes] | None = None
        self._is_checked = False
        """True once the database was found to be good, or was replaced."""
        self._epoch = str(uuid.uuid4())
        self._is_centre_known = False
        self._clock = clock
        self._max_bytes = max_bytes
        self._new_id = new_id
        self._faults = faults
        self._in_flight = InFlightMessages()
        self._commit_listener: Callable[[], None] = lambda: None
        self._session_number = 0
        self._refused_ack_count = 0
        self._ack_callback: tuple[int, Callable[[], None]] | None = None
        self._reader: Reader | None = None
        self._read_failed_ns: int | None = None
        self._ackable_epoch: str | None = None
        """The epoch whose numbers may be acknowledged; None while a database is replaced."""
        self._writer = Writer(
            self._open_store,
            self._replace_damaged,
            self._in_flight,
            self._on_commit,
            self._on_write_error,
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
    def is_centre_known(self) -> bool:
        """True if a centre has announced itself to this box."""
        return self._is_centre_known

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
        row = self._make_row(outgoing)
        newest_only = outgoing.newest_only
        is_urgent = outgoing.priority == Priority.EMERGENCY

        def add(store: Store) -> int | None:
            seq = store.add(row, newest_only=newest_only)
            if seq and on_acked is not None:
                # Before the commit, so before the message can be sent.
                self._ack_callback = (seq, on_acked)
            return seq

        return self._writer.submit(add, is_urgent=is_urgent)

    def fetch(self, limit: int, limit_bytes: int = files.NO_LIMIT) -> list[OutboxRow]:
        """Return messages to send now, each once until `requeue_in_flight`: at most `limit`, up to the
        one that reaches `limit_bytes`. Empty, with a fault, if the database cannot be read now.
        """
        return self._read(lambda r: r.fetch(limit, limit_bytes), []) if limit > 0 else []

    def refetch(self, seqs: Iterable[int]) -> list[OutboxRow] | None:
        """Return messages in flight, to be sent again, without those that were deleted; None if the
        database cannot be read now.
        """
        return self._read(lambda r: r.refetch(seqs), None)

    def requeue_in_flight(self) -> None:
        """Let messages that were fetched and have not arrived be fetched again."""
        if self._reader:
            self._reader.requeue_in_flight()

    def acknowledge(self, epoch: str, ranges: tuple[SeqRange, ...]) -> tuple[SeqRange, ...]:
        """Free messages that have arrived, and return the accepted ranges. Numbers of another epoch are
        ignored, numbers that were never sent are refused.
        """
        last_seq = self._writer.counts.last_seq
        with self._in_flight.lock:
            # Not while a database is replaced: the new one assigns the same numbers again.
            if epoch != self._ackable_epoch:
                return ()
            accepted = tuple(
                span
                for span in ranges
                if 0 < span.first <= span.last <= last_seq and self._in_flight.was_sent(span)
            )
            refused_count = sum(span.last > 0 for span in ranges) - len(accepted)
            if refused_count:
                self._refused_ack_count += refused_count
                log.warning("refused: %d acknowledgements of messages never sent", refused_count)
            ranges = accepted
            if not ranges:
                return ()
            self._in_flight.acknowledge(ranges)
            self._writer.acknowledge(ranges)
        ack_callback = self._ack_callback
        if ack_callback is not None and any(s.first <= ack_callback[0] <= s.last for s in ranges):
            self._ack_callback = None
            ack_callback[1]()
        return ranges

    def acked_upto(self) -> int:
        """Return the number up to which no message will be sent any more; 0 if it cannot be read."""
        return self._read(Reader.acked_upto, 0)

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

    def remember_centre(self, *, is_known: bool) -> None:
        """Store whether there is a centre, over restarts of the box and of the broker."""
        self._is_centre_known = is_known

        def remember(store: Store) -> int:
            store.remember_centre(is_known=is_known)
            return 0

        self._writer.submit(remember, is_urgent=True)

    def report_losses(self) -> None:
        """Write a receipt of the losses since the last one, if there are any."""

        def report(store: Store) -> int | None:
            losses = store.pop_losses()
            return 0 if losses is None else store.add(self._make_receipt_row(losses))

        self._writer.submit(report, is_urgent=False)

    def counts(self) -> OutboxCounts:
        """Return the contents for health, without the age if the database cannot be read."""
        writer_counts = self._writer.counts
        oldest = self._read(Reader.oldest_unacked, None) if writer_counts.depth else None
        self._clear_read_fault()
        return OutboxCounts(
            depth=writer_counts.depth,
            total_bytes=writer_counts.total_bytes,
            oldest_age_s=None if oldest is None else self._age_s(oldest),
            lost=writer_counts.lost,
            refused_acks=self._refused_ack_count,
        )

    @property
    def depth(self) -> int:
        """Number of messages as of the last commit."""
        return self._writer.counts.depth

    @property
    def is_writing(self) -> bool:
        """True if a message was put that is neither on the disk nor refused yet."""
        return self._writer.is_writing

    def make_envelope(self, t_ns: int, *, seq: int | None) -> topics.EnvelopeFields:
        """Return the envelope of a message that is not stored."""
        return topics.EnvelopeFields(
            id=self._new_id(t_ns),
            box=self.box,
            epoch=self._epoch,
            seq=seq,
            boot=self.boot,
            time=rfc3339(self._clock.utc(t_ns)),
            clock=self._clock.trust(),
        )

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
        """Return a query's result, or `default` with a fault if the database cannot be read. Health is
        still sent then.
        """
        reader = self._reader
        if reader is None:
            return default
        try:
            return query(reader)
        except sqlite3.Error as error:
            self._read_failed_ns = self._clock.boottime_ns()
            self._faults.raise_fault("STO-01", "outbox reader", f"it cannot be read: {error}")
            return default

    def _clear_read_fault(self) -> None:
        failed_ns = self._read_failed_ns
        if failed_ns is None or self._clock.boottime_ns() - failed_ns < READ_FAULT_CLEAR_NS:
            return
        self._read_failed_ns = None
        self._faults.clear("STO-01", "outbox reader")

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
        except BaseException:
            connection.close()
            raise
        if not self._is_checked:
            self._is_checked = True
            self._in_flight.earlier_upto = store.state.last_seq
        self._epoch = self._ackable_epoch = store.state.epoch
        self._is_centre_known = store.state.centre_known
        self._session_number = max(self._session_number, store.state.session)
        return store

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
                    self._folder, reason, self._make_receipt_row
                )
            except (OSError, sqlite3.Error) as error:
                self._faults.raise_fault("STO-01", "outbox", f"{reason}; not set aside: {error}")
                raise
            self._in_flight.reset()
        log.error("outbox damaged: %s; set aside as %s", reason, damaged_name)
        self._faults.raise_fault("STO-01", "outbox", f"{reason}; set aside as {damaged_name}")

    def _make_row(self, outgoing: OutgoingMessage) -> OutboxRow:
        """Return the row of a message, with time and clock trust of this moment, without a number."""
        return OutboxRow(
            seq=0,
            id=self._new_id(outgoing.t_ns),
            type=outgoing.type,
            topic=outgoing.topic,
            priority=outgoing.priority,
            boot=self.boot,
            t_ns=outgoing.t_ns,
            time=rfc3339(self._clock.utc(outgoing.t_ns)),
            clock=msgspec.json.encode(self._clock.trust()).decode(),
            expiry_s=outgoing.expiry_s,
            data=outgoing.data,
            header=outgoing.header,
        )

    def _make_receipt_row(self, data: ReceiptData) -> OutboxRow:
        return self._make_row(topics.build_receipt_message(data, self._clock.boottime_ns()))

    def _age_s(self, row: OutboxRow) -> float | None:
        """Return the age by boot time for a row of this boot, else by UTC if that is not negative."""
        now_ns = self._clock.boottime_ns()
        if row.boot == self.boot:
            return (now_ns - row.t_ns) / 1e9
        age_s = (self._clock.utc(now_ns) - datetime.fromisoformat(row.time)).total_seconds()
        return age_s if age_s >= 0 else None

    def _on_damage(self, reason: str) -> None:
        self._writer.report_damage(reason)

    def _on_commit(self) -> None:
        if self._reader:
            self._reader.note_commit()
        self._commit_listener()

    def _on_write_error(self, problem: str | None) -> None:
        if problem is None:
            self._faults.clear("STO-02", "outbox")
        else:
            self._faults.raise_fault("STO-02", "outbox", problem)
