"""Group commit: the one thread that writes to the outbox.

A sync of a box's flash takes milliseconds, the same for one message as for a thousand.
"""

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from agent.base.errors import UserError
from agent.reporting.outbox.in_flight import InFlightMessages
from agent.reporting.outbox.salvage import needs_salvage
from agent.reporting.outbox.schema import OutboxCorruptError
from agent.reporting.outbox.store import Store
from agent.reporting.payloads import SeqRange
from agent.reporting.seq_ranges import merge_ranges
from agent.runtime.backoff import Backoff

log = logging.getLogger(__name__)

GROUP_WAIT_S = 0.02
MAX_GROUP = 1000
MAX_PENDING = 10_000
SUBMIT_TIMEOUT_S = 5.0
RETRY_S = 1.0
"""After a failure: until deletions are tried again, unless a message comes first."""
MAX_REPAIR_RETRY_S = 30.0
"""The replacement of a damaged database is tried again after RETRY_S, then twice as long each time up to
this: an attempt reads it all, and writes as much as the disk takes.
"""
DELETE_COMMIT_DELAY_S = 90.0
MAX_UNCOMMITTED_DELETES = 500
"""Acknowledged messages are deleted, and the table of centres is written, with the next message's commit, or
after this time or number: a commit writes 10 to 40 kB, and a change that a power cut undoes costs only a repeated
message, which the centre drops. On a quiet box traffic counts come once a minute.
"""

WriteTask = Callable[[Store], int | None]
"""A change within the transaction. It returns the number of the stored message, 0 if it stores none, or
None if a message was refused."""


class OutboxError(Exception):
    """The outbox cannot take a message. `str(error)` says why in one line."""


class CommitTicket:
    """Outcome of a message that was put."""

    def __init__(self, task: WriteTask, resolved: threading.Condition, *, is_urgent: bool) -> None:
        self.task = task
        self.is_urgent = is_urgent
        self._resolved = resolved
        self._state: Literal["waiting", "durable", "failed"] = "waiting"
        self._seq = 0
        self._error = ""

    @property
    def is_durable(self) -> bool:
        """True if the message is on the disk."""
        return self._state == "durable"

    @property
    def error(self) -> str | None:
        """Why the message was refused or not written, or None."""
        return self._error if self._state == "failed" else None

    @property
    def seq(self) -> int:
        """The message's number, 0 until it is durable."""
        return self._seq

    def wait(self, timeout_s: float) -> bool:
        """Wait for the commit, and return False after `timeout_s` seconds without one.

        Raises: OutboxError if the message was refused or could not be written.
        """
        with self._resolved:
            self._resolved.wait_for(lambda: self._state != "waiting", timeout_s)
            if self._state == "failed":
                raise OutboxError(self._error)
            return self._state == "durable"

    def resolve(self, seq: int | None, error: str | None) -> None:
        """Set the outcome. Called by the writer, which holds the condition and notifies it."""
        self._seq = seq or 0
        self._error = error or ""
        self._state = "failed" if error is not None else "durable"


class WriterCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of the outbox as of the last commit."""

    depth: int
    total_bytes: int
    lost: int
    last_seq: int


class Writer:
    """Takes changes from any thread, and commits them in groups.

    `open_store` opens the database. `replace_damaged(reason)` replaces a damaged one, with no
    connection open, and is retried if it raises; until it returns nothing is written. `on_commit` is
    called after each commit on the writer's thread, and must be quick; `on_write_error` with one
    line if a group could not be written, with None if one could. `write_centres` writes the table of centres.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        replace_damaged: Callable[[str], None],
        in_flight: InFlightMessages,
        on_commit: Callable[[], None],
        on_write_error: Callable[[str | None], None],
        write_centres: Callable[[Store], None],
    ) -> None:
        self._open_store = open_store
        self._replace_damaged = replace_damaged
        self._in_flight = in_flight
        self._on_commit = on_commit
        self._on_write_error = on_write_error
        self._write_centres = write_centres
        self._store: Store | None = None
        self._was_opened = False
        self._changed = threading.Condition()
        self._resolved = threading.Condition()
        self._pending: deque[CommitTicket] = deque()
        self._acked: tuple[SeqRange, ...] = ()
        self._centres_changed = False
        self._damage: str | None = None
        self._repair_backoff = Backoff(RETRY_S, MAX_REPAIR_RETRY_S)
        self._urgent_count = 0
        self._is_stopping = False
        self._is_writing_group = False
        self._uncommitted_deletes: tuple[SeqRange, ...] = ()
        self._uncommitted_delete_count = 0
        self._has_uncommitted_centres = False
        self._last_counts = WriterCounts(depth=0, total_bytes=0, lost=0, last_seq=0)
        self._thread = threading.Thread(target=self._run, name="outbox writer", daemon=True)

    def start(self) -> None:
        """Open the database and start the thread, which opens it later if the disk does not allow it
        now. Raises: UserError if another agent uses the folder.
        """
        try:
            self._open()
        except (sqlite3.Error, OSError) as error:
            self._report_failure(f"the outbox cannot be opened: {error}")
        self._thread.start()

    @property
    def counts(self) -> WriterCounts:
        """Counters as of the last commit."""
        return self._last_counts

    @property
    def has_losses(self) -> bool:
        """True if messages were shed or refused that no receipt names yet."""
        store = self._store
        return store is not None and store.has_losses

    @property
    def is_writing(self) -> bool:
        """True if a change was submitted that is neither committed nor refused yet."""
        with self._changed:
            return self._is_writing_group or bool(self._pending)

    def submit(self, task: WriteTask, *, is_urgent: bool) -> CommitTicket:
        """Queue a change for the next commit. Blocks if MAX_PENDING changes wait.

        Raises: OutboxError if that lasts SUBMIT_TIMEOUT_S, or the outbox is closed.
        """
        ticket = CommitTicket(task, self._resolved, is_urgent=is_urgent)
        with self._changed:
            if not self._changed.wait_for(self._has_capacity, SUBMIT_TIMEOUT_S):
                raise OutboxError(f"the disk has not kept up for {SUBMIT_TIMEOUT_S:g} s")
            if self._is_stopping:
                raise OutboxError("the outbox is closed")
            self._pending.append(ticket)
            self._urgent_count += is_urgent
            if is_urgent or len(self._pending) in (1, MAX_GROUP):
                self._changed.notify_all()
        return ticket

    def acknowledge(self, ranges: tuple[SeqRange, ...]) -> None:
        """Delete messages that have arrived. If that is never committed, they are sent again."""
        with self._changed:
            self._acked = merge_ranges((*self._acked, *ranges))
            self._changed.notify_all()

    def note_centres(self) -> None:
        """Write the table of centres with the next commit."""
        with self._changed:
            self._centres_changed = True
            self._changed.notify_all()

    def report_damage(self, reason: str) -> None:
        """Have the database replaced, because the reader found a damaged row."""
        with self._changed:
            self._damage = reason
            self._changed.notify_all()

    def close(self) -> None:
        """Commit the changes that wait, and end the thread."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._thread.join()
        if self._store is not None:
            self._store.close()

    def _has_capacity(self) -> bool:
        return self._is_stopping or len(self._pending) < MAX_PENDING

    def _has_work(self) -> bool:
        has_changes = self._acked or self._centres_changed
        return bool(self._pending or has_changes or self._damage) or self._is_stopping

    def _is_due(self) -> bool:
        return bool(self._urgent_count or self._damage or self._is_stopping) or (
            len(self._pending) >= MAX_GROUP
        )

    def _run(self) -> None:
        is_written = True
        while True:
            with self._changed:
                has_uncommitted = self._uncommitted_deletes or self._has_uncommitted_centres
                is_due = not self._changed.wait_for(
                    self._has_work, DELETE_COMMIT_DELAY_S if has_uncommitted else None
                )
                self._changed.wait_for(self._is_due, GROUP_WAIT_S)
                group = [self._pending.popleft() for _ in range(min(MAX_GROUP, len(self._pending)))]
                self._urgent_count -= sum(ticket.is_urgent for ticket in group)
                acked, self._acked = self._acked, ()
                if self._centres_changed:
                    self._centres_changed, self._has_uncommitted_centres = False, True
                damage, self._damage = self._damage, None
                is_last = self._is_stopping and not self._pending
                self._is_writing_group = bool(group)
                self._changed.notify_all()
            is_written = self._write(
                group, acked, damage, is_due=is_due or is_last or not is_written
            )
            with self._changed:
                self._is_writing_group = False
            if is_last:
                return
            if not is_written:
                self._wait_after_failure()

    def _wait_after_failure(self) -> None:
        with self._changed:
            if self._damage is None and self._was_opened:
                self._changed.wait_for(lambda: self._pending or self._is_stopping, RETRY_S)
            else:
                self._changed.wait_for(lambda: self._is_stopping, self._repair_backoff.next_s())

    def _write(
        self,
        group: list[CommitTicket],
        acked: tuple[SeqRange, ...],
        damage: str | None,
        *,
        is_due: bool,
    ) -> bool:
        """Commit a group, on a new database if the old one is damaged. A transaction of deletions only
        stays open unless `is_due`.
        """
        try:
            try:
                if damage is not None:
                    self._replace_database(damage)
                    # The acknowledged numbers are the old database's.
                    damage, acked = None, ()
                self._write_group(group, acked, is_due=is_due)
            except (sqlite3.Error, OutboxCorruptError) as error:
                if not isinstance(error, OutboxCorruptError) and not needs_salvage(error):
                    raise
                damage = damage or str(error)
                self._replace_database(damage)
                damage, acked = None, ()
                self._write_group(group, acked, is_due=is_due)
        except (sqlite3.Error, OutboxCorruptError, OSError, UserError) as error:
            self._fail_group(group, acked, damage, f"cannot write to the outbox: {error}")
            return False
        return True

    def _write_group(
        self, group: list[CommitTicket], acked: tuple[SeqRange, ...], *, is_due: bool
    ) -> None:
        store = self._store or self._open()
        try:
            store.begin()
            seqs = [ticket.task(store) for ticket in group]
            self._uncommitted_delete_count += store.acknowledge(acked)
            self._uncommitted_deletes = merge_ranges((*self._uncommitted_deletes, *acked))
            is_committing = is_due or bool(group) or not self._can_defer_commit()
            if is_committing:
                if self._has_uncommitted_centres:
                    self._write_centres(store)
                store.commit()
        finally:
            # Committed or not, its messages may be fetched again.
            self._in_flight.release_reservations()
        self._last_counts = self._read_counts(store)
        if not is_committing:
            return
        self._in_flight.forget_deleted(self._uncommitted_deletes)
        self._uncommitted_deletes, self._uncommitted_delete_count = (), 0
        self._has_uncommitted_centres = False
        with self._resolved:
            for ticket, seq in zip(group, seqs, strict=True):
                error = "the outbox is full of messages of more worth" if seq is None else None
                ticket.resolve(seq, error)
            self._resolved.notify_all()
        self._on_write_error(None)
        self._on_commit()

    def _can_defer_commit(self) -> bool:
        """Return True if the deletions may stay uncommitted: they are few, and each message is marked
        as acked. Any other would be fetched again meanwhile.
        """
        return self._uncommitted_delete_count <= min(
            MAX_UNCOMMITTED_DELETES, self._in_flight.acked_count
        )

    def _fail_group(
        self,
        group: list[CommitTicket],
        acked: tuple[SeqRange, ...],
        damage: str | None,
        reason: str,
    ) -> None:
        """Fail every ticket of the group. The connection is closed: after a failed sync the kernel may
        call pages clean that never reached the disk.
        """
        if self._store is not None:
            store, self._store = self._store, None
            try:
                store.close()
            except sqlite3.Error as error:
                log.warning("closing the outbox after a failure: %s", error)
        with self._changed:
            self._damage = damage or self._damage
            self._acked = merge_ranges((*self._uncommitted_deletes, *acked, *self._acked))
        self._uncommitted_deletes, self._uncommitted_delete_count = (), 0
        with self._resolved:
            for ticket in group:
                ticket.resolve(None, reason)
            self._resolved.notify_all()
        self._report_failure(reason)

    def _report_failure(self, reason: str) -> None:
        log.error("%s", reason)
        self._on_write_error(reason)

    def _open(self) -> Store:
        store = self._store = self._open_store()
        self._was_opened = True
        self._repair_backoff.reset()
        self._last_counts = self._read_counts(store)
        return store

    def _replace_database(self, reason: str) -> None:
        if self._store is not None:
            store, self._store = self._store, None
            store.close()
        self._replace_damaged(reason)
        self._uncommitted_deletes, self._uncommitted_delete_count = (), 0
        self._repair_backoff.reset()
        with self._changed:
            # Reports of damage and acknowledgements are the old database's.
            self._damage, self._acked = None, ()
        self._open()

    @staticmethod
    def _read_counts(store: Store) -> WriterCounts:
        return WriterCounts(
            depth=store.depth,
            total_bytes=store.total_bytes,
            lost=store.state.lost,
            last_seq=store.state.last_seq,
        )
