"""How many messages one connection may have on their way to the centre at once. Pure.

Between a box and its centre is the broker's queue for the centre. Its length is unknown to the box, other boxes
use it, and a broker that finds it full drops the message after a PUBACK with success. So the window is TCP's
(RFC 5681): slow start, additive increase, multiplicative decrease.
"""

MIN_MESSAGES = 2
"""One that is sent again, and one that is sent for the first time."""
START_MESSAGES = 20
"""Fifty boxes that begin at once fit into mosquitto's default queue of 1000."""
MAX_MESSAGES = 256
SLOW_START_GROWTH = 0.25
"""Of each window. TCP doubles it: 20 boxes had 1,845 messages dropped by a queue of 1000 then, with a quarter 372
(simulated). From 20 to 256 it takes 12 windows."""


class CongestionWindow:
    """The limit of one connection. A *loss* is a message that the broker took and the centre did not get."""

    def __init__(self) -> None:
        self._limit = float(START_MESSAGES)
        self._slow_start_upto = float(MAX_MESSAGES)

    @property
    def messages(self) -> int:
        """Number of messages that may be on their way to the centre."""
        return int(self._limit)

    def note_acked(self, count: int) -> None:
        """Increase the limit: by SLOW_START_GROWTH for each window acknowledged, later by one message."""
        for _ in range(count):
            is_slow_start = self._limit < self._slow_start_upto
            self._limit += SLOW_START_GROWTH if is_slow_start else 1 / self._limit
        self._limit = min(self._limit, MAX_MESSAGES)

    def note_loss(self) -> None:
        """Halve the limit. Call it once for all losses of one window."""
        self._limit = self._slow_start_upto = max(MIN_MESSAGES, self._limit / 2)

    def restart(self) -> None:
        """Begin again with a slow start, after a pause: the limit is of the load before it."""
        self._limit = min(self._limit, START_MESSAGES)
