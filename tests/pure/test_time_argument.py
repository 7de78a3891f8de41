"""agent.base.time_argument: times as a person types them."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.base.time_argument import parse_time

NOW = datetime(2026, 11, 25, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", NOW),
        ("-10m", NOW - timedelta(minutes=10)),
        ("-90s", NOW - timedelta(seconds=90)),
        ("-1h30m", NOW - timedelta(minutes=90)),
        ("-2d", NOW - timedelta(days=2)),
        ("2026-11-25T14:05:00Z", NOW),
        ("2026-11-25t14:05:00z", NOW),
        ("2026-11-25 14:05:00Z", NOW),
        ("2026-11-25T15:05:00+01:00", NOW),
        ("2026-11-25T14:05:00-00:00", NOW),
        ("2026-11-25T14:05:00.250Z", NOW + timedelta(milliseconds=250)),
    ],
)
def test_a_time_is_parsed_as_meant(text: str, meant: datetime) -> None:
    assert parse_time(text, NOW, "--from") == meant


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "10m", "-10", "-10m5h", "--10m", "yesterday", "14:05", "2026-11-25",
        "2026-11-25T14:05:00", "2026-11-25T14:05Z", "2026-02-30T00:00:00Z", "2026-11-25T25:00:00Z",
        "20261125T140500Z", "2026-W48-3T14:05:00Z", "\u0662\u0660\u0662\u0666-11-25T14:05:00Z", "-\u0661\u0660m",
        "0001-01-01T00:00:00+14:00", "-9999999d", "1764079500",
    ],
)  # fmt: skip
def test_an_ambiguous_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(UserError, match="--from") as refused:
        parse_time(text, NOW, "--from")
    assert "\n" not in str(refused.value)


@given(st.text())
def test_no_text_crashes_the_parser(text: str) -> None:
    with contextlib.suppress(UserError):
        assert parse_time(text, NOW, "--to").tzinfo is UTC


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2999, 12, 31)),  # noqa: DTZ001 - bounds have none
    st.integers(-14 * 60, 14 * 60),
)
def test_a_time_printed_in_any_zone_is_parsed_back(when: datetime, offset_min: int) -> None:
    there = when.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    assert parse_time(there.isoformat(), NOW, "--to") == there
