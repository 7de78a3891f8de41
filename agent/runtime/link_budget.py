"""Budget of the link: the rate and the bytes a day of clips, live pictures and fetched models. Pure.

The box's own reports over MQTT are not counted: they are small, and must not wait for footage.
"""

import threading
from typing import Literal, get_args

import msgspec

SendPriority = Literal["emergency", "view", "transfer"]
"""Priority of bytes, the highest first.

emergency  pictures and clips of an incident: never refused by the bytes of a day
view       a live look, up to all bytes of a day
transfer   clips and models, up to TRANSFER_RATIO of the bytes of a day
"""
_PRIORITIES: tuple[SendPriority, ...] = get_args(SendPriority)
TRANSFER_RATIO = 0.8
MIN_PIECE_BYTES, MAX_PIECE_BYTES = 4096, 65_536
BURST_S = 1.0
"""The bucket holds the bytes of this time."""
CLAIM_S = 1.0
"""For this long after a refusal of the rate, the next bytes are kept for that priority and the higher ones."""
DAY_RETRY_S = 900.0
"""Until the next try if the bytes of the day are used up."""
DAY_USED_UP = "the bytes of this day are used up ([link] bytes_per_day)"


class DayUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that were sent and fetched on one day, the ordinal of a UTC date."""

    day: int = 0
    size_bytes: int = 0


class LinkBudget:
    """A token bucket, and a count of the day's bytes. Thread-safe.

    A piece larger than the bucket is granted by a full one, and paid off before the next piece.
    """

    def __init__(
        self,
        rate_kbit_s: int | None = None,
        bytes_per_day: int | None = None,
        used: DayUsage = DayUsage(),  # noqa: B008 - frozen
    ) -> None:
        self._bytes_per_s = None if rate_kbit_s is None else rate_kbit_s * 125
        self._bytes_per_day = bytes_per_day
        self._used = used
        self._tokens: float = (self._bytes_per_s or 0) * BURST_S
        self._refilled_ns: int | None = None
        self._claims_ns = dict.fromkeys(_PRIORITIES, 0)
        self._lock = threading.Lock()

    @property
    def piece_bytes(self) -> int:
        """Return the size of the pieces of a transfer: at most a quarter of a second's, so that others get their turn."""
        if self._bytes_per_s is None:
            return MAX_PIECE_BYTES
        return max(MIN_PIECE_BYTES, min(MAX_PIECE_BYTES, self._bytes_per_s // 4))

    def take(self, size_bytes: int, priority: SendPriority, now_ns: int, day: int) -> float | None:
        """Count bytes that are sent now, and return 0; else return the seconds until another try.

        Return None if no more bytes of this priority may be sent on this day. `day` is the ordinal of
        the UTC date.
        """
        with self._lock:
            if day != self._used.day:
                self._used = DayUsage(day=day)
            if not self._is_within_day(size_bytes, priority):
                return None
            wait_s = self._rate_wait_s(size_bytes, priority, now_ns)
            if wait_s > 0:
                self._claims_ns[priority] = now_ns + int((wait_s + CLAIM_S) * 1e9)
                return wait_s
            self._claims_ns[priority] = 0
            self._tokens -= size_bytes
            self._used = DayUsage(day=day, size_bytes=self._used.size_bytes + size_bytes)
            return 0.0

    def usage(self) -> DayUsage:
        """Return the bytes of the newest day, to be kept over a restart."""
        with self._lock:
            return self._used

    def _is_within_day(self, size_bytes: int, priority: SendPriority) -> bool:
        if self._bytes_per_day is None or priority == "emergency":
            return True
        ratio = TRANSFER_RATIO if priority == "transfer" else 1.0
        return self._used.size_bytes + size_bytes <= self._bytes_per_day * ratio

    def _rate_wait_s(self, size_bytes: int, priority: SendPriority, now_ns: int) -> float:
        """Return the seconds until the bucket has these bytes, or is full; 0 without a limit."""
        if self._bytes_per_s is None:
            return 0.0
        capacity = self._bytes_per_s * BURST_S
        if self._refilled_ns is not None:
            elapsed_s = max(0, now_ns - self._refilled_ns) / 1e9
            self._tokens = min(capacity, self._tokens + elapsed_s * self._bytes_per_s)
        self._refilled_ns = now_ns
        higher = _PRIORITIES[: _PRIORITIES.index(priority)]
        claimed_ns = max((self._claims_ns[name] for name in higher), default=0)
        missing_bytes = min(size_bytes, capacity) - self._tokens
        rate_wait_s = missing_bytes / self._bytes_per_s if missing_bytes >= 1 else 0.0
        return max(rate_wait_s, min(BURST_S, (claimed_ns - now_ns) / 1e9))
