"""Intervals of the clock in which crossings are counted."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.errors import UserError
from centre.count.clock_interval import DAY_S, intervals_of, parse_interval

ZONES = (
    "UTC",
    "Europe/London",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Asuncion",
    "Pacific/Apia",
)
LONDON = ZoneInfo("Europe/London")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1m", 60),
        ("15m", 900),
        ("900s", 900),
        ("1h", 3600),
        ("1d", DAY_S),
        ("24h", DAY_S),
    ],
)
def test_an_interval_is_a_part_of_a_day(text: str, seconds: int) -> None:
    assert parse_interval(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        "0m",
        "-5m",
        "7m",
        "5",
        "15 m",
        "1.5h",
        "2d",
        "5h",
        "1s",
        "15M",
        "\u0665m",
        "9" * 5000 + "s",
    ],
)
def test_another_interval_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(UserError, match="allowed: a part of a day"):
        parse_interval(text)


@given(
    st.datetimes(datetime.fromisoformat("2011-01-01"), datetime.fromisoformat("2035-01-01")),
    st.floats(0, 3 * 3600),
    st.sampled_from([60, 300, 900, 3600, 7200, DAY_S]),
    st.sampled_from(ZONES),
)
def test_each_moment_is_in_one_interval(
    naive: datetime, length_s: float, interval_s: int, zone: str
) -> None:
    begin = naive.replace(tzinfo=UTC)
    end = begin + timedelta(seconds=length_s)
    intervals = intervals_of(begin, end, interval_s, ZoneInfo(zone))
    assert intervals[0].begin <= begin < intervals[0].end
    assert intervals[-1].begin < end <= intervals[-1].end or len(intervals) == 1
    assert all(first.end == second.begin for first, second in pairwise(intervals))


@given(
    st.datetimes(datetime.fromisoformat("2011-01-01"), datetime.fromisoformat("2035-01-01")),
    st.sampled_from([60, 900, 3600, 7200, DAY_S]),
    st.sampled_from(ZONES),
)
def test_each_border_is_a_multiple_of_the_interval_by_the_clock(
    naive: datetime, interval_s: int, zone: str
) -> None:
    begin = naive.replace(tzinfo=UTC)
    for interval in intervals_of(begin, begin, interval_s, ZoneInfo(zone)):
        for border in (interval.begin, interval.end):
            local = border.astimezone(ZoneInfo(zone))
            second = local.hour * 3600 + local.minute * 60 + local.second
            assert (second % interval_s, local.microsecond) == (0, 0)


@pytest.mark.parametrize(
    ("day", "interval_s", "lengths_h"),
    [
        (datetime.fromisoformat("2026-03-29"), 3600, [1.0] * 23),
        (datetime.fromisoformat("2026-03-29"), 7200, [1.0] + [2.0] * 11),
        (datetime.fromisoformat("2026-03-29"), DAY_S, [23.0]),
        (datetime.fromisoformat("2026-10-25"), 3600, [1.0] * 25),
        (datetime.fromisoformat("2026-10-25"), 7200, [3.0] + [2.0] * 11),
        (datetime.fromisoformat("2026-10-25"), DAY_S, [25.0]),
    ],
)
def test_the_change_of_the_clock_makes_an_interval_shorter_or_longer(
    day: datetime, interval_s: int, lengths_h: list[float]
) -> None:
    begin = day.replace(tzinfo=LONDON)
    end = (day + timedelta(days=1)).replace(tzinfo=LONDON)
    intervals = intervals_of(begin, end, interval_s, LONDON)
    assert [(one.end - one.begin) / timedelta(hours=1) for one in intervals] == lengths_h


def test_the_hour_that_comes_twice_has_its_quarters_twice() -> None:
    begin = datetime(2026, 10, 25, 1, 0, tzinfo=LONDON)
    intervals = intervals_of(begin, begin.astimezone(UTC) + timedelta(hours=2), 900, LONDON)
    shown = [one.begin.astimezone(LONDON).isoformat() for one in intervals]
    assert shown == [
        f"2026-10-25T01:{minute:02}:00+{offset}"
        for offset in ("01:00", "00:00")
        for minute in (0, 15, 30, 45)
    ]
