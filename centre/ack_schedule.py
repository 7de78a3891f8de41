"""When a centre acknowledges what it has stored: at once, but for the traffic counts of a minute. Pure.

The chain head follows them, and one acknowledgement serves both. The counts of a minute that was cut short, as at the
stop of a box, do not wait: the box does.
"""

import msgspec

from agent.reporting.payloads import Message, TrafficCountsMessage
from centre.store import BoxEpoch

MINUTE_NS = 60_000_000_000
MAX_WAIT_S = 5.0
"""The chain head comes 3 to 4 s after the end of a minute. A box sends a message again 10 s after the broker has
acknowledged it."""
MAX_WAITING = 8
QUIET_S = 2.0
"""A box whose last acknowledgement is younger sends a backlog, and waits for its acknowledgements."""


class _Waiting(msgspec.Struct):
    due_s: float
    messages: int = 0


class AckSchedule:
    """The boxes that are to be acknowledged. An acknowledgement names all that is stored, so it serves what waits too."""

    def __init__(self) -> None:
        self._waiting: dict[BoxEpoch, _Waiting] = {}
        self._sent_s: dict[BoxEpoch, float] = {}
        """Of acknowledgements in the last QUIET_S, the oldest first."""

    def add(self, key: BoxEpoch, message: Message | None, now_s: float) -> None:
        """Add a stored message of a box that asks for an acknowledgement."""
        waiting = self._waiting.setdefault(key, _Waiting(now_s + MAX_WAIT_S))
        waiting.messages += 1
        is_quiet = now_s - self._sent_s.get(key, -QUIET_S) >= QUIET_S
        if not (is_quiet and _may_wait(message) and waiting.messages < MAX_WAITING):
            waiting.due_s = now_s

    def pop_due(self, now_s: float) -> BoxEpoch | None:
        """Remove and return a box whose acknowledgement is due."""
        key = next((key for key, waiting in self._waiting.items() if waiting.due_s <= now_s), None)
        if key is None:
            return None
        del self._waiting[key]
        self._sent_s.pop(key, None)
        self._sent_s[key] = now_s
        while now_s - self._sent_s[oldest := next(iter(self._sent_s))] >= QUIET_S:
            del self._sent_s[oldest]
        return key


def _may_wait(message: Message | None) -> bool:
    return (
        isinstance(message, TrafficCountsMessage)
        and message.data.end_ns - message.data.begin_ns >= MINUTE_NS
    )
