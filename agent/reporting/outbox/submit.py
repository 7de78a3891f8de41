"""The way into the outbox: an event or a receipt that the disk did not take is tried again, not
forgotten.
"""

import logging
import threading
from collections import deque

import msgspec

from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.writer import CommitTicket, OutboxError
from agent.reporting.topics import OutgoingMessage, Priority

log = logging.getLogger(__name__)

MAX_UNCOMMITTED = 1000
"""Messages in memory that are not on the disk. Beyond that the oldest is lost, and said so."""


class _SubmittedMessage(msgspec.Struct, frozen=True, kw_only=True):
    outgoing: OutgoingMessage
    ticket: CommitTicket | None
    """None where the outbox did not even take it."""


class MessageSubmitter:
    """Puts messages into the outbox, from any thread.

    Events and receipts whose commit failed (a full disk, a read-only one) are put again at the next
    message or `again`, which comes with each report of health: nothing else says what they say. Other
    messages get one try: the next of their kind says more than they did, as the next head of the
    chain does.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._lock = threading.Lock()
        self._uncommitted: deque[_SubmittedMessage] = deque()
        self._lost_count = 0

    @property
    def lost_count(self) -> int:
        """Messages of those kinds that neither the disk nor the memory had room for."""
        return self._lost_count

    def submit(self, outgoing: OutgoingMessage) -> None:
        """Take a message. Never raises: what cannot be stored now is kept or counted."""
        with self._lock:
            failed = self._pop_failed()
            for retried in failed:
                self._submit(retried)
            self._submit(outgoing)

    def resubmit_failed(self) -> None:
        """Put what failed once more."""
        with self._lock:
            for retried in self._pop_failed():
                self._submit(retried)

    def _pop_failed(self) -> list[OutgoingMessage]:
        """What has to be put again, in its old order; what is still in writing stays."""
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
