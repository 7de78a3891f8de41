"""agent.recording.segment_name: the name is the index, and sorts by the order of recording."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.recording.segment_name import SegmentName, parse_segment_name

NAMES = st.builds(
    SegmentName,
    counter=st.integers(1, 10**10 - 1),
    boot=st.text("0123456789abcdef", min_size=8, max_size=8),
    begin_ms=st.integers(0, 10**12 - 1),
    utc=st.datetimes(
        min_value=datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis wants it naive
        max_value=datetime(2200, 1, 1),  # noqa: DTZ001 - the same
        timezones=st.just(UTC),
    ).map(lambda utc: utc.replace(microsecond=utc.microsecond // 1000 * 1000)),
    synced=st.booleans(),
)


@given(name=NAMES)
def test_a_segment_name_contains_all_its_parts(name: SegmentName) -> None:
    assert parse_segment_name(str(name)) == name


@given(first=NAMES, second=NAMES)
def test_names_sort_by_counter_despite_clock_changes(
    first: SegmentName, second: SegmentName
) -> None:
    if first.counter != second.counter:
        assert (str(first) < str(second)) == (first.counter < second.counter)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "video.mp4",
        "0000000042_1f155cfd_000000083215_20261125T013215.250Z",
        "0000000042_1f155cfd_000000083215_20261125T013215.250Z.mp4.part",
        "0000000042_1f155cfd_000000083215_20261325T013215.250Z.mp4",
        "42_1f155cfd_000000083215_20261125T013215.250Z.mp4",
        "0000000042_1F155CFD_000000083215_20261125T013215.250Z.mp4",
        "a0000000042_1f155cfd_000000083215_20261125T013215.250Z.mp4",
    ],
)
def test_any_other_name_is_not_a_segment(text: str) -> None:
    assert parse_segment_name(text) is None
