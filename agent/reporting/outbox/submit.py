"""Submission to the outbox, with retries of events and receipts whose commit failed."""

import logging
import threading
from collections import deque

import msgspec

from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.writer import CommitTicket, OutboxError
from agent.reporting.outgoing_messages import OutgoingMessage, Priority

log = logging.getLogger(__name__)

MAX_UNCOMMITTED = 1000
"""Messages in memory without a commit. Beyond it the oldest is dropped, counted and logged."""


class _SubmittedMessage(msgspec.Struct, frozen=True, kw_only=True):
    outgoing: OutgoingMessage
    ticket: CommitTicket | None
    """None if the outbox did not accept the message."""


class MessageSubmitter:
    """Puts messages into the outbox. Thread-safe.

    Events and receipts whose commit failed (a full or read-only disk) are put again at the next
    message or `resubmit_failed`, which comes each half minute, because no later message
    repeats their content. Other messages get one attempt: the next of their kind replaces them.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._lock = threading.Lock()
        self._uncommitted: deque[_SubmittedMessage] = deque()
        self._lost_count = 0

    @property
    def lost_count(self) -> int:
        """Number of events and receipts that neither the disk nor memory could hold."""
        return self._lost_count

    def submit(self, outgoing: OutgoingMessage) -> None:
        """Put a message. Never raises: if it cannot be stored now, it is kept or counted."""
        with self._lock:
            failed = self._pop_failed()
            for retried in failed:
                self._submit(retried)
            self._submit(outgoing)

    def resubmit_failed(self) -> None:
        """Put the messages again whose commit failed."""
        with self._lock:
            for retried in self._pop_failed():
                self._submit(retried)

    def _pop_failed(self) -> list[OutgoingMessage]:
        """Remove and return the messages whose commit failed, in order."""
        failed = [
            g.outgoing for g in self._uncommitted if g.ticket is None or g.ticket.error is not None
        ]
        self._uncommitted = deque(
            g
            for g in self._uncommitted
            if g.ticket and not g.ticket.is_durable and g.ticket.error is None
        )
        return failed

    def _submit(self, outgoing: OutgoingMessage) -> None:
        try:
            ticket = self._outbox.put(outgoing)
        except OutboxError as error:
            log.warning("%s on %s: %s", outgoing.type, outgoing.topic, error)
            ticket = None
        if outgoing.priority > Priority.RECEIPT or outgoing.newest_only:
            return
        if len(self._uncommitted) == MAX_UNCOMMITTED:
            self._uncommitted.popleft()
            self._lost_count += 1
            log.error("a message is lost: %d wait in memory for the disk", MAX_UNCOMMITTED)
        self._uncommitted.append(_SubmittedMessage(outgoing=outgoing, ticket=ticket))
