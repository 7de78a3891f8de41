"""How worn a disk is, and for how long it may last: its registers, and our own counting. Pure.

What the kernel counts begins anew at each boot; here it goes on, for as long as the disk is the same.
"""

from typing import Literal

import msgspec

S_PER_DAY = 86_400.0
MIN_RATE_SPAN_S = S_PER_DAY
"""A rate of less than a day says nothing of the days to come."""
ASSUMED_FULL_WRITES = 1000
"""How often cheap flash can be written in full: what is expected of a disk without a register."""


class WearRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of one disk so far. `disk` names it, whatever it is called today.

    `used` is what its register said when it was first seen, and `used_s` for how long the agent had
    run then.
    """

    disk: str
    written_bytes: int = 0
    counted_s: float = 0.0
    first_life_used: float | None = None
    first_life_used_s: float = 0.0


class WearReading(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a disk: the kernel's counter since the boot, and the register."""

    disk: str
    t_ns: int
    boot_written_bytes: int | None
    life_used: float | None


class WearCounter:
    """Counts on from a book that was kept."""

    def __init__(self, record: WearRecord | None) -> None:
        self._record = record
        self._last_reading: WearReading | None = None

    @property
    def record(self) -> WearRecord | None:
        """What is to be kept."""
        return self._record

    def update(self, reading: WearReading) -> WearRecord:
        """Count what was written since the last look; the first one after a start counts nothing."""
        record, last_reading = self._record, self._last_reading
        if record is None or record.disk != reading.disk:
            record, last_reading = (
                WearRecord(disk=reading.disk, first_life_used=reading.life_used),
                None,
            )
        if record.first_life_used is None and reading.life_used is not None:
            record = msgspec.structs.replace(
                record, first_life_used=reading.life_used, first_life_used_s=record.counted_s
            )
        if last_reading is not None and last_reading.disk == reading.disk:
            written = (reading.boot_written_bytes or 0) - (last_reading.boot_written_bytes or 0)
            are_known = None not in (reading.boot_written_bytes, last_reading.boot_written_bytes)
            record = msgspec.structs.replace(
                record,
                written_bytes=record.written_bytes + (max(0, written) if are_known else 0),
                counted_s=record.counted_s + max(0.0, (reading.t_ns - last_reading.t_ns) / 1e9),
            )
        self._record, self._last_reading = record, reading
        return record


class WearForecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a book says of the days to come."""

    written_bytes_per_day: float | None
    days_left: float | None
    days_left_basis: Literal["register", "capacity"] | None


def forecast(record: WearRecord, life_used: float | None, size_bytes: int | None) -> WearForecast:
    """If it goes on as it went. A register that has not moved yet says nothing, and a disk of this
    size stands in for it.
    """
    if record.counted_s < MIN_RATE_SPAN_S:
        return WearForecast(written_bytes_per_day=None, days_left=None, days_left_basis=None)
    bytes_per_day = record.written_bytes / record.counted_s * S_PER_DAY
    if (
        life_used is not None
        and record.first_life_used is not None
        and life_used > record.first_life_used
    ):
        s_per_life = (record.counted_s - record.first_life_used_s) / (
            life_used - record.first_life_used
        )
        days_left = max(0.0, 1 - life_used) * s_per_life / S_PER_DAY
        return WearForecast(
            written_bytes_per_day=bytes_per_day, days_left=days_left, days_left_basis="register"
        )
    if size_bytes is None or record.written_bytes == 0:
        return WearForecast(
            written_bytes_per_day=bytes_per_day, days_left=None, days_left_basis=None
        )
    left_bytes = max(0, size_bytes * ASSUMED_FULL_WRITES - record.written_bytes) * (
        1 - (life_used or 0.0)
    )
    return WearForecast(
        written_bytes_per_day=bytes_per_day,
        days_left=left_bytes / bytes_per_day,
        days_left_basis="capacity",
    )
