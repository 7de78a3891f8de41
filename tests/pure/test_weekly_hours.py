"""agent.base.weekly_hours."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.weekly_hours import (
    ALL_DAYS,
    WEEK_MIN,
    WeeklySpan,
    is_time_zone,
    minute_of_week,
    week_minutes,
)


def minutes_of(*spans: str) -> list[str]:
    """Return the minutes of the week in text, such as `mon 07:30`."""
    return [
        f"{ALL_DAYS[minute // 1440]} {minute % 1440 // 60:02}:{minute % 60:02}"
        for minute in sorted(week_minutes(spans))
    ]


@pytest.mark.parametrize(
    ("span", "first", "last", "count"),
    [
        ("mon 07:30-09:00", "mon 07:30", "mon 08:59", 90),
        ("mon-fri 07:30-09:00", "mon 07:30", "fri 08:59", 5 * 90),
        ("sat,sun 12:00-12:01", "sat 12:00", "sun 12:00", 2),
        ("tue 22:00-06:00", "tue 22:00", "wed 05:59", 8 * 60),
        ("22:00-24:00", "mon 22:00", "sun 23:59", 7 * 120),
        ("wed 08:00-08:00", "wed 08:00", "thu 07:59", 24 * 60),
        ("00:00-24:00", "mon 00:00", "sun 23:59", WEEK_MIN),
        # From Friday over Sunday until Monday.
        ("fri-mon 10:00-10:01", "mon 10:00", "sun 10:00", 4),
        # The night of Sunday ends on the Monday with which the week begins.
        ("sun 23:00-01:00", "mon 00:00", "sun 23:59", 120),
        ("mon,wed-thu,mon 10:00-10:01", "mon 10:00", "thu 10:00", 3),
    ],
)
def test_a_span_has_its_minutes(span: str, first: str, last: str, count: int) -> None:
    assert msgspec.convert(span, WeeklySpan) == span
    found = minutes_of(span)
    assert (found[0], found[-1], len(found)) == (first, last, count)


@pytest.mark.parametrize(
    "span",
    [
        *("", "mon", "07:30", "mon-fri", "7:30-9:00", "07:30 - 09:00", "07.30-09.00", "07:60-09:00"),
        *("24:00-06:00", "22:00-24:01", "mon  07:30-09:00", " 07:30-09:00", "07:30-09:00 "),
        *("Mon 07:30-09:00", "monday 07:30-09:00", "mon, tue 07:30-09:00", "mon- 07:30-09:00"),
        *("mon-tue-wed 07:30-09:00", "mon,07:30-09:00", "07:30-09:00\n", "\u0660\u0667:30-09:00"),
        *("lun-ven 07:30-09:00", "mon 07:30-09:00, 10:00-11:00", "mon," * 30 + "mon 07:30-09:00"),
    ],
)  # fmt: skip
def test_another_form_is_refused(span: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(span, WeeklySpan)


ZONES = st.sampled_from(
    ["UTC", "Africa/Casablanca", "Europe/Paris", "America/New_York", "Asia/Kathmandu"]
)
MINUTES_OF_DAY = st.integers(0, 1439)


@given(
    zone=ZONES,
    days=st.sets(st.sampled_from(ALL_DAYS), min_size=1),
    begin=MINUTES_OF_DAY,
    end=MINUTES_OF_DAY,
    start=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
    offset_h=st.integers(0, 8784),
)
def test_a_span_holds_whenever_the_wall_clock_shows_it(
    zone: str, days: set[str], begin: int, end: int, start: datetime, offset_h: int
) -> None:
    """Also around the switches of summer time, and of Ramadan in Morocco."""
    span = f"{','.join(sorted(days))} {begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
    utc = start.replace(tzinfo=UTC) + timedelta(hours=offset_h)
    local = utc.astimezone(ZoneInfo(zone))
    today, minute = ALL_DAYS[local.weekday()], local.hour * 60 + local.minute
    yesterday = ALL_DAYS[local.weekday() - 1]
    if begin < end:
        expected = today in days and begin <= minute < end
    else:
        expected = (today in days and minute >= begin) or (yesterday in days and minute < end)
    assert (minute_of_week(local) in week_minutes([span])) == expected


@pytest.mark.parametrize("zone", ["Europe/Paris", "Africa/Casablanca", "America/New_York"])
@pytest.mark.parametrize("hours", ["02:00-03:00", "01:30-02:30", "22:00-06:00", "00:00-24:00"])
def test_a_year_has_the_hours_of_its_days_but_for_the_switches(zone: str, hours: str) -> None:
    """The wall clock skips as many minutes of the year as it repeats."""
    minutes, zone_info = week_minutes([hours]), ZoneInfo(zone)
    begin = datetime(2025, 1, 1, tzinfo=zone_info).astimezone(UTC)
    within = sum(
        minute_of_week((begin + timedelta(minutes=30 * half_hour)).astimezone(zone_info)) in minutes
        for half_hour in range(365 * 48)
    )
    assert abs(within * 30 - 365 * len(minutes) / 7) <= 60


@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        ("UTC", True),
        ("Africa/Casablanca", True),
        ("Africa/Casa", False),
        ("../etc/passwd", False),
        ("", False),
    ],
)
def test_a_time_zone_is_known_by_its_name(name: str, *, is_known: bool) -> None:
    assert is_time_zone(name) == is_known
