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

KEPT_MOST = 1000
"""Messages in memory that are not on the disk. Beyond that the oldest is lost, and said so."""


class _Given(msgspec.Struct, frozen=True, kw_only=True):
    draft: OutgoingMessage
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
        self._given: deque[_Given] = deque()
        self._lost = 0

    @property
    def lost(self) -> int:
        """Messages of those kinds that neither the disk nor the memory had room for."""
        return self._lost

    def put(self, draft: OutgoingMessage) -> None:
        """Take a message. Never raises: what cannot be stored now is kept or counted."""
        with self._lock:
            failed = self._take_failed()
            for waiting in failed:
                self._give(waiting)
            self._give(draft)

    def again(self) -> None:
        """Put what failed once more."""
        with self._lock:
            for waiting in self._take_failed():
                self._give(waiting)

    def _take_failed(self) -> list[OutgoingMessage]:
        """What has to be put again, in its old order; what is still in writing stays."""
        failed = [g.draft for g in self._given if g.ticket is None or g.ticket.error is not None]
        self._given = deque(
            g for g in self._given if g.ticket and not g.ticket.durable and g.ticket.error is None
        )
        return failed

    def _give(self, draft: OutgoingMessage) -> None:
        try:
            ticket = self._outbox.put(draft)
        except OutboxError as error:
            log.warning("%s on %s: %s", draft.type, draft.topic, error)
            ticket = None
        if draft.priority > Priority.RECEIPT or draft.newest_only:
            return
        if len(self._given) == KEPT_MOST:
            self._given.popleft()
            self._lost += 1
            log.error("a message is lost: %d wait in memory for the disk", KEPT_MOST)
        self._given.append(_Given(draft=draft, ticket=ticket))
