"""Messages that wait for the centre, on the disk: nothing that was taken is lost in silence.

`put` from any thread; the session borrows messages with `lend`, and they leave when it says with
`settle` that they have arrived.
"""

import logging
import sqlite3
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import IO, Self, TypeVar

import msgspec

from agent.base.clock import Clock
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

SESSION_WAIT_S = 5.0
READABLE_AFTER_NS = 30 * 1_000_000_000
"""So long after the last question that the database did not answer, its fault goes."""
NO_LIMIT = sys.maxsize
T = TypeVar("T")


class OutboxCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How much waits. `lost` counts what was shed or refused under this epoch."""

    depth: int
    bytes: int
    oldest_age_s: float | None
    lost: int


class Outbox:
    """The messages of one box. To be made with `open`."""

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
        """The outbox in a folder, made where there is none. A damaged one is set aside.

        `boot` is the kernel's name of this boot, `new_id` makes a UUIDv7 of a `t_ns`. Raises
        BadInput where another agent uses the folder, OutboxError where it cannot be used.
        """
        try:
            held = files.lock(folder)
        except OSError as error:
            raise OutboxError(f"outbox {str(folder)!r}: {error.strerror or error}") from error
        try:
            return cls(folder, held, box, boot, clock, max_bytes, new_id, faults)
        except (sqlite3.Error, OSError) as error:
            held.close()
            raise OutboxError(f"outbox {str(folder)!r}: {error}") from error

    def __init__(
        self,
        folder: Path,
        held: IO[bytes],
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
        self._held = held
        self._clock = clock
        self._max_bytes = max_bytes
        self._new_id = new_id
        self._faults = faults
        self._book = InFlightMessages()
        self._listener: Callable[[], None] = lambda: None
        self._session = 0
        self._awaited: tuple[int, Callable[[], None]] | None = None
        self._reader: Reader | None = None
        self._read_failed_ns: int | None = None
        self._numbers_of: str | None = None
        """The epoch whose numbers may be settled; None while a database is replaced."""
        reason = files.find_damage(folder)
        if reason is not None:
            self._set_aside(reason)
        self._reader = Reader(files.database(folder), self._book, self._on_damage)
        self._writer = Writer(
            self._open_store, self._set_aside, self._book, self._on_commit, self._on_trouble
        )

    @property
    def epoch(self) -> str:
        """The name of the database. It changes where a damaged one is replaced."""
        return self._epoch

    @property
    def centre_known(self) -> bool:
        """Whether a centre ever announced itself to this box."""
        return self._centre_known

    @property
    def has_losses(self) -> bool:
        """Whether messages went that no receipt names yet."""
        return self._writer.has_losses

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener`, which must be quick, after each commit, from the writer's thread."""
        self._listener = listener

    def put(
        self, draft: OutgoingMessage, on_arrived: Callable[[], None] | None = None
    ) -> CommitTicket:
        """Take a message. It is on the disk when the ticket says so, not before.

        `on_arrived`, which must be quick, is called once somebody has the message, from the thread
        that settles it; it is forgotten where another message is awaited so meanwhile. Raises
        OutboxError where the outbox is closed or the disk has not kept up for seconds.
        """
        message = self._stored(draft)
        newest_only = draft.newest_only
        urgent = draft.priority == Priority.EMERGENCY

        def add(store: Store) -> int | None:
            seq = store.add(message, newest_only=newest_only)
            if seq and on_arrived is not None:
                # Before the commit, so before anybody can send it.
                self._awaited = (seq, on_arrived)
            return seq

        return self._writer.submit(add, urgent=urgent)

    def fetch(self, limit: int, limit_bytes: int = NO_LIMIT) -> list[OutboxRow]:
        """Messages to send now, at most `limit`, each of them once until `take_back`. With the
        first that brings them to `limit_bytes` they end. An empty list where the database cannot be
        read now, which is a fault.
        """
        return self._ask(lambda r: r.fetch(limit, limit_bytes), []) if limit > 0 else []

    def refetch(self, seqs: Iterable[int]) -> list[OutboxRow] | None:
        """Messages that are on loan, to be sent once more; those that are gone are left out. None
        where the database cannot be read now.
        """
        return self._ask(lambda r: r.refetch(seqs), None)

    def requeue_in_flight(self) -> None:
        """What was lent and has not arrived may be lent again."""
        if self._reader:
            self._reader.requeue_in_flight()

    def acknowledge(self, epoch: str, ranges: tuple[SeqRange, ...]) -> tuple[SeqRange, ...]:
        """These numbers have arrived. Those of another epoch are of a database that is gone, and
        those that were never given are nobody's: both are left out of what is settled and
        returned.
        """
        last_seq = self._writer.counts.last_seq
        ranges = tuple(s for s in ranges if 0 < s.first <= s.last <= last_seq)
        with self._book.lock:
            # Not while a database is replaced: the new one gives the same numbers to other messages.
            if epoch != self._numbers_of or not ranges:
                return ()
            self._book.acknowledge(ranges)
            self._writer.acknowledge(ranges)
        awaited = self._awaited
        if awaited is not None and any(s.first <= awaited[0] <= s.last for s in ranges):
            self._awaited = None
            awaited[1]()
        return ranges

    def acked_upto(self) -> int:
        """No number up to this one will be sent any more: 0 where the database cannot be read."""
        return self._ask(Reader.floor, 0)

    def next_session(self) -> int:
        """The number of a new connection. Where the disk is full it is counted in memory alone,
        so that the box can still connect, and be rid of messages.
        """
        kept = 0
        try:
            ticket = self._writer.submit(lambda store: store.next_session(), urgent=True)
            ticket.wait(SESSION_WAIT_S)
            kept = ticket.seq
        except OutboxError as error:
            log.warning("the session's number is not kept: %s", error)
        self._session = max(self._session + 1, kept)
        return self._session

    def remember_centre(self, *, known: bool) -> None:
        """Keep whether there is a centre, over restarts of the box and of the broker."""
        self._centre_known = known

        def remember(store: Store) -> int:
            store.remember_centre(known=known)
            return 0

        self._writer.submit(remember, urgent=True)

    def report_losses(self) -> None:
        """Write a receipt of what went since the last one, where something went."""

        def report(store: Store) -> int | None:
            lost = store.pop_losses()
            return 0 if lost is None else store.add(self._receipt(lost))

        self._writer.submit(report, urgent=False)

    def counts(self) -> OutboxCounts:
        """How much waits now. Health asks, so it answers though the database cannot be read."""
        now = self._writer.counts
        oldest = self._ask(Reader.oldest, None) if now.depth else None
        self._judge_reading()
        return OutboxCounts(
            depth=now.depth,
            bytes=now.bytes,
            oldest_age_s=None if oldest is None else self._age_s(oldest),
            lost=now.lost,
        )

    @property
    def depth(self) -> int:
        """How many messages wait, as of the last commit."""
        return self._writer.counts.depth

    @property
    def is_writing(self) -> bool:
        """Whether something was put that is not on the disk yet, and may still become a message."""
        return self._writer.is_writing

    def stamp(self, t_ns: int, *, seq: int | None) -> topics.EnvelopeFields:
        """The envelope of a message that is made now and not kept."""
        return topics.EnvelopeFields(
            id=self._new_id(t_ns),
            box=self.box,
            epoch=self._epoch,
            seq=seq,
            boot=self.boot,
            time=topics.rfc3339(self._clock.utc(t_ns)),
            clock=self._clock.trust(),
        )

    def now(self) -> topics.EnvelopeFields:
        """The envelope of a message about this moment that is not kept."""
        return self.stamp(self._clock.boottime_ns(), seq=None)

    def close(self) -> None:
        """Commit what waits and let go of the folder."""
        self._writer.close()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.let_go()
        self._held.close()

    def _ask(self, ask: Callable[[Reader], T], nothing: T) -> T:
        """What the reader answers, `nothing` where its database cannot be read: that is a fault. What
        waits stays, and the box goes on saying how it is.
        """
        reader = self._reader
        if reader is None:
            return nothing
        try:
            return ask(reader)
        except sqlite3.Error as error:
            self._read_failed_ns = self._clock.boottime_ns()
            self._faults.raise_fault("STO-01", "outbox reader", f"it cannot be read: {error}")
            return nothing

    def _judge_reading(self) -> None:
        failed_ns = self._read_failed_ns
        if failed_ns is None or self._clock.boottime_ns() - failed_ns < READABLE_AFTER_NS:
            return
        self._read_failed_ns = None
        self._faults.clear("STO-01", "outbox reader")

    def _open_store(self) -> Store:
        connection = schema.connect(files.database(self._folder))
        try:
            schema.prepare(connection)
            store = Store(connection, self._max_bytes, self._book)
        except BaseException:
            connection.close()
            raise
        self._epoch = self._numbers_of = store.state.epoch
        self._centre_known = store.state.centre_known
        self._session = max(self._session, store.state.session)
        return store

    def _set_aside(self, reason: str) -> None:
        """Replace the damaged database; the reader waits meanwhile. Raises OSError or sqlite3.Error
        where the disk does not allow it now: that is told too.
        """
        with self._book.lock:
            if self._reader:
                self._reader.let_go()
            self._numbers_of = None
            try:
                aside = files.replace_damaged(self._folder, reason, self._receipt)
            except (OSError, sqlite3.Error) as error:
                self._faults.raise_fault("STO-01", "outbox", f"{reason}; not set aside: {error}")
                raise
            self._book.reset()
        log.error("outbox damaged: %s; set aside as %s", reason, aside)
        self._faults.raise_fault("STO-01", "outbox", f"{reason}; set aside as {aside}")

    def _stored(self, draft: OutgoingMessage) -> OutboxRow:
        """The row of a draft, with the time and the trust of this moment, and no number yet."""
        return OutboxRow(
            seq=0,
            id=self._new_id(draft.t_ns),
            type=draft.type,
            topic=draft.topic,
            priority=draft.priority,
            boot=self.boot,
            t_ns=draft.t_ns,
            time=topics.rfc3339(self._clock.utc(draft.t_ns)),
            clock=msgspec.json.encode(self._clock.trust()).decode(),
            expiry_s=draft.expiry_s,
            data=draft.data,
            header=draft.header,
        )

    def _receipt(self, data: ReceiptData) -> OutboxRow:
        return self._stored(topics.receipt_draft(data, self._clock.boottime_ns()))

    def _age_s(self, message: OutboxRow) -> float | None:
        """By boot time where it is of this boot, else by UTC as far as that makes sense."""
        now_ns = self._clock.boottime_ns()
        if message.boot == self.boot:
            return (now_ns - message.t_ns) / 1e9
        age_s = (self._clock.utc(now_ns) - datetime.fromisoformat(message.time)).total_seconds()
        return age_s if age_s >= 0 else None

    def _on_damage(self, reason: str) -> None:
        self._writer.report_damage(reason)

    def _on_commit(self) -> None:
        if self._reader:
            self._reader.note_commit()
        self._listener()

    def _on_trouble(self, trouble: str | None) -> None:
        if trouble is None:
            self._faults.clear("STO-02", "outbox")
        else:
            self._faults.raise_fault("STO-02", "outbox", trouble)
