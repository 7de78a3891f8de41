"""agent.recording.export.head_coverage: what heads with their arrival vouch for, against a plain count. No I/O."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.clock import ClockTrust, rfc3339
from agent.recording.export.head_coverage import (
    CENTRE_CLOCK_S,
    DELIVERY_S,
    KnownHead,
    LateReceipt,
    ReceiptTimes,
    format_head,
    parse_head,
)

FIRST = 10
BEGIN = datetime(2026, 11, 25, 1, tzinfo=UTC)
BEGIN_MS = int(BEGIN.timestamp() * 1000)
SYNCED = ClockTrust(synced=True, source="ntp", error_s=0.5)
UNSYNCED = ClockTrust(synced=False, source="none", error_s=None)


def text(offset_s: float) -> str:
    return rfc3339(BEGIN + timedelta(seconds=offset_s))


def times(*offsets_s: float, clock: ClockTrust = SYNCED) -> ReceiptTimes:
    """Receipts from number 10 on, at these seconds."""
    made = ReceiptTimes(FIRST)
    for offset_s in offsets_s:
        made.add(text(offset_s), clock)
    return made


def head(seq: int, arrival_s: float | None = None) -> KnownHead:
    received_ms = None if arrival_s is None else BEGIN_MS + int(arrival_s * 1000)
    return KnownHead(seq=seq, sha256="0" * 64, received_ms=received_ms)


def test_a_head_covers_all_receipts_up_to_its_own() -> None:
    coverage = times(0, 1, 2, 3).cover([head(12), head(11), head(99), head(3)])
    assert (coverage.covered_seq, coverage.covered_time) == (12, text(2))
    assert (coverage.alone_count, coverage.alone_time) == (1, text(3))
    assert coverage.confirmed_count == 0


def test_a_time_is_confirmed_between_the_arrival_of_two_heads() -> None:
    coverage = times(0, 60, 120).cover([head(9, 1), head(11, 62)])
    assert (coverage.confirmed_count, coverage.confirmed_seq, coverage.confirmed_time) == (
        2,
        10,
        text(0),
    )
    assert coverage.confirmed_within_s == 61 + DELIVERY_S


def test_a_head_that_came_after_an_outage_confirms_less_exactly() -> None:
    coverage = times(0, 60, 7200).cover([head(9, 1), head(12, 7201)])
    assert coverage.confirmed_within_s == 7200 + DELIVERY_S


@pytest.mark.parametrize(
    ("claimed_s", "is_late"),
    [(100.5 + CENTRE_CLOCK_S, False), (100.6 + CENTRE_CLOCK_S, True)],
)
def test_a_time_after_the_arrival_of_a_head_is_found_beyond_both_clocks_errors(
    claimed_s: float, is_late: bool
) -> None:
    receipts = times(0, claimed_s)
    if not is_late:
        receipts.cover([head(11, 100)])
        return
    with pytest.raises(LateReceipt) as late:
        receipts.cover([head(11, 100)])
    assert late.value.seq == 11
    assert text(claimed_s) in str(late.value)


@pytest.mark.parametrize(("claimed_s", "early"), [(999.5 - DELIVERY_S, 0), (999.4 - DELIVERY_S, 1)])
def test_a_time_long_before_the_arrival_of_the_head_before_is_counted(
    claimed_s: float, early: int
) -> None:
    coverage = times(claimed_s).cover([head(9, 1000)])
    assert coverage.early_count == early


def test_an_unsynchronised_clock_claims_no_time() -> None:
    coverage = times(5000, clock=UNSYNCED).cover([head(9, 1), head(10, 2)])
    assert (coverage.confirmed_count, coverage.early_count, coverage.covered_seq) == (0, 0, 10)


ARRIVALS = st.none() | st.integers(0, 400)


@given(
    st.lists(st.integers(-300, 700), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(7, 24), ARRIVALS), max_size=8),
)
def test_the_bounds_of_each_receipt_are_those_of_all_heads(
    claimed: list[int], known: list[tuple[int, int | None]]
) -> None:
    last = FIRST + len(claimed) - 1
    heads = [head(seq, arrival) for seq, arrival in known]
    linked = [(seq, arrival) for seq, arrival in known if FIRST - 1 <= seq <= last]
    expected: dict[str, list[int]] = {"late": [], "early": [], "confirmed": []}
    for seq, time_s in enumerate(claimed, start=FIRST):
        at_or_after = [a for s, a in linked if s >= seq and a is not None]
        before = [a for s, a in linked if s < seq and a is not None]
        if at_or_after and time_s - 0.5 > min(at_or_after) + CENTRE_CLOCK_S:
            expected["late"].append(seq)
        elif before and time_s + 0.5 < max(before) - DELIVERY_S:
            expected["early"].append(seq)
        elif before and at_or_after:
            expected["confirmed"].append(seq)
    if expected["late"]:
        with pytest.raises(LateReceipt) as late:
            times(*claimed).cover(heads)
        assert late.value.seq == expected["late"][0]
        return
    coverage = times(*claimed).cover(heads)
    assert coverage.early_count == len(expected["early"])
    assert coverage.confirmed_count == len(expected["confirmed"])
    covered = [seq for seq, _ in linked if seq >= FIRST]
    assert coverage.covered_seq == max(covered, default=None)
    assert coverage.alone_count == last - max(covered, default=FIRST - 1)


@given(
    st.integers(1, 10**16 - 1),
    st.binary(min_size=32, max_size=32),
    st.none() | st.integers(-62135596800000, 253402300799999),
)
def test_a_head_is_read_as_it_was_written(seq: int, digest: bytes, received_ms: int | None) -> None:
    known = KnownHead(seq=seq, sha256=digest.hex(), received_ms=received_ms)
    assert parse_head(format_head(known)) == known


@given(st.text(max_size=120))
def test_any_other_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"receipt's number|a time such"):
        parse_head(line)
