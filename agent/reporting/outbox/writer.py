"""The one thread that writes to the outbox, in groups: a sync of the disk costs milliseconds on a
box's flash, and it costs the same for one message as for a thousand.
"""

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from agent.reporting.outbox import files
from agent.reporting.outbox.in_flight import InFlightMessages
from agent.reporting.outbox.schema import OutboxDamage
from agent.reporting.outbox.store import Store, joined
from agent.reporting.payloads import SeqRange

log = logging.getLogger(__name__)

GROUP_S = 0.02
GROUP_MOST = 1000
PENDING_MOST = 10_000
ROOM_WAIT_S = 5.0
RETRY_S = 1.0
"""After a failure: how long until deletions are tried again, where no message comes first."""
MEND_AGAIN_MOST_S = 30.0
"""A damaged database that cannot be set aside, as on a full disk, is tried again after RETRY_S, then
twice as long each time up to this: a try reads it all, and writes as much as there is room for.
"""
DELETED_WAIT_S = 90.0
DELETED_MOST = 500
"""What has arrived is taken away in the same commit as the next message, or after so long, or so many:
a commit is 10 to 40 kB at the disk, and a deletion that the power takes away costs a message that is
sent twice, which the centre knows how to take. On a quiet box flow comes once a minute.
"""

Work = Callable[[Store], int | None]
"""What is done within the transaction. It gives the number of the message that it kept, 0 where
it kept none, and None where a message was refused."""


class OutboxError(Exception):
    """The outbox could not take a message. `str(error)` says why in one line."""


class CommitTicket:
    """What becomes of a message that was put."""

    def __init__(self, work: Work, done: threading.Condition, *, urgent: bool) -> None:
        self.work = work
        self.urgent = urgent
        self._done = done
        self._state: Literal["waiting", "durable", "failed"] = "waiting"
        self._seq = 0
        self._error = ""

    @property
    def durable(self) -> bool:
        """Whether the message is on the disk."""
        return self._state == "durable"

    @property
    def error(self) -> str | None:
        """Why it is not there and never will be, or None."""
        return self._error if self._state == "failed" else None

    @property
    def seq(self) -> int:
        """The message's number, once it is durable."""
        return self._seq

    def wait(self, timeout_s: float) -> bool:
        """Whether the message is on the disk, after `timeout_s` seconds at the latest.

        Raises OutboxError where it was refused or could not be written.
        """
        with self._done:
            self._done.wait_for(lambda: self._state != "waiting", timeout_s)
            if self._state == "failed":
                raise OutboxError(self._error)
            return self._state == "durable"

    def settle(self, seq: int | None, error: str | None) -> None:
        """For the writer, which holds the condition and wakes those who wait."""
        self._seq = seq or 0
        self._error = error or ""
        self._state = "failed" if error is not None else "durable"


class WriterCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The outbox as of the last commit."""

    depth: int
    bytes: int
    lost: int
    last_seq: int


class Writer:
    """Takes work from any thread, and commits it in groups.

    `open_store` opens the database; `set_aside(reason)` replaces a damaged one, with no
    connection open, and is called again where it raised; until it has returned nothing is written.
    `on_commit` is called after each commit, in this thread, and must be quick;
    `on_trouble` with one line when a group could not be written, with None when one could.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        set_aside: Callable[[str], None],
        book: InFlightMessages,
        on_commit: Callable[[], None],
        on_trouble: Callable[[str | None], None],
    ) -> None:
        self._open_store = open_store
        self._set_aside = set_aside
        self._book = book
        self._on_commit = on_commit
        self._on_trouble = on_trouble
        self._store: Store | None = open_store()
        self._changed = threading.Condition()
        self._done = threading.Condition()
        self._pending: deque[CommitTicket] = deque()
        self._arrived: tuple[SeqRange, ...] = ()
        self._damage: str | None = None
        self._mend_again_s = RETRY_S
        self._urgent = 0
        self._stopping = False
        self._writing = False
        self._deleted: tuple[SeqRange, ...] = ()
        self._deleted_count = 0
        self._last_counts = self._counts_of(self._store)
        self._thread = threading.Thread(target=self._run, name="outbox writer", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> WriterCounts:
        """How much there is."""
        return self._last_counts

    @property
    def has_losses(self) -> bool:
        """Whether messages went that no receipt names yet."""
        store = self._store
        return store is not None and store.has_losses

    @property
    def is_writing(self) -> bool:
        """Whether something was submitted that is neither committed nor refused yet."""
        with self._changed:
            return self._writing or bool(self._pending)

    def submit(self, work: Work, *, urgent: bool) -> CommitTicket:
        """Have `work` done and committed. Waits for room where the disk does not keep up.

        Raises OutboxError where there is none for long, or the outbox is closed.
        """
        ticket = CommitTicket(work, self._done, urgent=urgent)
        with self._changed:
            if not self._changed.wait_for(self._has_room, ROOM_WAIT_S):
                raise OutboxError(f"the disk has not kept up for {ROOM_WAIT_S:g} s")
            if self._stopping:
                raise OutboxError("the outbox is closed")
            self._pending.append(ticket)
            self._urgent += urgent
            if urgent or len(self._pending) in (1, GROUP_MOST):
                self._changed.notify_all()
        return ticket

    def acknowledge(self, ranges: tuple[SeqRange, ...]) -> None:
        """Take messages away that have arrived. If that is never committed they are sent again."""
        with self._changed:
            self._arrived = joined((*self._arrived, *ranges))
            self._changed.notify_all()

    def report_damage(self, reason: str) -> None:
        """A reader found a row that is not what was written."""
        with self._changed:
            self._damage = reason
            self._changed.notify_all()

    def close(self) -> None:
        """Commit what waits, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()
        if self._store is not None:
            self._store.close()

    def _has_room(self) -> bool:
        return self._stopping or len(self._pending) < PENDING_MOST

    def _has_work(self) -> bool:
        return bool(self._pending or self._arrived or self._damage) or self._stopping

    def _is_due(self) -> bool:
        return bool(self._urgent or self._damage or self._stopping) or (
            len(self._pending) >= GROUP_MOST
        )

    def _run(self) -> None:
        written = True
        while True:
            with self._changed:
                due = not self._changed.wait_for(
                    self._has_work, DELETED_WAIT_S if self._deleted else None
                )
                self._changed.wait_for(self._is_due, GROUP_S)
                group = [
                    self._pending.popleft() for _ in range(min(GROUP_MOST, len(self._pending)))
                ]
                self._urgent -= sum(ticket.urgent for ticket in group)
                arrived, self._arrived = self._arrived, ()
                damage, self._damage = self._damage, None
                ended = self._stopping and not self._pending
                self._writing = bool(group)
                self._changed.notify_all()
            written = self._write(group, arrived, damage, due=due or ended or not written)
            with self._changed:
                self._writing = False
            if ended:
                return
            if not written:
                self._wait_after_failure()

    def _wait_after_failure(self) -> None:
        with self._changed:
            if self._damage is None:
                self._changed.wait_for(lambda: self._pending or self._stopping, RETRY_S)
            else:
                self._changed.wait_for(lambda: self._stopping, self._mend_again_s)
                self._mend_again_s = min(2 * self._mend_again_s, MEND_AGAIN_MOST_S)

    def _write(
        self,
        group: list[CommitTicket],
        arrived: tuple[SeqRange, ...],
        damage: str | None,
        *,
        due: bool,
    ) -> bool:
        """Commit a group, on a new database where the old one turns out to be damaged. Deletions alone
        are left uncommitted unless they are `due`.
        """
        try:
            try:
                if damage is not None:
                    self._replace(damage)
                    # What arrived was numbered by the old database.
                    damage, arrived = None, ()
                self._do(group, arrived, due=due)
            except (sqlite3.Error, OutboxDamage) as error:
                if not isinstance(error, OutboxDamage) and not files.is_damage(error):
                    raise
                damage = damage or str(error)
                self._replace(damage)
                damage, arrived = None, ()
                self._do(group, arrived, due=due)
        except (sqlite3.Error, OutboxDamage, OSError) as error:
            self._fail(group, arrived, damage, f"cannot write to the outbox: {error}")
            return False
        return True

    def _do(self, group: list[CommitTicket], arrived: tuple[SeqRange, ...], *, due: bool) -> None:
        if self._store is None:
            self._store = self._open_store()
        store = self._store
        try:
            store.begin()
            numbers = [ticket.work(store) for ticket in group]
            self._deleted_count += store.acknowledge(arrived)
            self._deleted = joined((*self._deleted, *arrived))
            commits = due or bool(group) or not self._may_wait()
            if commits:
                store.commit()
        finally:
            # Whether it was committed or not, what it had taken may be lent again.
            self._book.end_claims()
        self._last_counts = self._counts_of(store)
        if not commits:
            return
        self._book.deleted(self._deleted)
        self._deleted, self._deleted_count = (), 0
        with self._done:
            for ticket, seq in zip(group, numbers, strict=True):
                full = "the outbox is full of messages of more worth" if seq is None else None
                ticket.settle(seq, full)
            self._done.notify_all()
        self._on_trouble(None)
        self._on_commit()

    def _may_wait(self) -> bool:
        """Whether the deletions so far may stay uncommitted: they are few, and each is of a message that
        the book knows to have arrived. Any other would be lent again meanwhile.
        """
        return self._deleted_count <= min(DELETED_MOST, self._book.settled_count)

    def _fail(
        self, group: list[CommitTicket], arrived: tuple[SeqRange, ...], damage: str | None, why: str
    ) -> None:
        """Nothing of the group is kept. The connection is not used again: after a failed sync the
        kernel may call pages clean that never reached the disk. `damage` is still to be mended.
        """
        log.error("%s", why)
        if self._store is not None:
            store, self._store = self._store, None
            try:
                store.close()
            except sqlite3.Error as error:
                log.warning("closing the outbox after a failure: %s", error)
        with self._changed:
            self._damage = damage or self._damage
            self._arrived = joined((*self._deleted, *arrived, *self._arrived))
        self._deleted, self._deleted_count = (), 0
        with self._done:
            for ticket in group:
                ticket.settle(None, why)
            self._done.notify_all()
        self._on_trouble(why)

    def _replace(self, reason: str) -> None:
        if self._store is not None:
            store, self._store = self._store, None
            store.close()
        self._set_aside(reason)
        self._deleted, self._deleted_count = (), 0
        self._mend_again_s = RETRY_S
        with self._changed:
            # What was reported, and what arrived, was of the old database.
            self._damage, self._arrived = None, ()
        self._store = self._open_store()

    @staticmethod
    def _counts_of(store: Store) -> WriterCounts:
        return WriterCounts(
            depth=store.depth,
            bytes=store.bytes,
            lost=store.state.lost,
            last_seq=store.state.last_seq,
        )
