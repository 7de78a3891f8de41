"""agent.reporting.seq_ranges: sets of numbers, checked against Python's own."""

import itertools

import hypothesis.strategies as st
from hypothesis import given

from agent.reporting.payloads import MAX_SEQ, SeqRange
from agent.reporting.seq_ranges import find_range, intersect_ranges, iter_gaps, merge_ranges


@st.composite
def ranges(draw: st.DrawFn) -> tuple[SeqRange, ...]:
    firsts = draw(st.lists(st.integers(1, 60), max_size=8))
    return tuple(SeqRange(first, first + draw(st.integers(0, 9))) for first in firsts)


def numbers(of: tuple[SeqRange, ...]) -> set[int]:
    return {seq for span in of for seq in range(span.first, span.last + 1)}


@given(ranges())
def test_joined_ranges_hold_the_same_numbers_and_do_not_touch(spans: tuple[SeqRange, ...]) -> None:
    out = merge_ranges(spans)
    assert numbers(out) == numbers(spans)
    assert all(left.last + 1 < right.first for left, right in itertools.pairwise(out))


@given(ranges(), ranges())
def test_common_ranges_hold_the_common_numbers(
    first: tuple[SeqRange, ...], second: tuple[SeqRange, ...]
) -> None:
    out = intersect_ranges(merge_ranges(first), merge_ranges(second))
    assert numbers(out) == numbers(first) & numbers(second)
    assert merge_ranges(out) == out


@given(ranges(), st.integers(1, 80))
def test_a_number_is_found_in_its_range(spans: tuple[SeqRange, ...], seq: int) -> None:
    found = find_range(merge_ranges(spans), seq)
    assert (found is not None) == (seq in numbers(spans))
    assert found is None or found.first <= seq <= found.last


@given(ranges())
def test_gaps_are_all_other_numbers(spans: tuple[SeqRange, ...]) -> None:
    merged = merge_ranges(spans)
    gaps = tuple(iter_gaps(merged))
    assert merge_ranges((*merged, *gaps)) == (SeqRange(1, MAX_SEQ),)
    assert intersect_ranges(merged, gaps) == ()
