"""Congestion window: how many messages may be on their way to a centre, as values. Pure.

A broker keeps a queue for each client, and drops without a word what it does not hold (MQTT has no signal for it): the queue of
one centre is shared by all boxes, and none of them knows its length. So each box does as TCP does (RFC 5681): it increases
its window while acknowledgements come, and halves it when they do not.
"""

from typing import Self

import msgspec

INITIAL_SIZE = 4
"""Of 1,000 messages, which mosquitto queues by default, 250 boxes that return together use it up."""
MIN_SIZE = 1
MAX_SIZE = 256
ACKS_PER_STEP = 4
"""At the start of a connection the window increases by one for so many acknowledged messages: by a quarter for each round trip."""
ROUND_TRIPS_PER_INCREASE = 8
"""After the first loss. With few messages in the window the loss that an increase may cause is a large part of them."""
INCREASE_DIVISOR = 8
"""An increase is one message, of a large window this part of it."""
MAX_WAIT_S = 2.5
"""An acknowledgement that comes later after its PUBACK means that a queue is long, though it drops nothing: long before
the message is sent again.
"""


class CongestionWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The window's size, and what decides about its next change."""

    size: int = INITIAL_SIZE
    is_starting: bool = True
    """False after the first loss."""
    acked_count: int = 0
    """Messages acknowledged since the last change."""
    decreased_s: float = float("-inf")
    """What was sent before this time is no reason to decrease again: it was sent with a larger window."""

    def after_acks(self, count: int, *, is_used: bool) -> Self:
        """Return the window after so many messages were acknowledged. One that is not used is not increased: it was not tried."""
        if not is_used:
            return self
        needed, step = ACKS_PER_STEP, 1
        if not self.is_starting:
            needed = ROUND_TRIPS_PER_INCREASE * self.size
            step = max(1, self.size // INCREASE_DIVISOR)
        steps, rest = divmod(self.acked_count + count, needed)
        size = min(MAX_SIZE, self.size + steps * step)
        return msgspec.structs.replace(self, size=size, acked_count=rest)

    def after_loss(self, sent_s: float, now_s: float) -> Self:
        """Return the window after a message that was sent at `sent_s` was lost, or acknowledged late."""
        if sent_s <= self.decreased_s:
            return self
        return msgspec.structs.replace(
            self,
            size=max(MIN_SIZE, self.size // 2),
            is_starting=False,
            acked_count=0,
            decreased_s=now_s,
        )
