"""Intervals of the clock in which crossings are counted. Pure."""

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise

import msgspec

from agent.base.errors import UserError

DAY_S = 86_400
MIN_INTERVAL_S = 10
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": DAY_S}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ClockInterval(msgspec.Struct, frozen=True, order=True):
    """Time from `begin` until before `end`, both in UTC."""

    begin: datetime
    end: datetime

    def overlap_s(self, begin: datetime, end: datetime) -> float:
        """Return the seconds of another time, from `begin` to `end`, that are in this one."""
        return max(0.0, (min(self.end, end) - max(self.begin, begin)).total_seconds())


def parse_interval(text: str) -> int:
    """Return the seconds of `15m`, `1h` or `1d`. Raises: UserError if it does not divide a day."""
    number, unit = text[:-1], text[-1:]
    is_number = number.isdecimal() and number.isascii() and len(number) <= len(str(DAY_S))
    seconds = int(number) * _UNITS_S.get(unit, 0) if is_number else 0
    if seconds < MIN_INTERVAL_S or DAY_S % seconds:
        raise UserError(
            f"--every {text!r}: allowed: a part of a day without a rest, from {MIN_INTERVAL_S}s to 1d, such as 5m, 15m or 1h"
        )
    return seconds


def intervals_of(
    begin: datetime, end: datetime, interval_s: int, zone: tzinfo
) -> list[ClockInterval]:
    """Return the intervals that contain a time, in order. `interval_s` divides a day.

    Borders are the moments at which the clock of the zone shows a multiple of the interval since midnight. An interval
    is shorter or longer if the clock is put forward or back in it, and no moment is in two intervals or in none.
    """
    begin, end = begin.astimezone(UTC), end.astimezone(UTC)
    margin = timedelta(seconds=interval_s)
    borders: list[datetime] = []
    # A zone that changes sides of the date line leaves out a day.
    while not borders or borders[0] > begin or borders[-1] < end or borders[-1] == begin:
        margin *= 2
        borders = _borders(begin - margin, end + margin, interval_s, zone)
    pairs = (ClockInterval(first, second) for first, second in pairwise(borders))
    return [one for one in pairs if one.end > begin and (one.begin < end or one.begin <= begin)]


def _borders(first: datetime, last: datetime, interval_s: int, zone: tzinfo) -> list[datetime]:
    """Return the moments of a time at which the clock shows a multiple of the interval, in order."""
    step = timedelta(seconds=interval_s)
    borders = set()
    for offset in _offsets(first, last, zone):
        # Midnights by this offset are multiples of a day since the epoch, and the interval divides the day.
        local = first + offset
        border = first + (_EPOCH - local) % step
        while border <= last:
            if border.astimezone(zone).utcoffset() == offset:
                borders.add(border)
            border += step
    return sorted(borders)


def _offsets(first: datetime, last: datetime, zone: tzinfo) -> set[timedelta]:
    """Return the offsets from UTC that hold in a time. None holds for less than an hour."""
    offsets = {last.astimezone(zone).utcoffset() or timedelta()}
    while first < last:
        offsets.add(first.astimezone(zone).utcoffset() or timedelta())
        first += timedelta(hours=1)
    return offsets
