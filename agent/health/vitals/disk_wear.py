"""How worn a disk is, and for how long it may last: its registers, and our own counting. Pure.

What the kernel counts begins anew at each boot; here it goes on, for as long as the disk is the same.
"""

from typing import Literal

import msgspec

S_PER_DAY = 86_400.0
RATE_AFTER_S = S_PER_DAY
"""A rate of less than a day says nothing of the days to come."""
FULL_WRITES = 1000
"""How often cheap flash can be written in full: what is expected of a disk without a register."""


class WearRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of one disk so far. `disk` names it, whatever it is called today.

    `used` is what its register said when it was first seen, and `used_s` for how long the agent had
    run then.
    """

    disk: str
    written_bytes: int = 0
    counted_s: float = 0.0
    used: float | None = None
    used_s: float = 0.0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a disk: the kernel's counter since the boot, and the register."""

    disk: str
    t_ns: int
    boot_written_bytes: int | None
    used: float | None


class Count:
    """Counts on from a book that was kept."""

    def __init__(self, book: WearRecord | None) -> None:
        self._book = book
        self._last: Seen | None = None

    @property
    def book(self) -> WearRecord | None:
        """What is to be kept."""
        return self._book

    def look(self, seen: Seen) -> WearRecord:
        """Count what was written since the last look; the first one after a start counts nothing."""
        book, last = self._book, self._last
        if book is None or book.disk != seen.disk:
            book, last = WearRecord(disk=seen.disk, used=seen.used), None
        if book.used is None and seen.used is not None:
            book = msgspec.structs.replace(book, used=seen.used, used_s=book.counted_s)
        if last is not None and last.disk == seen.disk:
            written = (seen.boot_written_bytes or 0) - (last.boot_written_bytes or 0)
            known = None not in (seen.boot_written_bytes, last.boot_written_bytes)
            book = msgspec.structs.replace(
                book,
                written_bytes=book.written_bytes + (max(0, written) if known else 0),
                counted_s=book.counted_s + max(0.0, (seen.t_ns - last.t_ns) / 1e9),
            )
        self._book, self._last = book, seen
        return book


class WearForecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a book says of the days to come."""

    written_bytes_per_day: float | None
    days_left: float | None
    days_left_by: Literal["register", "capacity"] | None


def forecast(book: WearRecord, used: float | None, size_bytes: int | None) -> WearForecast:
    """If it goes on as it went. A register that has not moved yet says nothing, and a disk of this
    size stands in for it.
    """
    if book.counted_s < RATE_AFTER_S:
        return WearForecast(written_bytes_per_day=None, days_left=None, days_left_by=None)
    per_day = book.written_bytes / book.counted_s * S_PER_DAY
    if used is not None and book.used is not None and used > book.used:
        each_s = (book.counted_s - book.used_s) / (used - book.used)
        days = max(0.0, 1 - used) * each_s / S_PER_DAY
        return WearForecast(written_bytes_per_day=per_day, days_left=days, days_left_by="register")
    if size_bytes is None or book.written_bytes == 0:
        return WearForecast(written_bytes_per_day=per_day, days_left=None, days_left_by=None)
    left_bytes = max(0, size_bytes * FULL_WRITES - book.written_bytes) * (1 - (used or 0.0))
    return WearForecast(
        written_bytes_per_day=per_day, days_left=left_bytes / per_day, days_left_by="capacity"
    )
