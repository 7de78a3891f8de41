"""Disk wear and its forecast, from the disk's wear register and the bytes written. Pure.

The kernel's counter restarts at each boot; the wear record continues as long as the disk is the same.
"""

from typing import Literal

import msgspec

S_PER_DAY = 86_400.0
MIN_RATE_SPAN_S = S_PER_DAY
"""A rate over a shorter span does not predict the days to come."""
ASSUMED_FULL_WRITES = 1000
"""Full writes that cheap flash endures: assumed for a disk without a wear register."""


class WearRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one disk. `disk` is its serial number: device names change.

    `life_used` is the newest reading of its wear register, `first_step_life_used` the one after the first step that was
    seen, and `first_step_s` the counted time at that step. A record may begin in the middle of a step, as of a box that is
    flashed again: only from one step to another is the time of a whole one known.
    """

    disk: str
    written_bytes: int = 0
    counted_s: float = 0.0
    life_used: float | None = None
    first_step_life_used: float | None = None
    first_step_s: float = 0.0


class WearReading(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of a disk: the kernel's counter since the boot, and the wear register."""

    disk: str
    t_ns: int
    boot_written_bytes: int | None
    life_used: float | None


class WearCounter:
    """Continues a stored wear record."""

    def __init__(self, record: WearRecord | None) -> None:
        self._record = record
        self._last_reading: WearReading | None = None

    @property
    def record(self) -> WearRecord | None:
        """The record to store."""
        return self._record

    def update(self, reading: WearReading) -> WearRecord:
        """Add the bytes written since the last reading; the first one after a start adds none."""
        record, last_reading = self._record, self._last_reading
        if record is None or record.disk != reading.disk:
            record, last_reading = WearRecord(disk=reading.disk), None
        if last_reading is not None and last_reading.disk == reading.disk:
            written = (reading.boot_written_bytes or 0) - (last_reading.boot_written_bytes or 0)
            are_known = None not in (reading.boot_written_bytes, last_reading.boot_written_bytes)
            record = msgspec.structs.replace(
                record,
                written_bytes=record.written_bytes + (max(0, written) if are_known else 0),
                counted_s=record.counted_s + max(0.0, (reading.t_ns - last_reading.t_ns) / 1e9),
            )
        if reading.life_used is not None:
            is_step = record.life_used is not None and reading.life_used > record.life_used
            if is_step and record.first_step_life_used is None:
                record = msgspec.structs.replace(
                    record, first_step_life_used=reading.life_used, first_step_s=record.counted_s
                )
            record = msgspec.structs.replace(record, life_used=reading.life_used)
        self._record, self._last_reading = record, reading
        return record


class WearForecast(msgspec.Struct, frozen=True, kw_only=True):
    """The forecast of a disk's remaining life, and what it is based on."""

    written_bytes_per_day: float | None
    days_left: float | None
    days_left_basis: Literal["register", "capacity"] | None


def forecast(record: WearRecord, life_used: float | None, size_bytes: int | None) -> WearForecast:
    """Forecast the remaining life at the write rate so far.

    Until the wear register has moved by a whole step, the capacity times ASSUMED_FULL_WRITES is assumed.
    """
    if record.counted_s < MIN_RATE_SPAN_S:
        return WearForecast(written_bytes_per_day=None, days_left=None, days_left_basis=None)
    bytes_per_day = record.written_bytes / record.counted_s * S_PER_DAY
    if (
        life_used is not None
        and record.first_step_life_used is not None
        and life_used > record.first_step_life_used
    ):
        s_per_life = (record.counted_s - record.first_step_s) / (
            life_used - record.first_step_life_used
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
