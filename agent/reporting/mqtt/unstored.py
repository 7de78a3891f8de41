"""Messages that are not stored: the newest of each topic waits in memory.

A report, such as health, is sent when the window has room. A picture of a live look is sent when nothing
else is in flight, one at a time, so that a message that comes after it waits for one picture at most.
"""

import threading
from collections.abc import Callable

from agent.reporting.outgoing_messages import OutgoingMessage, Priority

MAX_PICTURE_S = 0.5
"""Time that a picture may take on the link: an emergency waits no longer for it."""
MIN_PICTURE_BYTES, MAX_PICTURE_BYTES = 4_000, 60_000
FIRST_PICTURE_BYTES = 8_000
"""Of a connection, before its rate is known: 0.6 s at 100 kbit/s."""


class UnstoredMessages:
    """The messages that wait, and the size of the next picture.

    `put`, `discard`, `is_waiting` and `picture_limit_bytes` are for any thread, the rest is the connection's.
    """

    def __init__(self, now_s: Callable[[], float], wake: Callable[[], None]) -> None:
        """`wake` ends the wait of the connection."""
        self._now_s = now_s
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: dict[str, OutgoingMessage] = {}
        self._sent_picture: tuple[float, int] | None = None
        self.picture_limit_bytes = FIRST_PICTURE_BYTES
        """Largest picture that the link takes within MAX_PICTURE_S, by the last one that was acknowledged."""

    def put(self, outgoing: OutgoingMessage) -> None:
        """Add a message, in place of a waiting one of the same topic."""
        with self._lock:
            self._waiting[outgoing.topic] = outgoing
        self._wake()

    def discard(self, topic: str) -> None:
        """Remove the message of a topic, if one waits."""
        with self._lock:
            self._waiting.pop(topic, None)

    def is_waiting(self, topic: str) -> bool:
        """Return whether a message of this topic has not been sent yet."""
        with self._lock:
            return topic in self._waiting

    def begin_connection(self) -> None:
        """Forget the rate of the last connection."""
        self._sent_picture, self.picture_limit_bytes = None, FIRST_PICTURE_BYTES

    def pop_report(self) -> OutgoingMessage | None:
        """Return a waiting report that has not expired."""
        return self._pop(Priority.HEALTH)

    def pop_picture(self) -> OutgoingMessage | None:
        """Return a waiting picture; cameras take turns. Called while nothing is in flight."""
        self._measure_rate()
        picture = self._pop(Priority.SNAPSHOT)
        if picture is not None:
            self._sent_picture = (self._now_s(), len(picture.data))
        return picture

    def _measure_rate(self) -> None:
        """Set the limit by the picture that was sent last, which is no longer in flight."""
        if self._sent_picture is None:
            return
        (sent_s, size_bytes), self._sent_picture = self._sent_picture, None
        fitting_bytes = size_bytes * MAX_PICTURE_S / max(1e-3, self._now_s() - sent_s)
        self.picture_limit_bytes = int(
            min(max(fitting_bytes, MIN_PICTURE_BYTES), MAX_PICTURE_BYTES)
        )

    def _pop(self, priority: Priority) -> OutgoingMessage | None:
        """Remove and return the message of this priority that waits for the longest time."""
        with self._lock:
            for topic, outgoing in list(self._waiting.items()):
                if outgoing.priority != priority:
                    continue
                del self._waiting[topic]
                age_s = self._now_s() - outgoing.t_ns / 1e9
                if outgoing.expiry_s is None or age_s < outgoing.expiry_s:
                    return outgoing
        return None
