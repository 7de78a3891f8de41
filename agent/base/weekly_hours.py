"""Spans of the week by a wall clock, such as `mon-fri 07:30-09:00`. Pure.

A week is counted in minutes from Monday, 00:00. When the wall clock is put forward an hour of a span is left out, when it
is put back one comes twice.
"""

import zoneinfo
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Literal

import msgspec

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ALL_DAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

DAY_MIN = 24 * 60
WEEK_MIN = 7 * DAY_MIN

_DAY = f"(?:{'|'.join(ALL_DAYS)})"
_DAYS = f"{_DAY}(?:-{_DAY})?"
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_SPAN = rf"^(?:{_DAYS}(?:,{_DAYS})* )?{_TIME}-(?:{_TIME}|24:00)$(?!\n)"

WeeklySpan = Annotated[
    str,
    msgspec.Meta(
        max_length=80,
        pattern=_SPAN,
        extra={"allowed": "such as mon-fri 07:30-09:00, sat,sun 22:00-06:00 or 22:00-06:00"},
    ),
]
"""Days of the week, by default all, and a time of day from its first minute until before its last.

It reaches into the next day if the end is the earlier, and lasts 24 h if both are the same.
"""


def is_time_zone(name: str) -> bool:
    """Return whether this machine knows a time zone by its IANA name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def minute_of_week(local: datetime) -> int:
    """Return the minute of the week that a wall clock shows."""
    return local.weekday() * DAY_MIN + local.hour * 60 + local.minute


def span_minutes(days: Iterable[Weekday], begin: str, end: str) -> Iterator[int]:
    """Yield the minutes of the week from `begin` until before `end`, both `HH:MM`, on these days."""
    begin_min, end_min = _minute_of_day(begin), _minute_of_day(end)
    duration_min = (end_min - begin_min) % DAY_MIN or DAY_MIN
    for day in sorted({ALL_DAYS.index(day) for day in days}):
        first_minute = day * DAY_MIN + begin_min
        yield from (
            minute % WEEK_MIN for minute in range(first_minute, first_minute + duration_min)
        )


def week_minutes(spans: Iterable[str]) -> frozenset[int]:
    """Return the minutes of the week in any of the spans, each a `WeeklySpan`."""
    return frozenset(minute for span in spans for minute in _minutes(span))


def _minutes(span: str) -> Iterator[int]:
    days, _, times = span.rpartition(" ")
    begin, _, end = times.partition("-")
    return span_minutes(_iter_days(days) if days else ALL_DAYS, begin, end)


def _iter_days(days: str) -> Iterator[Weekday]:
    """Yield the days of a list such as `mon-wed,sat`; a range may go over Sunday."""
    names: tuple[str, ...] = ALL_DAYS
    for part in days.split(","):
        first, _, last = part.partition("-")
        begin = names.index(first)
        length = (names.index(last or first) - begin) % len(ALL_DAYS)
        yield from (ALL_DAYS[(begin + offset) % len(ALL_DAYS)] for offset in range(length + 1))


def _minute_of_day(time: str) -> int:
    hour, _, minute = time.partition(":")
    return int(hour) * 60 + int(minute)
