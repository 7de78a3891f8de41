"""Newest key, chain head and state inventory of one box: one that goes back is an alarm. Pure.

The broker delivers a message again, and the box sends one again: an older message is none that goes back, but a newer
one with an older head is. Of two epochs of an outbox the one that came later is the newer. If an older state of a box is put
back, its outbox gives numbers again: of two messages with one epoch the one with the higher number or the newer id is the newer.
"""

from collections import deque

from agent.base.state_inventory import InventoryHead
from agent.reporting.payloads import (
    CustodyHead,
    Message,
    OnlineStatus,
    ReceiptMessage,
    StatusMessage,
)
from centre.fleet.wire_text import clean_text

MAX_IDS = 64
"""A box sends again what was not acknowledged: of heads one each minute."""
MAX_ID_CHARS = 36
"""Of a UUIDv7. As texts they sort by their time."""


class NewestHeads:
    """Comparison of each message with the newest one before it."""

    def __init__(self) -> None:
        self._public_key: str | None = None
        self._place: tuple[str, int] | None = None
        """Epoch and number of the newest message with a head."""
        self._ids: deque[str] = deque(maxlen=MAX_IDS)
        """Of the messages that were the newest, the newest last: a clock that had run ahead gives one that is newer than the next."""
        self._head: CustodyHead | None = None
        self._inventory: InventoryHead | None = None

    def update(self, message: Message) -> str | None:
        """Take a message of the box, none that the broker had retained. Return what has gone back with it, or None."""
        match message:
            case StatusMessage(data=OnlineStatus(public_key=public_key)):
                return self._update_key(public_key)
            case ReceiptMessage(data=CustodyHead() as head) if message.seq is not None:
                place, message_id = (message.epoch, message.seq), message.id[:MAX_ID_CHARS]
                if self._is_repeat(place, message_id):
                    return None
                self._place = place
                self._ids.append(message_id)
                return self._update_head(head)
            case _:
                return None

    def _is_repeat(self, place: tuple[str, int], message_id: str) -> bool:
        """Return True of a lower number of the epoch, unless the message is newer: an older state of the box was put back."""
        if self._place is None or self._place[0] != place[0] or place > self._place:
            return False
        return message_id in self._ids or message_id < self._ids[-1]

    def _update_key(self, public_key: str) -> str | None:
        before, self._public_key = self._public_key, public_key
        if before in (None, public_key):
            return None
        # The custody log of a new key begins at 1.
        self._head = self._inventory = None
        return f"another key, {clean_text(public_key)}: its key was lost, or this is another box"

    def _update_head(self, head: CustodyHead) -> str | None:
        before, self._head = self._head, head
        inventory_before, self._inventory = self._inventory, head.inventory or self._inventory
        if before is not None and _is_older(head.seq, head.sha256, before.seq, before.sha256):
            return (
                f"custody log went back: receipt {head.seq} after {before.seq}; receipts are lost, or an older state "
                "was put back"
            )
        new = head.inventory
        if new is None or inventory_before is None:
            return None
        if _is_older(new.revision, new.sha256, inventory_before.revision, inventory_before.sha256):
            return (
                f"state inventory went back: revision {new.revision} after {inventory_before.revision}; it was lost, or "
                "an older state was put back"
            )
        return None


def _is_older(number: int, sha256: str, number_before: int, sha256_before: str) -> bool:
    """Return True also for another content of the same number."""
    return number < number_before or (number == number_before and sha256 != sha256_before)
