"""agent.clips.drawn_spans: spans of footage drawn by chance."""

import random
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.clips.drawn_spans import Interval, draw_spans, intersect

intervals = st.lists(
    st.tuples(st.integers(0, 300), st.integers(1, 60)).map(
        lambda pair: Interval(pair[0], sum(pair))
    ),
    max_size=6,
)


def seconds(found: list[Interval] | tuple[Interval, ...]) -> set[int]:
    return {second for one in found for second in range(one.begin_s, one.end_s)}


@given(intervals, intervals)
def test_common_time_is_in_both_each_second_once(
    first: list[Interval], second: list[Interval]
) -> None:
    common = intersect(first, second)
    assert seconds(common) == seconds(first) & seconds(second)
    assert len(seconds(common)) == sum(one.end_s - one.begin_s for one in common)
    assert list(common) == sorted(common)
    assert all(a.end_s < b.begin_s for a, b in pairwise(common))


@given(intervals, st.integers(1, 40), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_drawn_spans_are_footage_and_none_overlaps_another(
    found: list[Interval], length_s: int, count: int, seed: int
) -> None:
    footage = intersect(found, [Interval(0, 1000)])
    drawn = draw_spans(footage, length_s, count, random.Random(seed))
    assert seconds(drawn) <= seconds(footage)
    assert len(seconds(drawn)) == length_s * len(drawn)
    assert all(any(a.begin_s <= b.begin_s and b.end_s <= a.end_s for a in footage) for b in drawn)
    assert list(drawn) == sorted(drawn)
    assert len(drawn) <= count
    has_room = any(one.end_s - one.begin_s >= length_s for one in footage)
    assert bool(drawn) == has_room
    assert drawn == draw_spans(footage, length_s, count, random.Random(seed))


def test_there_are_as_many_as_asked_for_if_there_is_room() -> None:
    day = (Interval(0, 40_000), Interval(50_000, 86_400))
    assert len(draw_spans(day, 600, 8, random.Random(1))) == 8


def test_each_second_has_the_same_chance_whichever_piece_of_footage_it_is_in() -> None:
    footage = (Interval(0, 19), Interval(100, 109), Interval(200, 239))
    starts = Counter(
        draw_spans(footage, 10, 1, random.Random(seed))[0].begin_s // 100 for seed in range(2000)
    )
    assert set(starts) == {0, 2}, "the middle one is too short"
    assert 0.2 < starts[0] / 2000 < 0.3, "10 of 40 starts"
